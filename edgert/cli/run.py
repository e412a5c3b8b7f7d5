"""`edgert run`: answers for pictures, folders of pictures, .npy arrays, prompts and stdin."""

import os
import sys
from time import perf_counter_ns

from edgert.cli import options, prompts
from edgert.cli.text import printable, shape_text, time_text
from edgert.errors import EdgertError, InputError

EXAMPLE = """
edgert run model.bin --image cat.jpg
edgert run model.bin photos/ --top 1 --json
cat x.npy | edgert run model.bin -
edgert run shakespeare.bin --prompt "ROMEO:" --max-tokens 300
edgert run shakespeare.bin --stdin --json < prompts.txt
"""

SLOW_TIERS = ("jit", "reference")
_SHOWN_VALUES = 8


def configure(parser):
    options.add_model(parser)
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="picture, folder of pictures, .npy array or '-' (stdin: picture, .npy or the input's raw bytes); "
        "a model of several inputs takes that many in a row",
    )
    parser.add_argument("--image", action="append", default=[], metavar="FILE", help="the same as INPUT, named")
    parser.add_argument("--top", type=options.positive, default=5, metavar="K", help="classes to print (5)")
    prompts.configure(parser)
    options.add_execution(parser)
    options.add_json(parser)


def run(args):
    from edgert.cli.inputs import input_bytes

    model = options.load(args)
    if model.metadata.task == "generate" or args.prompt is not None or args.stdin:
        return prompts.run(model, args)
    per_run = len(model.inputs)
    names = _expand(args.image + args.inputs)
    if not names or len(names) % per_run:
        raise InputError(f"{len(names)} inputs given; the model takes {per_run} at a time")
    answer = _classes if model.metadata.task == "classify" and len(model.outputs) == 1 else _arrays
    failed = 0
    for group in zip(*[iter(names)] * per_run):
        try:
            buffers = [input_bytes(model, i, name) for i, name in enumerate(group)]
        except InputError as error:
            if len(names) == per_run:
                raise
            print(f"edgert: {error}", file=sys.stderr)
            failed += 1
            continue
        _answer(model, answer, ", ".join(group), buffers, args)
    if failed:
        raise EdgertError(f"{failed} of {len(names) // per_run} inputs could not be read")
    return 0


def _answer(model, answer, name, buffers, args):
    started = perf_counter_ns()
    outputs = model.run_buffers(buffers)
    elapsed_ns = perf_counter_ns() - started
    result = answer(model, outputs, args.top)
    tiers = options.tier_counts(model.session.plan)
    if args.json:
        import json

        ms = round(elapsed_ns / 1e6, 4)
        print(json.dumps({"input": name, **result, "ms": ms, "tiers": tiers}, ensure_ascii=False))
        return
    print(printable(name))
    for line in _lines(result):
        print("  " + printable(line))
    print(f"  {time_text(elapsed_ns)}{not_native_text(tiers)}")


def not_native_text(tiers):
    """', 3 of 9 nodes on reference' where compiled kernels do not run everything."""
    nodes = sum(tiers.values())
    return "".join(f", {count} of {nodes} nodes on {tier}" for tier, count in tiers.items() if tier in SLOW_TIERS)


def _classes(model, outputs, top):
    return {"classes": [{"label": c.label, "score": c.score, "index": c.index} for c in model.rank(outputs[0], top)]}


def _arrays(model, outputs, top):
    from edgert.model import real_values

    return {
        "outputs": [
            {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape), "values": real_values(buffer, spec)}
            for buffer, spec in zip(outputs, model.outputs)
        ]
    }


def _lines(result):
    for item in result.get("classes", ()):
        yield f"{item['score']:8.4f}  {item['label']}"
    for item in result.get("outputs", ()):
        values = " ".join(f"{value:.6g}" for value in item["values"][:_SHOWN_VALUES])
        more = " …" if len(item["values"]) > _SHOWN_VALUES else ""
        yield f"{item['name']} {item['dtype']} {shape_text(item['shape'])}: {values}{more}"


def _expand(words):
    """Folders become the pictures and arrays in them, by name."""
    names = []
    for word in words:
        if word != "-" and os.path.isdir(word):
            from edgert.vision.picture import SUFFIXES

            found = sorted(name for name in os.listdir(word) if name.lower().endswith((*SUFFIXES, ".npy")))
            if not found:
                raise InputError(f"{word}: no pictures or .npy files in this folder")
            names += [os.path.join(word, name) for name in found]
        else:
            names.append(word)
    return names
