"""`edgert run` for language models: one prompt, prompts from stdin, or a conversation at a terminal."""

import sys

from edgert.cli import options
from edgert.cli.text import json_line
from edgert.errors import EdgertError, InputError

SETTINGS = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed", "stop")
MAX_LINE_BYTES = 2**24


def configure(parser):
    group = parser.add_argument_group("language models")
    group.add_argument("--prompt", metavar="TEXT", help="the text to continue; without it a terminal asks for one")
    group.add_argument("--stdin", action="store_true", help="one prompt a line from stdin")
    group.add_argument("--max-tokens", type=_whole, default=256, metavar="N", help="the most to add (256)")
    group.add_argument("--temperature", type=float, default=0.8, metavar="T", help="0: always the likeliest (0.8)")
    group.add_argument("--top-k", type=_whole, metavar="K", help="choose among the K likeliest (all)")
    group.add_argument("--top-p", type=float, default=1.0, metavar="P", help="among the fewest that hold P of 1 (1)")
    group.add_argument(
        "--min-p", type=float, default=0.0, metavar="P", help="among those with P of the likeliest's (0)"
    )
    group.add_argument("--repetition-penalty", type=float, default=1.0, metavar="R", help="above 1: repeat less (1)")
    group.add_argument("--seed", type=_whole, metavar="N", help="the same text each time (another one)")
    group.add_argument("--stop", action="append", default=[], metavar="TEXT", help="ends the answer; may be repeated")


def run(model, args):
    """Answer what the command line asks. Returns the exit code."""
    language = model.language  # says whether this model generates
    if args.image or args.inputs:
        raise InputError("this model takes prompts: --prompt TEXT, --stdin, or a terminal")
    settings = {name: getattr(args, name) for name in SETTINGS}
    if args.stdin:
        return _answer_lines(model, settings, args)
    if args.prompt is not None:
        _answer(model, args.prompt, settings, args)
        return 0
    if not sys.stdin.isatty():
        raise InputError("no prompt: --prompt TEXT, or --stdin for one a line")
    return _converse(model, language, settings, args)


def _answer(model, prompt, settings, args):
    """Stream the answer to stdout, its figures to stderr."""
    generation = model.generate(prompt, **settings)
    if args.json:
        text = generation.text()
        args.answered(generation.prefill_ns + generation.decode_ns)
        print(json_line(_record(model, prompt, text, generation)), flush=True)
        return
    show = _shown_on_terminal if sys.stdout.isatty() else str
    sys.stdout.write(show(prompt))
    for piece in generation:
        sys.stdout.write(show(piece))
        sys.stdout.flush()
    sys.stdout.write("\n")
    sys.stdout.flush()
    args.answered(generation.prefill_ns + generation.decode_ns)
    print(_figures(model, generation), file=sys.stderr)


def _answer_lines(model, settings, args):
    """One answer for each line of stdin; a prompt that cannot be answered does not stop the others."""
    failed = count = 0
    while line := sys.stdin.buffer.readline(MAX_LINE_BYTES + 1):
        count += 1
        try:
            _answer(model, _prompt_of(line), settings, args)
        except InputError as error:
            failed += 1
            print(f"edgert: line {count}: {error}", file=sys.stderr)
    if failed:
        raise EdgertError(f"{failed} of {count} prompts could not be answered")
    return 0


def _prompt_of(line):
    if len(line) > MAX_LINE_BYTES:
        while line and not line.endswith(b"\n"):
            line = sys.stdin.buffer.readline(MAX_LINE_BYTES)
        raise InputError(f"prompt has more than {MAX_LINE_BYTES:,} bytes")
    try:
        return line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(f"prompt is not valid UTF-8 at its byte {error.start}") from None


def _converse(model, language, settings, args):
    """Ask for prompts until the end of input; Ctrl-C ends an answer, and the conversation where none runs."""
    import readline  # noqa: F401 - editing and history for input()

    while True:
        try:
            prompt = input("> ")
        except EOFError:
            print()
            return 0
        try:
            if prompt or language.bos is not None:
                _answer(model, prompt, settings, args)
        except KeyboardInterrupt:
            print()
        except InputError as error:
            print(f"edgert: {error}", file=sys.stderr)


def _record(model, prompt, text, generation):
    speeds = {"prefill": _rate(generation.prefilled, generation.prefill_ns)}
    speeds["decode"] = _rate(generation.decoded, generation.decode_ns)
    return {
        "prompt": prompt,
        "text": text,
        "finish_reason": generation.finish_reason,
        "prompt_tokens": generation.prompt_tokens,
        "reused_tokens": generation.reused_tokens,
        "tokens": len(generation.tokens),
        "tokens_per_s": speeds,
        "peak_bytes": peak_bytes(),
        "tiers": options.tier_counts(model.session.plan),
    }


def _figures(model, generation):
    """'prefill 6 tokens, 2,114 tok/s; decode 255 tokens, 4,310 tok/s; peak 21.4 MB'."""
    parts = []
    for name, count, elapsed in (
        ("prefill", generation.prefilled, generation.prefill_ns),
        ("decode", generation.decoded, generation.decode_ns),
    ):
        rate = _rate(count, elapsed)
        parts.append(f"{name} {count} tokens" + (f", {rate:,.0f} tok/s" if rate else ""))
    if generation.reused_tokens:
        parts.append(f"{generation.reused_tokens} tokens of the prompt reused")
    parts.append(f"peak {peak_bytes() / 1e6:.1f} MB")
    return "; ".join(parts) + options.not_native_text(options.tier_counts(model.session.plan))


def _rate(count, elapsed_ns):
    return round(count * 1e9 / elapsed_ns, 1) if elapsed_ns and count else None


def peak_bytes():
    """The most memory this process has had, in bytes."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _shown_on_terminal(text):
    """What a model writes may not steer a terminal; line feeds and tabs are text."""
    if text.isprintable():
        return text
    return "".join([letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text])


def _whole(text):
    """argparse type: a whole number; the model's own check says what range it must be in."""
    import argparse

    try:
        return int(text) if len(text) < 40 else 2**63
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
