"""`edgert profile`: where the time goes, node by node, and how near each comes to what this CPU can do."""

import os
from time import perf_counter_ns

from edgert import machine
from edgert.cli import options, timing
from edgert.cli.facts import gather
from edgert.cli.peak import measure_roof
from edgert.cli.text import bytes_text, count_text, shape_text, shorten, table, time_text
from edgert.errors import InputError

EXAMPLE = """
edgert profile model.bin
edgert profile model.bin --threads 1 --by-time
edgert profile model.bin --plot roofline.svg
"""


def configure(parser):
    options.add_model(parser)
    parser.add_argument("--runs", type=options.positive, default=20, metavar="N", help="runs; the fastest counts (20)")
    parser.add_argument("--by-time", action="store_true", help="slowest node first")
    parser.add_argument("--pin", type=options.cores, metavar="CORES", help="stay on these cores, such as 3 or 2,3")
    parser.add_argument("--plot", metavar="FILE.svg", help="draw the nodes under this CPU's roofs")
    options.add_execution(parser)
    options.add_json(parser)


def run(args):
    if args.plot and os.path.splitext(args.plot)[1].lower() != ".svg":
        raise InputError(f"{args.plot}: the picture is SVG; give a name that ends in .svg")
    if args.pin:
        timing.pin(args.pin)
    session = options.load(args).session
    inputs = timing.example_inputs(session)
    times = session.profile(inputs, runs=args.runs)
    whole = whole_times(session, inputs, args.runs)
    facts = gather(session, args.model)
    roof = measure_roof(session.threads, args.tier, facts["weight_bytes"] + facts["arena_bytes"])
    rows = [_row(facts, step, elapsed_ns, roof) for step, elapsed_ns in times]
    if args.plot:
        _plot(args.plot, facts, session, roof, rows)
    if args.by_time:
        rows.sort(key=lambda row: -row["ns"])
    if args.json:
        _print_json(args.model, session, roof, whole, rows)
    else:
        _print_table(facts, session, roof, whole, rows)
    return 0


def whole_times(session, inputs, runs):
    """Where one answer's time goes, in nanoseconds of the fastest of `runs`: answer_ns, of it kernels_ns; executor_ns,
    between them; call_ns, checking and copying inputs and outputs in Python.
    """
    program = session.plan.program
    answer, plain, between = [], [], []
    for _ in range(runs):
        answer.append(_elapsed_ns(lambda: session.run_buffers(inputs)))
        plain.append(_elapsed_ns(program.run))
        program.profile(True)
        elapsed_ns = _elapsed_ns(program.run)
        program.profile(False)
        between.append(elapsed_ns - sum(program.times_ns()))
    answer_ns, plain_ns = min(answer), min(plain)
    plain_ns = min(plain_ns, answer_ns)
    executor_ns = min(max(min(between), 0), plain_ns)
    return {
        "answer_ns": answer_ns,
        "kernels_ns": plain_ns - executor_ns,
        "executor_ns": executor_ns,
        "call_ns": answer_ns - plain_ns,
    }


def _elapsed_ns(function):
    started = perf_counter_ns()
    function()
    return perf_counter_ns() - started


def _row(facts, step, elapsed_ns, roof):
    index, tier, kernel, _ = step
    node, tensors = facts["nodes"][index], facts["tensors"]
    nbytes = sum(tensors[i]["bytes"] for i in {*node["inputs"], *node["outputs"]} if i >= 0)
    least_ns, bound = roof.limit(node["macs"], nbytes)
    return {
        "node": index,
        "op": node["op"],
        "shape": tensors[node["outputs"][0]]["shape"],
        "tier": tier,
        "kernel": kernel,
        "ns": elapsed_ns,
        "macs": node["macs"],
        "bytes": nbytes,
        "gmacs": node["macs"] / elapsed_ns if node["macs"] and elapsed_ns else None,
        "gbs": nbytes / elapsed_ns if elapsed_ns else None,
        "bound": bound,
        "roof_share": least_ns / elapsed_ns if elapsed_ns else None,
    }


def _plot(path, facts, session, roof, rows):
    from edgert.cli.roofline_svg import draw_roofline

    title = f"{facts['name'] or facts['file']} on {machine.cpu_model() or 'this CPU'}, {_threads_text(session)}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(draw_roofline(title, roof, rows))


def _print_json(path, session, roof, whole, rows):
    import json

    about = {"model": path, "threads": session.threads, "cpu": machine.cpu_model(), "tuned": bool(session.choices)}
    roofs = {"peak_gmacs": roof.peak, "bandwidth_gbs": roof.bandwidth, "memory_gbs": roof.memory}
    print(json.dumps({**about, **roofs, **whole}))
    for row in rows:
        print(json.dumps(row))


def _print_table(facts, session, roof, whole, rows):
    total = sum(row["ns"] for row in rows)
    lines = [_line(row, total) for row in rows]
    header = ("#", "op", "out", "kernel", "us", "share", "MACs", "GMAC/s", "GB/s", "bound", "of roof")
    print(table(header, lines, "rlllrrrrrlr"))
    print(f"\n{_whole_text(whole)}")
    speed = facts["macs"] / total if total else 0
    reached = sum(row["roof_share"] * row["ns"] for row in rows if row["roof_share"]) / total if total else 0
    print(f"{len(rows)} steps, {count_text(facts['macs'])} MACs, {speed:.3g} GMAC/s, {100 * reached:.0f} % of the roof")
    print(f"\nroof of {machine.cpu_model() or 'this CPU'} with {_threads_text(session)}, measured:")
    print(f"  {roof.peak:.3g} GMAC/s int8")
    print(f"  {roof.bandwidth:.3g} GB/s read from {bytes_text(roof.model_bytes)}, which is what this model takes")
    print(f"  {roof.memory:.3g} GB/s read from memory")


def _whole_text(whole):
    answer_ns = whole["answer_ns"]
    parts = [
        f"{name} {time_text(whole[f'{name}_ns'])} ({100 * whole[f'{name}_ns'] / answer_ns:.0f} %)"
        for name in ("kernels", "executor", "call")
    ]
    return f"one answer {time_text(answer_ns)}: {', '.join(parts)}"


def _threads_text(session):
    tuned = ", tuned" if session.choices else ""
    return f"{session.threads} thread{'s' if session.threads > 1 else ''}{tuned}"


def _line(row, total):
    return (
        row["node"],
        row["op"],
        shape_text(row["shape"]),
        shorten(row["kernel"], 34),
        f"{row['ns'] / 1e3:.2f}",
        f"{100 * row['ns'] / total:.1f} %" if total else "",
        count_text(row["macs"]) if row["macs"] else "",
        f"{row['gmacs']:.3g}" if row["gmacs"] else "",
        f"{row['gbs']:.3g}" if row["gbs"] else "",
        row["bound"],
        f"{100 * row['roof_share']:.0f} %" if row["roof_share"] else "",
    )
