"""Arguments that several verbs share."""

import argparse

SLOW_TIERS = ("jit", "reference")


def add_model(parser):
    parser.add_argument("model", metavar="MODEL", help="model file made by edgert convert")


def add_execution(parser):
    parser.add_argument("--threads", type=positive, metavar="N", help="threads of one answer (all cores)")
    parser.add_argument("--tier", metavar="NAME", help="force a kernel tier (edgert doctor lists them)")


def add_json(parser):
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def add_resource_log(parser):
    parser.add_argument(
        "--log-resources",
        metavar="FILE",
        help="a record a second of CPU, memory, heat and speed into FILE.jsonl or FILE.csv (edgert plot draws it)",
    )


class ResourceLog:
    """Context whose value is called with each answer's nanoseconds; it keeps the log that --log-resources asked for."""

    def __init__(self, args):
        self._sampler = None
        if args.log_resources is not None:
            from edgert.monitor import Sampler

            self._sampler = Sampler(args.log_resources)

    def __enter__(self):
        return self._sampler.__enter__().answered if self._sampler else lambda elapsed_ns: None

    def __exit__(self, *error):
        if self._sampler:
            self._sampler.__exit__(*error)


def load(args):
    """The model of the command line, ready to run."""
    from edgert.model import load

    return load(args.model, threads=args.threads, tier=args.tier)


def tier_counts(plan):
    """Dict from tier to how many nodes it runs, most first; nodes that need no step are left out."""
    counts = {}
    for _, tier, _, _ in plan.steps:
        counts[tier] = counts.get(tier, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def not_native_text(tiers):
    """', 3 of 9 nodes on reference' where compiled kernels do not run everything."""
    nodes = sum(tiers.values())
    return "".join(f", {count} of {nodes} nodes on {tier}" for tier, count in tiers.items() if tier in SLOW_TIERS)


def positive(text):
    """argparse type: an int of at least 1."""
    value = int(text) if text.isascii() and text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def rate(text):
    """argparse type: a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def fraction(text):
    """argparse type: a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def size(text):
    """argparse type: '640x480' -> (640, 480)."""
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdigit() and 16 <= int(side) <= 8192 for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT of 16 to 8192 pixels a side")
    return int(sides[0]), int(sides[1])


def cores(text):
    """argparse type: '2' or '0,2' -> {0, 2}, cores that this process may use."""
    import os

    allowed = os.sched_getaffinity(0)
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and int(word) in allowed for word in words):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of cores among {','.join(map(str, sorted(allowed)))}")
    return {int(word) for word in words}
