"""`edgert tune`: measure every kernel that can run a node on this machine, and keep the winners for later loads."""

from edgert import machine
from edgert.cli import options
from edgert.cli.text import shape_text, table, time_text

EXAMPLE = """
edgert tune model.bin
edgert tune model.bin --threads 1 --json
edgert tune model.bin --clear
"""


def configure(parser):
    options.add_model(parser)
    parser.add_argument(
        "--threads", type=options.positive, metavar="N", help="choose for this number of threads (all cores)"
    )
    parser.add_argument("--native-only", action="store_true", help="no jit kernels: they make every start slower")
    parser.add_argument("--pin", type=options.cores, metavar="CORES", help="stay on these cores, such as 3 or 2,3")
    parser.add_argument("--clear", action="store_true", help="forget what was chosen for this model")
    options.add_json(parser)


def run(args):
    if args.clear:
        return _clear(args)
    from edgert.cli import timing
    from edgert.tune import tune

    if args.pin:
        timing.pin(args.pin)
    result = tune(args.model, args.threads, args.native_only)
    if args.json:
        import json

        about = {"model": args.model, "threads": result.threads, "cpu": machine.cpu_model(), "kept": result.path}
        nodes = [{name: getattr(row, name) for name in row.__slots__} for row in result.rows]
        print(json.dumps({**about, "untuned_ns": result.untuned_ns, "tuned_ns": result.tuned_ns, "nodes": nodes}))
        return 0
    header = ("#", "op", "out", "default", "us", "winner", "us", "saved", "compared")
    print(table(header, [_line(row) for row in result.rows], "rlllrlrrr"))
    print("\n" + _summary(result))
    return 0


def _line(row):
    won = row.winner != row.default
    return (
        row.node,
        row.op,
        shape_text(row.shape),
        _name(row.default),
        f"{row.default_ns / 1e3:.2f}",
        _name(row.winner) if won else "",
        f"{row.winner_ns / 1e3:.2f}" if won else "",
        f"{100 * (1 - row.winner_ns / row.default_ns):.0f} %" if won else "",
        row.candidates,
    )


def _name(offer):
    return "/".join(offer).rstrip("/")


def _summary(result):
    threads = f"{result.threads} thread{'s' if result.threads > 1 else ''}"
    if not result.choices:
        return f"The defaults are the fastest kernels of this machine for every node ({threads})."
    won = f"{len(result.choices)} of {len(result.rows)} nodes have a faster kernel"
    whole = f"whole model {time_text(result.untuned_ns)} -> {time_text(result.tuned_ns)}, {threads}"
    if result.path is None:
        return f"{won}, but together they are not faster, so the defaults stay ({whole})."
    return f"{won}: {whole}\nkept in {result.path}"


def _clear(args):
    from edgert import tuned
    from edgert.format import reader

    count = tuned.clear(reader.read(args.model), args.threads)
    if args.json:
        print(f'{{"cleared": {count}}}')
    else:
        print("forgotten" if count else "there was nothing to forget")
    return 0
