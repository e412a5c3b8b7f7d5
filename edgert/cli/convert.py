"""`edgert convert`: a model of another format in, one edgert model file out."""

import argparse
import sys

EXAMPLE = """
edgert convert mobilenet.tflite -o model.bin --labels labels.txt
edgert convert yolox_nano.onnx -o detector.bin --labels coco.names --calibrate photos/
edgert convert detector.onnx -o detector.bin --shape images=1x3x416x416 --head yolo
edgert convert resnet8_float.tflite -o resnet8.bin --calibrate photos/
edgert convert SmolLM-135M/ -o smollm.bin --weights int8 --kv int8
edgert convert detector.tflite -o detector.bin --mean 123.7,116.3,103.5 --std 58.4,57.1,57.4 --resize letterbox
"""


_HEADS = "how outputs become boxes: fastestdet, yolo_fastestv2, yolox, ultraface, yolo or none (found where possible)"


def configure(parser):
    parser.add_argument(
        "source",
        metavar="FILE",
        help="the model to convert (.tflite, .onnx, .pt2, .gguf, llama2.c .bin, "
        "nanoGPT's .pt, a folder from Hugging Face)",
    )
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the model file to make")
    parser.add_argument("--name", help="the model's name (the file's without its suffix)")
    shape = {"metavar": "NAME=1x3x224x224", "help": "an input's sizes where an ONNX model leaves them open"}
    parser.add_argument("--shape", action="append", default=[], **shape)
    parser.add_argument("--labels", metavar="FILE", help="names of the classes, one a line")
    parser.add_argument("--task", choices=("classify", "detect"), help="what the outputs mean (found where possible)")
    parser.add_argument("--mean", type=_numbers, help="what is subtracted from a pixel 0..255: one number, or R,G,B")
    parser.add_argument("--std", type=_numbers, help="what the difference is divided by: one number, or R,G,B")
    parser.add_argument("--channels", choices=("RGB", "BGR", "GRAY"), help="the order of the input's channels")
    parser.add_argument("--resize", choices=("stretch", "crop", "letterbox"), help="how a picture is fitted (stretch)")
    parser.add_argument("--head", metavar="KIND", help=_HEADS)
    parser.add_argument("--score", type=float, metavar="T", help="detector: the least score that is shown, 0 to 1")
    parser.add_argument("--iou", type=float, metavar="T", help="detector: overlap from which a box hides another")
    group = parser.add_argument_group("quantisation of a float model")
    typical = "typical inputs, which make it int8: a folder of pictures or an .npz file"
    group.add_argument("--calibrate", metavar="DATA", help=typical)
    rules = ("minmax", "percentile", "kl", "mse", "gain")
    group.add_argument("--observer", choices=rules, help="how ranges are found (mse)")
    group.add_argument("--outputs", choices=("int8", "float32"), help="the type of the model's outputs (chosen)")
    budget = "points of accuracy that may be lost (30dB: the least SQNR); repairs are tried until it holds"
    group.add_argument("--budget", metavar="0.5", help=budget)
    labelled = "what the budget is measured on: a folder with one folder a class, or .npz with x and y"
    group.add_argument("--labelled", metavar="DATA", help=labelled)
    group.add_argument("--samples", type=_positive, metavar="N", help="the most inputs to calibrate with (200)")
    text = parser.add_argument_group("language models")
    text.add_argument("--weights", choices=("int8", "int4", "float"), help="how weights are stored (int8)")
    text.add_argument("--kv", choices=("int8", "float"), help="how keys and values are kept (int8)")
    text.add_argument("--context", type=int, metavar="N", help="tokens they hold (the model's own, at most 4,096)")
    text.add_argument(
        "--tokenizer", metavar="FILE", help="tokenizer of a model that has none in it (looked for beside)"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")


def run(args):
    import os

    from edgert import convert
    from edgert.errors import InputError
    from edgert.format import writer

    if os.path.exists(args.output) and os.path.exists(args.source) and os.path.samefile(args.source, args.output):
        raise InputError(f"{args.output} is the model to convert: the result would replace it")
    output = writer.place(args.output)  # before the work, which may take minutes
    names = ("name", "labels", "task", "mean", "std", "channels", "resize", "head", "score", "iou")
    names += ("weights", "kv", "context", "tokenizer")
    options = {name: getattr(args, name) for name in names}
    options["folder"] = os.path.dirname(output)
    graph, draft = convert.load(args.source, shapes=dict(map(_shape, args.shape)), **options)
    record = None
    if args.calibrate and graph.metadata.task == "generate":
        raise InputError("calibrate does not apply to a language model: --weights int8 needs no typical inputs")
    if args.calibrate:
        graph, record = _quantised(graph, args)
    elif args.observer or args.outputs or args.samples or args.budget or args.labelled:
        raise InputError("observer, outputs, samples, budget and labelled say how to quantise: give --calibrate too")
    writer.write(graph, args.output)
    summary = {
        "output": args.output,
        "bytes": os.path.getsize(args.output),
        "source_bytes": _size(args.source),
        "operators": draft.operators,
        "nodes": len(graph.nodes),
        "fused": dict(draft.fused),
        "task": graph.metadata.task,
        "inputs": [_tensor(graph, i) for i in graph.inputs],
        "outputs": [_tensor(graph, i) for i in graph.outputs],
        "notes": draft.notes,
    }
    if graph.metadata.task == "generate":
        made = graph.metadata.provenance
        summary["stored"] = f"weights {made['weights']}, caches {made['kv']} of {graph.metadata.text.context:,} tokens"
    if record is not None:
        summary["notes"] = [*draft.notes, *record.lines()]
        summary["quantised"] = record.summary()
    _print(summary, args.json)


def _quantised(graph, args):
    """(int8 graph, record) by the options given."""
    from edgert.convert import quantize

    given = {"observer": args.observer, "outputs": args.outputs, "limit": args.samples, "budget": args.budget}
    given["labelled"] = args.labelled
    options = {name: value for name, value in given.items() if value is not None}
    try:
        return quantize.quantize(graph, args.calibrate, progress=_progress(), **options)
    finally:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _progress():
    """Shows one line on a terminal; None elsewhere."""
    if not sys.stderr.isatty():
        return None
    return lambda what, done, count: print(f"\r\033[K{what}: {done} of {count}", end="", file=sys.stderr, flush=True)


def _positive(text):
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _size(path):
    """Bytes of a file, or of the files in a folder."""
    import os

    if not os.path.isdir(path):
        return os.path.getsize(path)
    return sum(entry.stat().st_size for entry in os.scandir(path) if entry.is_file())


def _numbers(text):
    try:
        return tuple([float(part) for part in text.split(",")])
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor R,G,B") from None


def _shape(text):
    """(input name, sizes) of NAME=1x3x224x224."""
    from edgert.errors import InputError

    name, equals, sizes = text.rpartition("=")
    parts = sizes.split("x")
    if not equals or not name or not all(part.isdecimal() and part.isascii() and int(part) > 0 for part in parts):
        raise InputError(f"--shape {text} is not NAME=1x3x224x224")
    return name, tuple([int(part) for part in parts])


def _tensor(graph, index):
    tensor = graph.tensors[index]
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)}


def _print(summary, as_json):
    if as_json:
        import json

        print(json.dumps(summary))
        return
    print(f"{summary['output']}: {summary['bytes']:,} bytes (the source has {summary['source_bytes']:,})")
    if summary["task"] == "generate":
        print(f"  stored     {summary['stored']}; {summary['nodes']} nodes")
    else:
        print(f"  operators  {summary['operators']} in the source, {summary['nodes']} nodes now")
    for name, count in summary["fused"].items():
        print(f"  {count:9}  {name}")
    for end in ("inputs", "outputs"):
        for tensor in summary[end]:
            shape = " x ".join(map(str, tensor["shape"])) or "scalar"
            print(f"  {end[:-1]:9}  {tensor['name']}: {tensor['dtype']} {shape}")
    if summary["task"]:
        print(f"  task       {summary['task']}")
    for note in summary["notes"]:
        print(f"  note       {note}")
