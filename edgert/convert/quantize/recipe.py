"""A recipe: everything that decides how a float graph becomes an int8 one, to be changed by repairs and made again."""

import numpy as np

from edgert.convert.quantize import weights
from edgert.convert.quantize.kinds import Kinds
from edgert.graph import Quant

# A softmax and a sigmoid end in steps of 1 / 256 from 0, a tanh in steps of 1 / 128 from -1: TFLite's conventions.
UNIT, SIGNED_UNIT = (0.0, 255.0 / 256.0), (-1.0, 127.0 / 128.0)
_FIXED = {"softmax": UNIT, "sigmoid": UNIT, "tanh": SIGNED_UNIT}
SPREAD = 1.25  # an output's concat of ranges that differ by more than this is left to float


class Parameters:
    """Of a weighted node: words int8, scale float32 per output channel, bias float32 per output channel or None."""

    def __init__(self, words, scale, bias):
        self.words, self.scale, self.bias = words, scale, bias


class Recipe:
    """ranges: tensor index -> (low, high) that its words span. in_float: positions of nodes that stay in float.

    apart: tensors that keep their own range before a concat, at the price of a lookup. rounded: node position ->
    words and scale found by a repair, instead of the nearest ones. biases: node position -> corrected float bias.
    pinned: tensor index -> (low, high) that a repair prescribes. outputs: "int8", "float32", or "auto": float32 for
    those that join ranges of different size.
    """

    def __init__(self, graph, ranges, outputs="auto"):
        self.graph, self.ranges, self.outputs = graph, dict(ranges), outputs
        self.in_float, self.apart, self.rounded, self.biases, self.pinned = set(), set(), {}, {}, {}
        if outputs == "auto":
            self.in_float |= _joining_tail(graph, ranges)
        self.settle()

    def settle(self):
        """Works `quants` out anew: tensor index -> Quant, for each float tensor that has words."""
        kinds = Kinds(self.graph, self.in_float)
        ranges = self._own_ranges()
        self.quants = {}
        for group in _groups(self.graph, kinds, self.apart):
            ends = [ranges[i] for i in group if i in ranges]
            if ends:
                quant = quant_of(min(low for low, _ in ends), max(high for _, high in ends))
                self.quants.update(dict.fromkeys(group, quant))

    def _own_ranges(self):
        """The measured ranges, constants' own ranges, and those that an op gives by its nature."""
        ranges = dict(self.ranges)
        for i, tensor in enumerate(self.graph.tensors):
            if tensor.is_constant and tensor.dtype == "float32":
                value = np.frombuffer(tensor.data, np.float32)
                ranges[i] = (float(value.min()), float(value.max()))
        for node in self.graph.nodes:
            fixed = _FIXED.get(node.attrs.get("function", node.op))
            if fixed is not None and node.op in ("softmax", "unary"):
                ranges[node.outputs[0]] = fixed
        return ranges | self.pinned

    def move_nodes(self, places):
        """Nodes were inserted: what stood at position k stands at places[k]."""
        self.in_float = {places[at] for at in self.in_float}
        self.rounded = {places[at]: value for at, value in self.rounded.items()}
        self.biases = {places[at]: value for at, value in self.biases.items()}

    def words_range(self, i):
        """(low, high): the real numbers of tensor i's lowest and highest word."""
        quant = self.quants[i]
        return quant.scale[0] * (-128 - quant.zero_point), quant.scale[0] * (127 - quant.zero_point)

    def gives_float(self, i):
        """Whether graph output i is float32."""
        if self.outputs != "auto":
            return self.outputs == "float32"
        producers = {index: at for at, node in enumerate(self.graph.nodes) for index in node.outputs}
        return producers.get(i) in self.in_float

    def parameters(self, at, node, scale_in):
        """The Parameters of weighted node `at` for inputs in steps of `scale_in`."""
        weight, bias = weight_and_bias(self.graph, node)
        bias = self.biases.get(at, bias)
        if at in self.rounded:
            return Parameters(*self.rounded[at], bias)
        axis = weights.CHANNEL_AXIS[node.op]
        scale = weights.scales(weight, axis, scale_in, bias)
        return Parameters(weights.words(weight, axis, scale), scale, bias)


def weight_and_bias(graph, node):
    """A weighted node's float32 weight and bias (None where there is none)."""
    arrays = []
    for i in node.inputs[1:]:
        tensor = graph.tensors[i] if i >= 0 else None
        arrays.append(tensor and np.frombuffer(tensor.data, np.float32).reshape(tensor.shape))
    return arrays[0], arrays[1] if len(arrays) > 1 else None


def quant_of(low, high):
    """256 words over [low, high], one of them exactly zero: zero is what padding is filled with."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255.0)) or 1.0 / 255.0
    scale = max(scale, float(np.float32(2.0**-100)))
    return Quant((scale,), int(np.clip(np.rint(-128.0 - low / scale), -128, 127)))


def _groups(graph, kinds, apart):
    """Lists of float tensors that must have one scale, as words are copied between them; most hold one tensor."""
    leader = list(range(len(graph.tensors)))

    def find(i):
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    for at, node in enumerate(graph.nodes):
        if kinds.of[at] == "copy":
            for i in node.inputs:
                if i >= 0 and graph.tensors[i].dtype == "float32" and i not in apart:
                    leader[find(i)] = find(node.outputs[0])
    groups = {}
    for i, tensor in enumerate(graph.tensors):
        if tensor.dtype == "float32":
            groups.setdefault(find(i), []).append(i)
    return list(groups.values())


_TAIL = ("concat", "reshape", "transpose")


def _joining_tail(graph, ranges):
    """Nodes that only bring finished results together, if the ranges of what they join differ: boxes beside scores.

    One scale for all would be too coarse for the smaller. Such nodes move numbers and cost nothing in float.
    """
    producers = {i: at for at, node in enumerate(graph.nodes) for i in node.outputs}
    tail, joins = set(), False
    pending = [i for i in graph.outputs if i in producers]
    while pending:
        at = producers[pending.pop()]
        node = graph.nodes[at]
        if node.op not in _TAIL or at in tail:
            continue
        tail.add(at)
        spans = [ranges[i][1] - ranges[i][0] for i in node.inputs if i in ranges]
        joins |= node.op == "concat" and max(spans) > SPREAD * min(spans)
        pending += [i for i in node.inputs if i in producers]
    return tail if joins else set()
