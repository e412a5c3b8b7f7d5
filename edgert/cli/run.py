"""`edgert run`: answers for pictures, folders of pictures, .npy arrays, prompts, stdin, cameras and videos."""

import os
import sys
from time import perf_counter_ns

from edgert.cli import options, prompts, watch
from edgert.cli.text import json_line, printable, shape_text, time_text
from edgert.errors import EdgertError, InputError

EXAMPLE = """
edgert run model.bin --image cat.jpg
edgert run model.bin photos/ --top 1 --json
cat x.npy | edgert run model.bin -
edgert run shakespeare.bin --prompt "ROMEO:" --max-tokens 300
edgert run shakespeare.bin --stdin --json < prompts.txt
edgert run detector.bin street.jpg --save seen/
edgert run detector.bin --camera --serve
edgert run detector.bin --camera --on-detect "logger seen"
edgert run detector.bin --source /dev/video0 --json --save-when "person>0.6" --save seen/
edgert run detector.bin --source clip.mp4 --out seen.mp4
"""

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
    parser.add_argument("--score", type=options.fraction, metavar="T", help="detector: least score shown (the file's)")
    parser.add_argument("--iou", type=options.fraction, metavar="T", help="detector: overlap that hides (the file's)")
    parser.add_argument("--save", metavar="DIR", help="folder for pictures with what was seen drawn into them")
    watch.configure(parser)
    options.add_execution(parser)
    options.add_resource_log(parser)
    options.add_json(parser)


def run(args):
    with options.ResourceLog(args) as args.answered:
        return watch.run(args) if watch.is_asked(args) else _run(args)


def _run(args):
    from edgert.cli.inputs import placed_input

    model = options.load(args)
    if model.metadata.task == "generate" or args.prompt is not None or args.stdin:
        return prompts.run(model, args)
    per_run = len(model.inputs)
    names = _expand(args.image + args.inputs)
    if not names or len(names) % per_run:
        raise InputError(f"{len(names)} inputs given; the model takes {per_run} at a time")
    answer = _classes if model.metadata.task == "classify" and len(model.outputs) == 1 else _arrays
    answer = _detections if model.metadata.head is not None else answer
    if args.save and answer is _arrays:
        raise InputError("--save draws boxes and classes; this model's answers are arrays")
    failed = 0
    for group in zip(*[iter(names)] * per_run):
        try:
            placed = [placed_input(model, i, name) for i, name in enumerate(group)]
        except InputError as error:
            if len(names) == per_run:
                raise
            print(f"edgert: {error}", file=sys.stderr)
            failed += 1
            continue
        _answer(model, answer, ", ".join(group), placed, args)
    if failed:
        raise EdgertError(f"{failed} of {len(names) // per_run} inputs could not be read")
    return 0


def _answer(model, answer, name, placed, args):
    started = perf_counter_ns()
    outputs = model.run_buffers([buffer for buffer, _ in placed])
    elapsed_ns = perf_counter_ns() - started
    args.answered(elapsed_ns)
    result = answer(model, outputs, args, placed[0][1])
    if args.save and placed[0][1] is not None and name != "-":
        _save(model, name, outputs, placed[0][1], args)
    tiers = options.tier_counts(model.session.plan)
    if args.json:
        ms = round(elapsed_ns / 1e6, 4)
        print(json_line({"input": name, **result, "ms": ms, "tiers": tiers}))
        return
    print(printable(name))
    for line in _lines(result):
        print("  " + printable(line))
    print(f"  {time_text(elapsed_ns)}{options.not_native_text(tiers)}")


def _classes(model, outputs, args, place):
    found = model.rank(outputs[0], args.top)
    return {"classes": [{"label": c.label, "score": c.score, "index": c.index} for c in found]}


def _detections(model, outputs, args, place):
    """Boxes in pixels of the picture, or of the input where an array was given."""
    if place is None:
        from edgert.vision.detect import Place

        height, width = model.inputs[0].shape[1:3]
        place = Place(((width, height), (0, 0, width, height), (0, 0, width, height)))
    found = model.locate(outputs, place, args.score, args.iou)
    return {
        "detections": [
            {"label": d.label, "score": round(d.score, 4), "index": d.index, "box": [round(side, 1) for side in d.box]}
            for d in found
        ]
    }


def _save(model, name, outputs, place, args):
    from edgert.vision import draw
    from edgert.vision.picture import open_picture

    picture = open_picture(name, name, "RGB", at_least=2**16)
    if model.metadata.head is not None:
        draw.draw_detections(picture, model.locate(outputs, place, args.score, args.iou))
    else:
        draw.draw_classes(picture, model.rank(outputs[0], args.top))
    os.makedirs(args.save, exist_ok=True)
    picture.save(os.path.join(args.save, os.path.splitext(os.path.basename(name))[0] + ".png"))


def _arrays(model, outputs, args, place):
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
    for item in result.get("detections", ()):
        box = ", ".join(f"{side:.0f}" for side in item["box"])
        yield f"{item['score']:8.4f}  {item['label']}  ({box})"
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
