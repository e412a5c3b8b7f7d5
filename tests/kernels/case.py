"""One op on one set of shapes, words and scales: what the conformance tests are made of."""

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from edgert import opset
from edgert.graph import Graph, Node, Quant, Tensor

FILLS = ("random", "extremes", "lowest", "highest", "zero_point")


@dataclass
class Case:
    """inputs: Tensor (constants hold their data) or None. arrays: one per input, None where absent."""

    name: str
    op: str
    inputs: tuple
    output: Tensor
    attrs: dict
    arrays: list

    def outputs(self):
        """A new array for the result, full of a word that no kernel may leave behind."""
        out = np.empty(self.output.shape, self.output.dtype)
        out.view(np.uint8 if out.dtype == bool else out.dtype).fill(0x5A)
        return [out]


class Builder:
    """Makes the tensors of one case; everything random comes from a generator seeded by the case's name."""

    def __init__(self, name):
        self.name = name
        self.rng = np.random.default_rng(crc32(name.encode()))
        self.inputs, self.arrays = [], []

    def input(self, shape, dtype="int8", scale=0.05, zero_point=0, fill="random"):
        """An activation. scale None: no quantisation. fill: how its words are chosen, or the words themselves."""
        quant = None if scale is None or dtype == "float32" else Quant((f32(scale),), zero_point)
        return self._add(self.words(shape, dtype, fill, zero_point), dtype, quant, constant=False)

    def constant(self, words, dtype="int8", scale=None, zero_point=0, axis=None):
        """A weight, bias, table or list of indices. scale: a number, one per index of `axis`, or None."""
        quant = None
        if scale is not None and dtype != "float32":
            quant = Quant(tuple(float(s) for s in np.atleast_1d(np.asarray(scale, np.float32))), zero_point, axis)
        return self._add(np.asarray(words, dtype), dtype, quant, constant=True)

    def state(self, words):
        """A tensor that lives between runs, holding `words`."""
        self._add(words, str(words.dtype), None, constant=False)
        self.inputs[-1] = self.inputs[-1].replace(state=True)

    def absent(self):
        self.inputs.append(None)
        self.arrays.append(None)

    def case(self, op, attrs=None, shape=None, dtype=None, scale=0.05, zero_point=0, like=None, state=False):
        """The finished case, proved valid. shape: needed where attributes leave it free. like: an input whose
        dtype and quantisation the output shares. state: the output lives between runs."""
        attrs = attrs or {}
        shapes = [None if tensor is None else tensor.shape for tensor in self.inputs]
        shape = tuple(opset.infer_shape(op, shapes, attrs, shape))
        if like is not None:
            output = Tensor("out", like.dtype, shape, like.quant)
        else:
            dtype = dtype or self.inputs[0].dtype
            quantised = scale is not None and dtype in ("int8", "uint8", "int16")
            output = Tensor("out", dtype, shape, Quant((f32(scale),), zero_point) if quantised else None, None, state)
        case = Case(self.name, op, tuple(self.inputs), output, attrs, self.arrays)
        opset.validate(one_node_graph(case))
        return case

    def words(self, shape, dtype, fill, zero_point=0):
        if not isinstance(fill, str):
            return np.broadcast_to(np.asarray(fill, dtype), shape)
        if dtype == "float32":
            return self.rng.normal(0, 2, shape).astype(np.float32)
        if dtype == "bool":
            return self.rng.integers(0, 2, shape).astype(bool)
        info = np.iinfo(dtype)
        if fill == "random":
            return self.rng.integers(info.min, info.max, shape, dtype, endpoint=True)
        if fill == "extremes":
            return self.rng.choice(np.array([info.min, info.max, zero_point], dtype), shape)
        word = {"lowest": info.min, "highest": info.max, "zero_point": zero_point}[fill]
        return np.full(shape, word, dtype)

    def _add(self, words, dtype, quant, constant):
        words = np.ascontiguousarray(words).reshape(words.shape)  # ascontiguousarray makes a scalar 1-D
        name = f"in{len(self.inputs)}"
        tensor = Tensor(name, dtype, words.shape, quant, words.tobytes() if constant else None)
        self.inputs.append(tensor)
        self.arrays.append(words)
        return tensor


def f32(value):
    """A Python float that float32 holds exactly."""
    return float(np.float32(value))


def one_node_graph(case):
    present = [tensor for tensor in case.inputs if tensor is not None]
    order = iter(range(len(present)))
    indices = tuple(-1 if tensor is None else next(order) for tensor in case.inputs)
    node = Node(case.op, indices, (len(present),), case.attrs, case.name)
    given = tuple(i for i, tensor in enumerate(present) if tensor.data is None and not tensor.state)
    return Graph(case.name, (*present, case.output), (node,), given, (len(present),))
