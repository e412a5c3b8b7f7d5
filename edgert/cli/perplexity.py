"""`edgert eval --perplexity`: a language model's loss over a whole text."""

import sys
from time import perf_counter_ns

from edgert.cli import options
from edgert.cli.text import time_text
from edgert.errors import InputError

MAX_TEXT_BYTES = 2**28


def run(args):
    """Print the loss. Returns the exit code."""
    from edgert.model import load
    from edgert.optional import require

    numpy = require("numpy", "measuring perplexity")
    data, text = _text(args.perplexity)
    model = load(args.model, threads=args.threads, tier=args.tier, all_rows=True)
    language = model.language
    if language.tokenizer is None:
        raise InputError("this model has no tokenizer, so it cannot read a text")
    ids = language.tokenizer.encode(text)
    if len(ids) < 2:
        raise InputError(f"{args.perplexity}: {len(ids)} tokens; at least 2 are needed")
    from edgert.text.perplexity import loss

    started = perf_counter_ns()
    found = loss(_rows(model, numpy), ids, language.cache.context, len(data), language.bos, progress=_progress)
    elapsed_ns = perf_counter_ns() - started
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    _print(found, elapsed_ns, model, args)
    return 0


def _rows(model, np):
    """The function from (ids, position) to a row of logits per token."""

    def logits(ids, position):
        return model.session.run([np.array(ids, np.int32), np.array([position], np.int32)])[0]

    return logits


def _text(path):
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
    except IsADirectoryError:
        raise InputError(f"{path}: a directory; --perplexity takes a text file") from None
    if len(data) > MAX_TEXT_BYTES:
        raise InputError(f"{path}: more than {MAX_TEXT_BYTES:,} bytes")
    try:
        return data, data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start:,}") from None


def _print(found, elapsed_ns, model, args):
    from math import exp

    tiers = options.tier_counts(model.session.plan)
    per_token, per_byte = round(found.per_token, 5), round(found.per_byte, 5)
    if args.json:
        import json

        counts = {"tokens": found.tokens, "bytes": found.nbytes, "windows": found.windows}
        losses = {"nats_per_token": per_token, "nats_per_byte": per_byte}
        seconds = round(elapsed_ns / 1e9, 3)
        print(
            json.dumps({"model": args.model, "data": args.perplexity, **losses, **counts, "s": seconds, "tiers": tiers})
        )
        return
    print(f"loss        {per_token:.4f} nats per token, {per_byte:.4f} per byte")
    print(f"perplexity  {exp(found.per_token):.2f}")
    speed = found.tokens * 1e9 / elapsed_ns
    print(
        f"\n{found.tokens:,} tokens of {found.nbytes:,} bytes in {found.windows:,} windows, {time_text(elapsed_ns)} "
        f"({speed:,.0f} tokens/s) on {', '.join(tiers)}"
    )


def _progress(done, count):
    if sys.stderr.isatty():
        print(f"\r\033[K{done:,} of {count:,} tokens", end="", file=sys.stderr, flush=True)
