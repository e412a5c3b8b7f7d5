"""The graph: what a model is, on the desktop and on the device.

Converters build it, the writer stores it, the reader returns it, the planner runs it. All of it is immutable; a pass
that changes something makes a new object with `replace`.

These are hand-written slotted classes and not dataclasses: `import dataclasses` pulls in `inspect` and costs 15 ms and
2.5 MB, half of what a process needs from start to first answer.
"""

DTYPE_SIZES = {"float32": 4, "int8": 1, "uint8": 1, "int16": 2, "int32": 4, "int64": 8, "bool": 1}

# Caps on what a graph may claim: a file within them can be refused for what it says, never for what it costs to read.
MAX_TENSORS = 65_536
MAX_NODES = 65_536
MAX_RANK = 6
MAX_DIM = 2**31 - 1
MAX_TENSOR_BYTES = 2**40

TOKENS = "tokens"  # the only symbolic dimension: rows of a text model's step, bound when a plan is made


class Record:
    """An immutable object with the fields named in `__slots__`; fields with a value in `_defaults` may be left out."""

    __slots__ = ()
    _defaults = {}

    def __init__(self, *args, **fields):
        names = self.__slots__
        if len(args) > len(names):
            raise TypeError(f"{type(self).__name__} takes {len(names)} fields, got {len(args)}")
        fields.update(zip(names, args))
        for name in names:
            if name in fields:
                value = fields.pop(name)
            elif name in self._defaults:
                value = self._defaults[name]
            else:
                raise TypeError(f"{type(self).__name__} needs {name!r}")
            object.__setattr__(self, name, value)
        if fields:
            raise TypeError(f"{type(self).__name__} has no field {next(iter(fields))!r}")

    def __setattr__(self, name, value):
        raise AttributeError(f"{type(self).__name__}.{name} is read-only; use replace()")

    __delattr__ = None

    def replace(self, **changes):
        """A copy with some fields changed."""
        return type(self)(**{name: getattr(self, name) for name in self.__slots__} | changes)

    def __eq__(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None

    def __repr__(self):
        fields = ", ".join(f"{name}={_short(getattr(self, name))}" for name in self.__slots__)
        return f"{type(self).__name__}({fields})"


def _short(value):
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


class Quant(Record):
    """How 8-bit (or wider) words stand for real numbers: `real = scale * (q - zero_point)`.

    scale: tuple of float32 values, one for the tensor or one per index of `axis`.
    zero_point: one int for the whole tensor; 0 when per-channel.
    axis: the dimension that `scale` runs along, or None for per-tensor.
    """

    __slots__ = ("scale", "zero_point", "axis")
    _defaults = {"zero_point": 0, "axis": None}


class Tensor(Record):
    """An array in the graph.

    shape: tuple of ints; one entry may be the symbol `TOKENS`. data: for a constant, a C-contiguous little-endian
    bytes-like of exactly `nbytes`; None for what the graph computes. state: lives between runs (a KV cache), zero at
    first.
    """

    __slots__ = ("name", "dtype", "shape", "quant", "data", "state")
    _defaults = {"quant": None, "data": None, "state": False}

    @property
    def size(self):
        """Number of elements (the symbolic dimension must be bound)."""
        n = 1
        for dim in self.shape:
            n *= dim
        return n

    @property
    def nbytes(self):
        return self.size * DTYPE_SIZES[self.dtype]

    @property
    def is_constant(self):
        return self.data is not None


class Node(Record):
    """One operation. inputs, outputs: tuples of tensor indices (input -1: optional and absent).

    attrs: dict from name to int, float, str or tuple of ints. Names, types and meaning per op are in `edgert.opset`.
    """

    __slots__ = ("op", "inputs", "outputs", "attrs", "name")
    _defaults = {"attrs": {}, "name": ""}


class Preprocess(Record):
    """From a picture to the input tensor: `real = (pixel - mean[c]) / std[c]`, pixel 0..255, then quantised.

    channels: "RGB", "BGR" or "GRAY". resize: "stretch", "crop" (centre crop of the short side) or "letterbox".
    """

    __slots__ = ("channels", "resize", "mean", "std")
    _defaults = {"channels": "RGB", "resize": "stretch", "mean": (0.0,), "std": (1.0,)}


class Tokenizer(Record):
    """How text becomes token ids and back: byte-pair merges over bytes or characters. Arrays are little-endian bytes.

    pieces, ends: the bytes each token stands for, all in a row, and where each token's end (uint32). kinds: a byte per
    token: 0 text; 1 special (found in text, never written out); 2 added (found in text before anything else).
    byte_ids: uint32, the token of each of the 256 bytes, or empty. char_ids: uint32, the tokens that are one character;
    empty: text starts as bytes. pairs: uint64 left << 32 | right, ascending; results: uint32, the token each pair
    becomes; ranks: uint32, lower merges first, or empty where a lower result does.
    patterns: names of the rules that cut text before it is merged. normal_form: "" or "NFC". space_prefix: "" or
    whether a space is put in front: of "each" fragment between special tokens, of each where it is "missing", of the
    "first" where it is missing. whole_pieces: a cut that is itself a token is not merged. unknown: the token of what
    has none, or -1. library: a tokenizer.json that the package `tokenizers` runs in place of all this, or empty.
    """

    __slots__ = (
        "pieces", "ends", "kinds", "byte_ids", "char_ids", "pairs", "results", "ranks", "patterns", "normal_form",
        "space_prefix", "whole_pieces", "unknown", "library",
    )  # fmt: skip
    _defaults = {
        "byte_ids": b"", "char_ids": b"", "pairs": b"", "results": b"", "ranks": b"", "patterns": (),
        "normal_form": "", "space_prefix": "", "whole_pieces": False, "unknown": -1, "library": b"",
    }  # fmt: skip


class Text(Record):
    """What a language model's graph does not say.

    tokenizer: a `Tokenizer`, or None (token ids in, token ids out). context: tokens that the caches hold. bos: the
    token a text begins with, or -1; add_bos: whether a prompt gets it. eos: tokens that end an answer. chat_template: a
    Jinja template, or "".
    """

    __slots__ = ("tokenizer", "context", "bos", "add_bos", "eos", "chat_template")
    _defaults = {"tokenizer": None, "bos": -1, "add_bos": False, "eos": (), "chat_template": ""}


class Head(Record):
    """How a detector's outputs become boxes; docs/format.md has the formulas, `edgert.vision.boxes` applies them.

    kind: "yolo", "yolox", "fastestdet", "yolo_fastestv2", "ssd" or "boxes" (decoded by the graph itself).
    columns: for each output of the graph what its columns are, in order: a text of the words "box", "object" and
    "class", each with the activation that is still to be applied, as in "object:sigmoid". strides: pixels of the input
    a cell, one per level. anchors: width and height in pixels for each anchor of each level; or, without strides, four
    numbers per row: centre and size as fractions of the input. anchor_counts: anchors per level. scales: what box
    columns are multiplied by ("ssd": the variances; "boxes": from the output's unit to pixels), x, y, w, h.
    box_order: order of the four box columns: "xywh", "yxhw", "xyxy" or "yxyx". bins: columns per side of a box; more
    than one is a distribution over 0, 1, 2 ... strides. background: how many classes at the front are none.
    score_threshold, iou_threshold: what is shown, and from which overlap on a box hides another of its class.
    max_boxes: the most that are given.
    """

    __slots__ = (
        "kind", "columns", "strides", "anchors", "anchor_counts", "scales", "box_order", "bins", "background",
        "score_threshold", "iou_threshold", "max_boxes",
    )  # fmt: skip
    _defaults = {
        "strides": (), "anchors": (), "anchor_counts": (), "scales": (1.0, 1.0, 1.0, 1.0), "box_order": "xywh",
        "bins": 1, "background": 0, "score_threshold": 0.25, "iou_threshold": 0.45, "max_boxes": 100,
    }  # fmt: skip


class Metadata(Record):
    """What a user of the model needs and the graph does not say.

    task: "classify", "detect", "generate" or "" (arrays in, arrays out). labels: tuple of str. preprocess: a
    `Preprocess` or None. golden: tuple of (inputs, outputs), each a tuple of bytes: they must come out bit for bit.
    provenance: dict str -> str (source file and its hash, converter, versions). report: str, what conversion did.
    text: a `Text` or None. head: a `Head` or None.
    """

    __slots__ = ("task", "labels", "preprocess", "golden", "provenance", "report", "text", "head")
    _defaults = {
        "task": "", "labels": (), "preprocess": None, "golden": (), "provenance": {}, "report": "", "text": None,
        "head": None,
    }  # fmt: skip


class Graph(Record):
    """A model: tensors, nodes in an order they can run in, and which tensors go in and out (by index)."""

    __slots__ = ("name", "tensors", "nodes", "inputs", "outputs", "metadata")
    _defaults = {"name": "", "metadata": Metadata()}
