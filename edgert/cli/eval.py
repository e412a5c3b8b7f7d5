"""`edgert eval`: accuracy over a folder of labelled pictures or an .npz of arrays; loss over a text."""

import os
import sys
from time import perf_counter_ns

from edgert.cli import options
from edgert.cli.inputs import check_file
from edgert.cli.text import json_line, time_text
from edgert.errors import InputError

EXAMPLE = """
edgert eval model.bin photos/            # photos/cat/1.jpg, photos/dog/2.jpg: the folder's name is the label
edgert eval detector.bin coco/           # coco/instances_val.json and the pictures it names
edgert eval model.bin test.npz --json    # x: pictures (N, H, W, 3) uint8, or the model's own words; y: class numbers
edgert eval shakespeare.bin --perplexity test.txt
"""

_DATA = "folder with one sub-folder a class, .npz with x and y, or for a detector a folder in COCO's format"


def configure(parser):
    options.add_model(parser)
    parser.add_argument("data", nargs="?", metavar="DATA", help=_DATA)
    parser.add_argument("--limit", type=options.positive, metavar="N", help="only the first N (of each class folder)")
    parser.add_argument("--perplexity", metavar="FILE", help="a language model's loss over the whole of this text")
    options.add_execution(parser)
    options.add_json(parser)


def run(args):
    if args.perplexity is not None:
        from edgert.cli import perplexity

        return perplexity.run(args)
    if args.data is None:
        raise InputError("nothing to measure: give DATA, or --perplexity FILE for a language model")
    model = options.load(args)
    if model.metadata.head is not None:
        return _detector(model, args)
    model.check_classifies()
    samples, count = _npz_samples(model, args) if args.data.endswith(".npz") else _folder_samples(model, args)
    top_1 = top_5 = done = run_ns = 0
    skipped = []
    for fetch, truth in samples:
        try:
            buffer = fetch()
        except InputError as error:
            skipped.append(str(error))
            continue
        started = perf_counter_ns()
        outputs = model.run_buffers([buffer])
        run_ns += perf_counter_ns() - started
        best = [answer.index for answer in model.rank(outputs[0], top=5)]
        done += 1
        top_1 += best[0] == truth
        top_5 += truth in best
        _progress(done, count, top_1)
    _progress_end()
    for reason in skipped:
        print(f"edgert: skipped: {reason}", file=sys.stderr)
    if not done:
        raise InputError(f"{args.data}: no sample could be read")
    _report(
        args, model, {"samples": done, "skipped": len(skipped), "top_1": top_1 / done, "top_5": top_5 / done}, run_ns
    )
    return 0


def _detector(model, args):
    """Mean average precision on a folder in COCO's format."""
    from edgert.vision import coco
    from edgert.vision.metrics import mean_average_precision

    if not os.path.isdir(args.data):
        raise InputError(f"{args.data}: a detector is measured on a folder with instances*.json in COCO's format")
    samples = coco.read(args.data, model.metadata.labels)[: args.limit]
    found, truth, run_ns = [], [], 0
    for path, boxes in samples:
        data, place = model.prepare_placed(path)
        started = perf_counter_ns()
        outputs = model.run_buffers([data])
        run_ns += perf_counter_ns() - started
        # Low, or the end of the curve of precision over recall would be missing.
        seen = model.locate(outputs, place, score=0.01)
        found.append([(item.index, item.score, item.box) for item in seen])
        truth.append(boxes)
    precision, each = mean_average_precision(found, truth)
    tiers = options.tier_counts(model.session.plan)
    each_ms = run_ns / max(1, len(found)) / 1e6
    if args.json:
        names = {_label(model, index): round(value, 4) for index, value in each.items()}
        result = {"model": args.model, "data": args.data, "samples": len(found), "map_50": precision}
        print(json_line({**result, "classes": names, "ms_each": each_ms, "tiers": tiers}))
        return 0
    print(f"mAP@0.5  {100 * precision:.2f} %")
    for index, value in sorted(each.items(), key=lambda item: -item[1]):
        print(f"  {100 * value:6.2f} %  {_label(model, index)}")
    print(f"\n{len(found):,} pictures, {time_text(each_ms * 1e6)} each on {', '.join(tiers)}")
    return 0


def _label(model, index):
    labels = model.metadata.labels
    return labels[index] if index < len(labels) else f"class {index}"


def _report(args, model, result, run_ns):
    each_ns = run_ns / result["samples"]
    tiers = options.tier_counts(model.session.plan)
    if args.json:
        import json

        print(json.dumps({"model": args.model, "data": args.data, **result, "ms_each": each_ns / 1e6, "tiers": tiers}))
        return
    print(f"top-1  {100 * result['top_1']:.2f} %")
    if model.outputs[0].shape[-1] > 5:
        print(f"top-5  {100 * result['top_5']:.2f} %")
    skipped = f", {result['skipped']} skipped" if result["skipped"] else ""
    print(f"\n{result['samples']:,} samples{skipped}, {time_text(each_ns)} each on {', '.join(tiers)}")


def _folder_samples(model, args):
    """((function giving the input's bytes, class index) per picture, how many), folders and files by name."""
    from edgert.vision.picture import SUFFIXES

    if not os.path.isdir(args.data):
        raise InputError(f"{args.data}: neither a folder nor an .npz file")
    folders = sorted(entry.name for entry in os.scandir(args.data) if entry.is_dir())
    if not folders:
        raise InputError(f"{args.data}: no class folders in it")
    files = []
    for folder in folders:
        truth = _class_index(model, folder, args.data)
        names = sorted(n for n in os.listdir(os.path.join(args.data, folder)) if n.lower().endswith(SUFFIXES))
        files += [(os.path.join(args.data, folder, name), truth) for name in names[: args.limit]]
    return [((lambda path=path: model.prepare(path)), truth) for path, truth in files], len(files)


def _class_index(model, folder, where):
    labels = [label.casefold() for label in model.metadata.labels]
    if labels.count(folder.casefold()) == 1:
        return labels.index(folder.casefold())
    if folder.isascii() and folder.isdigit() and int(folder) < model.outputs[0].shape[-1]:
        return int(folder)
    shown = ", ".join(model.metadata.labels[:10]) + (", …" if len(labels) > 10 else "")
    raise InputError(f"{where}: folder {folder!r} is no class of the model ({shown or 'it names none: use numbers'})")


def _npz_samples(model, args):
    from edgert.optional import require

    numpy = require("numpy", "reading .npz files")
    x, y = _npz_arrays(numpy, args.data)
    spec = model.inputs[0]
    if x.dtype == numpy.dtype(spec.dtype) and x.shape[1:] == tuple(spec.shape[1:]):
        fetch = numpy.ascontiguousarray
    elif x.dtype == numpy.uint8 and x.ndim in (3, 4):
        fetch = model.prepare
    else:
        raise InputError(
            f"{args.data}: x is {x.dtype} {x.shape}; the model takes {spec.dtype} {spec.shape[1:]} each, "
            "or pictures (N, H, W, 3) uint8"
        )
    pairs = zip(x[: args.limit], y[: args.limit].tolist())
    return [((lambda item=item: fetch(item)), truth) for item, truth in pairs], len(x[: args.limit])


def _npz_arrays(numpy, path):
    check_file(path)
    try:
        with numpy.load(path, allow_pickle=False) as archive:
            if "x" not in archive or "y" not in archive:
                raise InputError(f"{path}: has {', '.join(archive.files) or 'nothing'}; it must have x and y")
            x, y = archive["x"], archive["y"]
    except InputError:
        raise
    except Exception as error:  # a damaged zip fails in many ways
        raise InputError(f"{path}: not an .npz file ({error})") from error
    y = y.reshape(len(y), -1)[:, 0] if y.ndim and y.size == len(y) else y
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y) or not len(x) or y.dtype.kind not in "iu":
        raise InputError(f"{path}: x {x.dtype} {x.shape} and y {y.dtype} {y.shape}; y needs one class number per x")
    return x, y


def _progress(done, count, right):
    """On a terminal only, and not more often than it can be read."""
    if sys.stderr.isatty() and (done % 50 == 0 or done == count):
        print(f"\r{done:,} of {count:,}, top-1 {100 * right / done:.2f} %", end="", file=sys.stderr, flush=True)


def _progress_end():
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
