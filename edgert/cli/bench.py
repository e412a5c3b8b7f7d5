"""`edgert bench`: how long one answer takes, input bytes to output bytes."""

import sys

from edgert import machine
from edgert.cli import options, timing
from edgert.cli.text import time_text

EXAMPLE = """
edgert bench model.bin
edgert bench model.bin --threads 1 --pin 3 --runs 1000 --json
"""


def configure(parser):
    options.add_model(parser)
    parser.add_argument("--runs", type=options.positive, metavar="N", help="answers to time (default: 2 s of them)")
    parser.add_argument("--warmup", type=options.positive, default=10, metavar="N", help="answers before that (10)")
    parser.add_argument("--pin", type=options.cores, metavar="CORES", help="stay on these cores, such as 3 or 2,3")
    options.add_execution(parser)
    options.add_json(parser)


def run(args):
    if args.pin:
        timing.pin(args.pin)
    session = options.load(args).session
    inputs = timing.example_inputs(session)
    result = timing.summary(timing.measure(lambda: session.run_buffers(inputs), args.runs, args.warmup))
    tiers = options.tier_counts(session.plan)
    if args.json:
        import json

        about = {"model": args.model, "threads": session.threads, "pinned": sorted(args.pin) if args.pin else None}
        print(json.dumps({**about, "cpu": machine.cpu_model(), "tiers": tiers, **result}))
        return 0
    print(f"min     {time_text(result['min_ns'])}")
    print(f"median  {time_text(result['median_ns'])}")
    print(f"p95     {time_text(result['p95_ns'])}")
    threads = f"{session.threads} thread{'s' if session.threads > 1 else ''}"
    kinds = ", ".join(f"{count} nodes {tier}" for tier, count in tiers.items())
    print(f"\n{result['runs']} runs, {threads}, {machine.cpu_model() or 'unknown CPU'}: {kinds}")
    _warn_about_clock()
    return 0


def _warn_about_clock():
    """Times of a throttled or clock-saving machine are true but do not repeat."""
    word = machine.throttled() if machine.pi_model() else None
    if word and word & 0xF:
        now = ", ".join(what for _, what, is_now in machine.throttle_states(word) if is_now)
        print(f"edgert: this Pi is slowed down now: {now} (edgert doctor has the mend)", file=sys.stderr)
    if machine.governor() in ("ondemand", "schedutil", "powersave", "conservative"):
        print(f"edgert: clock governor is {machine.governor()}; for times that repeat: performance", file=sys.stderr)
