"""`edgert profile`: where the time goes, node by node, and how near the CPU's own peak each comes."""

from edgert.cli import machine, options, timing
from edgert.cli.facts import gather
from edgert.cli.peak import measured_peak
from edgert.cli.text import count_text, shape_text, shorten, table, time_text

EXAMPLE = """
edgert profile model.bin
edgert profile model.bin --threads 1 --by-time
"""


def configure(parser):
    options.add_model(parser)
    parser.add_argument("--runs", type=options.positive, default=20, metavar="N", help="runs; the fastest counts (20)")
    parser.add_argument("--by-time", action="store_true", help="slowest node first")
    parser.add_argument("--pin", type=options.cores, metavar="CORES", help="stay on these cores, such as 3 or 2,3")
    options.add_execution(parser)
    options.add_json(parser)


def run(args):
    if args.pin:
        timing.pin(args.pin)
    session = options.load(args).session
    times = session.profile(timing.example_inputs(session), runs=args.runs)
    peak = measured_peak(session.threads, args.tier)
    facts = gather(session, args.model)
    rows = [_row(facts, step, elapsed_ns, peak) for step, elapsed_ns in times]
    if args.by_time:
        rows.sort(key=lambda row: -row["ns"])
    if args.json:
        _print_json(args.model, session, peak, rows)
    else:
        _print_table(facts, session, peak, rows)
    return 0


def _row(facts, step, elapsed_ns, peak):
    index, tier, kernel, _ = step
    node = facts["nodes"][index]
    speed = node["macs"] / elapsed_ns if node["macs"] and elapsed_ns else None
    return {
        "node": index,
        "op": node["op"],
        "shape": facts["tensors"][node["outputs"][0]]["shape"],
        "tier": tier,
        "kernel": kernel,
        "ns": elapsed_ns,
        "macs": node["macs"],
        "gmacs": speed,
        "peak_share": speed / peak if speed else None,
    }


def _print_json(path, session, peak, rows):
    import json

    print(json.dumps({"model": path, "threads": session.threads, "cpu": machine.cpu_model(), "peak_gmacs": peak}))
    for row in rows:
        print(json.dumps(row))


def _print_table(facts, session, peak, rows):
    total = sum(row["ns"] for row in rows)
    lines = [_line(row, total) for row in rows]
    header = ("#", "op", "out", "tier", "kernel", "ms", "share", "MACs", "GMAC/s", "of peak")
    print(table(header, lines, "rllllrrrrr"))
    speed = facts["macs"] / total if total else 0
    print(f"\n{time_text(total)} in {len(rows)} steps, {count_text(facts['macs'])} MACs, {speed:.3g} GMAC/s")
    threads = f"{session.threads} thread{'s' if session.threads > 1 else ''}"
    print(f"peak of {machine.cpu_model() or 'this CPU'} with {threads}, measured: {peak:.3g} GMAC/s")


def _line(row, total):
    return (
        row["node"],
        row["op"],
        shape_text(row["shape"]),
        row["tier"],
        shorten(row["kernel"], 30),
        f"{row['ns'] / 1e6:.4f}",
        f"{100 * row['ns'] / total:.1f} %" if total else "",
        count_text(row["macs"]) if row["macs"] else "",
        f"{row['gmacs']:.3g}" if row["gmacs"] else "",
        f"{100 * row['peak_share']:.0f} %" if row["peak_share"] else "",
    )
