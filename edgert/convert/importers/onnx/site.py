"""One operator of an ONNX model, as its builder sees it."""

import math

import numpy as np

from edgert.convert.importers.onnx.constants import storable
from edgert.convert.importers.onnx.file import attributes
from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError

NHWC, NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
MAX_MADE = 2**26  # elements of a constant that stands for an operator: a matrix of weights, a list of indices


class Site:
    """Inputs and outputs are counted as in ONNX. Draft tensors are given and returned by index. at: its position."""

    def __init__(self, importer, node, at):
        self.importer, self.draft, self.opset, self.at = importer, importer.draft, importer.opset, at
        self.op_type, self.inputs, self.outputs = node.op_type, list(node.input), list(node.output)
        self.attrs = attributes(node)
        self.name = next((name for name in self.outputs if name), "")
        if not self.name:
            raise ConversionError("has no outputs")
        for name in self.outputs:
            if name and name in importer.values:
                raise ConversionError(f"output '{name}' is computed twice, or is also an input")

    def has(self, k):
        """Whether optional input `k` is there."""
        return k < len(self.inputs) and bool(self.inputs[k])

    def wants(self, k):
        """Whether optional output `k` is asked for."""
        return k < len(self.outputs) and bool(self.outputs[k])

    def need_room(self, *sizes):
        """Refuses to make a constant of so many elements."""
        if math.prod(sizes) > MAX_MADE:
            raise Unsupported(f"it needs a constant of {' x '.join(map(str, sizes))} values, more than {MAX_MADE}")

    def need_one_output(self):
        if any(self.outputs[1:]):
            raise Unsupported(f"its output '{next(filter(None, self.outputs[1:]))}' is not computed here")

    def attr(self, name, default=None):
        value = self.attrs.get(name, default)
        if value is None:
            raise ConversionError(f"attribute '{name}' is missing")
        return value

    def input(self, k):
        """Input `k` as a draft tensor index."""
        self._check(k)
        return self.importer.place(self.inputs[k])

    def spec(self, k):
        """Input `k` as a Tensor."""
        return self.draft.tensors[self.input(k)]

    def shape(self, x):
        """Of a draft tensor."""
        return self.draft.tensors[x].shape

    def constant(self, k):
        """Input `k` as an array if it is known now, else None."""
        self._check(k)
        return self.importer.constant(self.inputs[k])

    def array(self, k):
        """Input `k`, which must be known now, as an array."""
        value = self.constant(k)
        if value is None:
            raise Unsupported(f"input {k} ('{self.inputs[k]}') must be a constant")
        return value

    def ints(self, k):
        """Input `k`, which must be constant integers, as a tuple."""
        values = self.array(k)
        if values.dtype.kind not in "iu":
            raise ConversionError(f"input {k} ('{self.inputs[k]}') is {values.dtype}, not integers")
        return tuple([int(v) for v in values.reshape(-1)])

    def ints_of(self, name, k, default=None):
        """Integers that older operator sets have as attribute `name` and newer ones as input `k`."""
        if name in self.attrs:
            values = self.attrs[name]
            return tuple(values) if isinstance(values, (list, tuple)) else (values,)
        return self.ints(k) if self.has(k) else default

    def axis(self, axis, rank):
        """A possibly negative axis as 0..rank-1."""
        if not -rank <= axis < rank:
            raise ConversionError(f"axis {axis} is outside {rank} dimensions")
        return axis % rank

    def words(self, k):
        """The int8 words that constant input `k` was made of, None for plain floats."""
        return self.importer.words.get(self.inputs[k])

    def need_dtype(self, k, *dtypes):
        if self.spec(k).dtype not in dtypes:
            raise Unsupported(f"input {k} ('{self.inputs[k]}') is {self.spec(k).dtype}")
        return self.input(k)

    def step(self, op, inputs, attrs=None, shape=None, dtype=None):
        """An intermediate result, of the first input's dtype (and meaning, if words are moved) unless given."""
        like = self.draft.tensors[inputs[0]]
        quant = like.quant if dtype in (None, like.dtype) else None
        return self.draft.derive(op, inputs, attrs or {}, self.name, dtype or like.dtype, quant, shape)

    def emit(self, op, inputs, attrs=None, shape=None, dtype=None):
        """Output 0, computed by one node."""
        return self.define(self.step(op, inputs, attrs, shape, dtype))

    def unary(self, function, x, **attrs):
        return self.step("unary", [x], {"function": function, **attrs})

    def number(self, value, dtype="float32"):
        """A constant of no dimensions."""
        return self.draft.constant(f"{self.name}/{value:g}", np.array(value, dtype))

    def make(self, array, name=None):
        """A constant."""
        return self.draft.constant(name or f"{self.name}/constant", storable(array, self.name))

    def reshape(self, x, shape):
        shape = tuple(shape)
        return x if self.shape(x) == shape else self.step("reshape", [x], shape=shape)

    def transpose(self, x, perm):
        perm = tuple(perm)
        return x if perm == tuple(range(len(perm))) else self.step("transpose", [x], {"perm": perm})

    def channels_last(self, x):
        """(N, C, H, W) to (N, H, W, C)."""
        return self.transpose(x, NHWC)

    def channels_first(self, x):
        return self.transpose(x, NCHW)

    def define(self, value, k=0):
        """Makes a draft tensor, or an array, the operator's output `k`."""
        if self.wants(k):
            self.importer.values[self.outputs[k]] = value
        return value

    def note(self, text):
        self.draft.notes.append(f"'{self.name}': {text}")

    def _check(self, k):
        if not self.has(k):
            raise ConversionError(f"has {len(self.inputs)} inputs, number {k} is missing")
