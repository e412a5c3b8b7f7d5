"""What a converted model says about itself: task, labels, preprocessing, golden vectors, provenance and report."""

import hashlib
import os

import numpy as np

from edgert import __version__, heads
from edgert.convert import evaluate
from edgert.errors import InputError
from edgert.graph import Metadata, Preprocess

TASKS = ("classify", "detect", "generate", "")
SMALLEST_PICTURE = 24  # pixels a side; (49, 10, 1) is a spectrogram

# The range that the input's words span -> (mean, std) of real = (pixel - mean) / std, pixel 0..255.
RANGES = (
    ((0.0, 1.0), (0.0, 255.0)),
    ((-1.0, 1.0), (127.5, 127.5)),
    ((0.0, 255.0), (0.0, 1.0)),
    ((-128.0, 127.0), (128.0, 1.0)),
)

MAX_GOLDEN_BYTES = 2 * 2**20
MAX_GOLDEN_WORK = 4 * 10**9  # elements times taps: the reference kernels take some ten seconds for as much
# Float operators whose result IEEE 754 fixes to the bit, in whatever order and on whatever processor they run.
EXACT_FLOAT = {
    "add", "sub", "mul", "div", "minimum", "maximum", "squared_difference", "dequantize", "cast", "concat", "slice",
    "pad", "reshape", "transpose", "gather", "gather_nd", "max_pool2d", "space_to_batch", "batch_to_space",
    "space_to_depth", "depth_to_space",
}  # fmt: skip


def describe(graph, draft, source, data, *, labels=None, task=None, mean=None, std=None, channels=None, resize=None,
             score=None, iou=None, head=None, preset=None):  # fmt: skip
    """The Metadata of a converted graph; options override what is found in it.

    labels: path of a text file with one label a line, or a sequence of str. mean, std: one number or three. head: a
    detector's Head; score, iou: thresholds other than its own. preset: the heads.Preset with a detector's usual labels
    and preprocessing.
    Raises: InputError if an option does not fit the model.
    """
    if preset is not None:
        labels = preset.labels if labels is None else labels
        rule = preset.preprocess
        mean, std = rule.mean if mean is None else mean, rule.std if std is None else std
        channels, resize = channels or rule.channels, resize or rule.resize
    labels = _labels(labels, graph, head)
    preprocess = _preprocess(graph, draft.notes, mean, std, channels, resize)
    if task is None:
        task = "detect" if head else "classify" if labels or _classifies(graph) else ""
    if task not in TASKS:
        raise InputError(f"task '{task}' is none of classify, detect, generate")
    metadata = Metadata(task, labels, preprocess, head=_with_thresholds(head, score, iou))
    golden = _golden(graph, draft.notes)
    provenance = {
        "source": os.path.basename(source),
        "source_sha256": hashlib.sha256(data).hexdigest(),
        "converter": f"edgert {__version__}",
        "fused": ", ".join(f"{count} x {name}" for name, count in sorted(draft.fused.items())),
    }
    return metadata.replace(golden=golden, provenance=provenance, report="\n".join(draft.notes))


def quantised(graph, source, lines):
    """The int8 graph with the Metadata of the float model `source`, new golden vectors, and `lines` in its report."""
    notes = [note for note in source.report.split("\n") if note and not note.startswith("no golden vectors")]
    golden = _golden(graph, notes)
    provenance = source.provenance | {"quantised": lines[0]}
    return graph.replace(
        metadata=source.replace(golden=golden, provenance=provenance, report="\n".join([*notes, *lines]))
    )


def _with_thresholds(head, score, iou):
    if head is None:
        if score is not None or iou is not None:
            raise InputError("score and iou are for detectors, and no head for boxes was found or named")
        return None
    for name, value in (("score", score), ("iou", iou)):
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"{name} {value} is not between 0 and 1")
    return head.replace(
        score_threshold=head.score_threshold if score is None else float(score),
        iou_threshold=head.iou_threshold if iou is None else float(iou),
    )


def _labels(labels, graph, head):
    if labels is None:
        return ()
    if isinstance(labels, (str, os.PathLike)):
        labels = _label_lines(labels)
    labels = tuple(labels)
    if head is not None:
        shapes = [graph.tensors[i].shape for i in graph.inputs]
        classes = heads.layout(head, shapes, [graph.tensors[i] for i in graph.outputs]).classes - head.background
        if labels and len(labels) != classes:
            raise InputError(f"{len(labels)} labels for a detector of {classes} classes")
        return labels
    shape = graph.tensors[graph.outputs[0]].shape
    if len(graph.outputs) == 1 and len(labels) != (shape[-1] if shape else 1):
        raise InputError(f"{len(labels)} labels for an output of shape {shape}")
    return labels


def _label_lines(path):
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
    except UnicodeDecodeError:
        raise InputError(f"{os.fspath(path)} is no UTF-8 text, so it holds no labels") from None
    except IsADirectoryError:
        raise InputError(f"{os.fspath(path)} is a directory, not a file of labels") from None
    while lines and not lines[-1].strip():
        lines.pop()
    return [line.strip() for line in lines]


def _classifies(graph):
    """One output row that a softmax gives."""
    if len(graph.outputs) != 1:
        return False
    shape = graph.tensors[graph.outputs[0]].shape
    if len(shape) != 2 or shape[0] != 1 or shape[1] < 2:
        return False
    producers = {i: node for node in graph.nodes for i in node.outputs}
    index = graph.outputs[0]
    while index in producers and producers[index].op in ("reshape", "lookup", "dequantize"):
        index = producers[index].inputs[0]
    return index in producers and producers[index].op == "softmax"


def _preprocess(graph, notes, mean, std, channels, resize):
    """From the options, else from what the input's words can say; None if the input is no picture."""
    picture = _picture(graph)
    if picture is None:
        if any(option is not None for option in (mean, std, channels, resize)):
            raise InputError("the model takes no picture: mean, std, channels and resize do not apply")
        return None
    default = _range(picture)
    if default is None and mean is None and std is None:
        return None
    if picture.dtype == "float32" and (mean is None or std is None):
        notes.append("float input: pixels / 255 assumed (mean 0, std 255) where mean or std was not given")
    mean = _numbers("mean", (default or (0.0, 1.0))[0] if mean is None else mean, picture.shape[3])
    std = _numbers("std", (default or (0.0, 1.0))[1] if std is None else std, picture.shape[3])
    channels = channels or ("GRAY" if picture.shape[3] == 1 else "RGB")
    resize = resize or "stretch"
    if channels not in ("RGB", "BGR", "GRAY") or (channels == "GRAY") != (picture.shape[3] == 1):
        raise InputError(f"channels '{channels}' does not fit an input of {picture.shape[3]} channels")
    if resize not in ("stretch", "crop", "letterbox"):
        raise InputError(f"resize '{resize}' is none of stretch, crop, letterbox")
    if not all(std):
        raise InputError(f"std {std} has a zero")
    return Preprocess(channels, resize, mean, std)


def _picture(graph):
    """The graph's one input if it can be a picture, else None."""
    if len(graph.inputs) != 1:
        return None
    tensor = graph.tensors[graph.inputs[0]]
    shape = tensor.shape
    if len(shape) != 4 or shape[0] != 1 or shape[3] not in (1, 3) or tensor.dtype not in ("int8", "float32"):
        return None
    return tensor if min(shape[1:3]) >= SMALLEST_PICTURE else None


def _range(tensor):
    """(mean, std) that fits the range of the input's words, None if it is none of the usual ones."""
    if tensor.dtype == "float32":
        return 0.0, 255.0
    scale, zero_point = tensor.quant.scale[0], tensor.quant.zero_point
    low, high = scale * (-128 - zero_point), scale * (127 - zero_point)
    for (usual_low, usual_high), rule in RANGES:
        tolerance = 0.06 * (usual_high - usual_low)
        if abs(low - usual_low) <= tolerance and abs(high - usual_high) <= tolerance:
            return rule
    return None


def _numbers(name, values, channels):
    values = (values,) if isinstance(values, (int, float)) else tuple(values)
    if len(values) not in (1, channels) or not all(np.isfinite(values)):
        raise InputError(f"{name} {values} is not one finite number, or one for each of {channels} channels")
    return tuple(float(np.float32(value)) for value in values)


def _golden(graph, notes):
    """One random input with the reference kernels' answer; () where it would be large, slow or not exact."""
    tensors = [graph.tensors[i] for i in (*graph.inputs, *graph.outputs)]
    if sum(tensor.nbytes for tensor in tensors) > MAX_GOLDEN_BYTES or _work(graph) > MAX_GOLDEN_WORK:
        notes.append("no golden vectors: the model is too large for them")
        return ()
    if any(graph.tensors[node.outputs[0]].dtype == "float32" and node.op not in EXACT_FLOAT for node in graph.nodes):
        notes.append("no golden vectors: float sums may differ in their last bits from processor to processor")
        return ()
    rng = np.random.default_rng(0)
    inputs = [_random(rng, graph.tensors[i]) for i in graph.inputs]
    outputs = evaluate.graph(graph, inputs)
    return ((tuple(a.tobytes() for a in inputs), tuple(a.tobytes() for a in outputs)),)


def _random(rng, tensor):
    if tensor.dtype == "float32":
        return rng.random(tensor.shape, np.float32)
    if tensor.dtype == "bool":
        return rng.integers(0, 2, tensor.shape).astype(bool)
    high = 128 if tensor.dtype == "int8" else 2  # plain integers may be indices
    return rng.integers(-128 if high == 128 else 0, high, tensor.shape).astype(tensor.dtype)


def _work(graph):
    """Upper estimate of the multiplications and copies that one run takes."""
    total = 0
    for node in graph.nodes:
        out, taps = graph.tensors[node.outputs[0]].size, 1
        if len(node.inputs) > 1 and node.op in ("conv2d", "linear", "transpose_conv2d", "depthwise_conv2d"):
            weight = graph.tensors[node.inputs[1]]
            taps = weight.size // (weight.shape[-1] if node.op == "depthwise_conv2d" else weight.shape[0])
        elif node.op == "batch_matmul":
            taps = max(graph.tensors[node.inputs[0]].shape[-2:])
        elif node.op.endswith("pool2d"):
            taps = node.attrs["kh"] * node.attrs["kw"]
        total += taps * out + sum(graph.tensors[i].size for i in node.inputs if i >= 0)
    return total
