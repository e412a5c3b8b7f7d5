"""`edgert verify`: is a model file whole, and does this machine answer its golden inputs bit for bit?"""

from edgert.cli import options
from edgert.cli.text import bytes_text, printable
from edgert.errors import EdgertError, InputError, ModelFormatError

EXAMPLE = """
edgert verify model.bin
edgert verify model.bin --every-tier
"""


def configure(parser):
    options.add_model(parser)
    parser.add_argument("--every-tier", action="store_true", help="answer the golden inputs on each tier of this CPU")
    options.add_execution(parser)
    options.add_json(parser)


def run(args):
    from edgert.format import reader

    found = reader.verify(args.model)
    checked = {}
    for tier in _tiers(args):
        golden, steps = _check_golden(args, tier)
        checked[tier or next(iter(steps), "none")] = golden
    if args.json:
        import json

        fields = {name: getattr(found, name) for name in found.__slots__}
        print(json.dumps({"ok": True, **fields, "golden_checked": checked}))
        return 0
    print(f"{printable(args.model)}: whole ({bytes_text(found.size)}, {found.nodes} nodes, {found.tensors} tensors)")
    print(f"weights sha256 {found.data_sha256}")
    for tier, golden in checked.items():
        print(
            f"{golden} of {golden} golden answers bit for bit on {tier}" if golden else "no golden answers to compare"
        )
    return 0


def _tiers(args):
    if not args.every_tier:
        return [args.tier]
    from edgert.kernels import tiers

    return tiers.available()


def _check_golden(args, tier):
    """(number of golden vectors that came out right, tiers that ran). Raises: EdgertError at the first that did not.

    In order, on one session: a language model's later ones stand on what the earlier ones left in its caches.
    """
    from edgert.session import Session

    session = Session(args.model, threads=args.threads, tier=tier)
    ran = options.tier_counts(session.plan)
    golden = session.graph.metadata.golden
    for number, (inputs, expected) in enumerate(golden):
        where = f"{args.model}: golden answer {number}"
        try:
            answers = session.run_buffers(inputs)
        except InputError as error:
            raise ModelFormatError(f"{where}: {error}") from None
        for spec, want, got in zip(session.outputs, expected, answers):
            _compare(bytes(want), bytes(got), f"{where}, output {spec.name!r}", ran)
    return len(golden), ran


def _compare(want, got, where, ran):
    if len(want) != len(got):
        raise ModelFormatError(f"{where}: {len(want):,} bytes stored, the output has {len(got):,}")
    wrong = [i for i, pair in enumerate(zip(want, got)) if pair[0] != pair[1]]
    if wrong:
        first = wrong[0]
        raise EdgertError(
            f"{where} differs in {len(wrong):,} of {len(want):,} bytes on {', '.join(ran)}, first at {first}: "
            f"{got[first]} instead of {want[first]} (please report this with the output of edgert doctor)"
        )
