"""Float operators between `dequantize` and `quantize` become integer ones: how ONNX writes a quantised model.

Words that are only moved are moved as they are (`sink`); what computes takes its operands' words and the scale that the
`quantize` behind it gives (`fuse`). Each new node is proved before it replaces anything.
"""

import math

import numpy as np

from edgert.convert import evaluate, tables
from edgert.convert.passes.scaling import WEIGHTED
from edgert.errors import ModelFormatError
from edgert.graph import Node, Quant

MOVING = (
    "reshape", "transpose", "slice", "gather", "gather_nd", "space_to_depth", "depth_to_space", "max_pool2d",
)  # fmt: skip
COMPUTING = (
    "add", "sub", "mul", "minimum", "maximum", "squared_difference", "batch_matmul", "avg_pool2d", "reduce", "softmax",
    "resize", "concat",
)  # fmt: skip
CLAMPS = ("clamp_min", "clamp_max")


def sink(draft):
    """`move(dequantize(x))` is `dequantize(move(x))`."""
    producers, count, nodes = draft.producers(), 0, []
    for node in draft.nodes:
        source = _dequantised(draft, producers, node.inputs[0]) if _moves(node) else None
        if source is None:
            nodes.append(node)
            continue
        out = draft.tensors[node.outputs[0]]
        words = draft.add(out.replace(dtype="int8", quant=draft.tensors[source].quant))
        attrs = {name: value for name, value in node.attrs.items() if name != "value"}
        nodes.append(node.replace(inputs=(source, *node.inputs[1:]), outputs=(words,), attrs=attrs))
        nodes.append(Node("dequantize", (words,), node.outputs, {}, node.name))
        count += 1
    draft.nodes = nodes
    return count


def _moves(node):
    """Whether a node only moves words, or puts zeros beside them."""
    if node.op == "resize":
        return node.attrs["mode"] == "nearest"
    if node.op == "pad":
        return not node.attrs.get("value", 0.0)
    return node.op in MOVING and not set(CLAMPS) & set(node.attrs)


def _dequantised(draft, producers, index):
    """The int8 tensor behind a float one, None if there is none."""
    node = draft.nodes[producers[index]] if index in producers else None
    if node is None or node.op != "dequantize" or draft.tensors[node.inputs[0]].dtype != "int8":
        return None
    return node.inputs[0]


def fuse(draft):
    """`quantize(op(dequantize(a), dequantize(b)))` is the integer operator."""
    producers, readers, count = draft.producers(), draft.consumers(), 0
    nodes = []
    for node in draft.nodes:
        nodes.append(node)
        middle = _behind(draft, producers, readers, node)
        if middle is None:
            continue
        made = _integer(draft, producers, middle, node.outputs[0])
        if made is not None and _is_proved(draft, made):
            nodes[-1:] = made
            count += 1
    draft.nodes = nodes
    return count


def _behind(draft, producers, readers, node):
    """The float operator that a `quantize` alone reads."""
    if node.op != "quantize" or draft.tensors[node.outputs[0]].dtype != "int8" or node.inputs[0] not in producers:
        return None
    return draft.nodes[producers[node.inputs[0]]] if draft.single_reader(node.inputs[0], readers) is not None else None


def _integer(draft, producers, node, out):
    """Nodes that compute int8 tensor `out` as float operator `node` would, or None."""
    quant = draft.tensors[out].quant
    if node.op in WEIGHTED:
        inputs, before = _weighted(draft, producers, node), []
    elif node.op in COMPUTING:
        sources = [_words(draft, producers, i) for i in node.inputs]
        inputs, before = (None, []) if None in sources else (tuple(sources), [])
        if inputs and node.op == "concat":
            inputs, before = _requantised(draft, inputs, quant)
    else:
        return None
    if inputs is None:
        return None
    attrs = {name: value for name, value in node.attrs.items() if name not in CLAMPS}
    return [*before, Node(node.op, inputs, (out,), attrs | _clamps(node.attrs, quant), node.name)]


def _words(draft, producers, index):
    """The int8 tensor that a float one stands for: of a dequantize, or a constant made of words."""
    words = draft.words.get(index)
    if words is not None and words.axis is None:
        return draft.constant(draft.tensors[index].name, words.array, Quant(words.scale, words.zero_point))
    return _dequantised(draft, producers, index)


def _weighted(draft, producers, node):
    """(x, weight, bias) as int8, int8 and int32."""
    x, weight, *bias = node.inputs
    source, words = _dequantised(draft, producers, x), draft.words.get(weight)
    if source is None or words is None or words.axis not in (None, WEIGHTED[node.op]):
        return None
    name = draft.tensors[weight].name
    stored = draft.constant(name, words.array, Quant(words.scale, words.zero_point, words.axis))
    if not bias or bias[0] < 0:
        return (source, stored)
    steps = draft.value(bias[0]) / (draft.tensors[source].quant.scale[0] * np.array(words.scale))
    if not np.abs(steps).max() < 2**31 - 1:
        return None
    return (source, stored, draft.constant(draft.tensors[bias[0]].name, np.rint(steps).astype(np.int32)))


def _requantised(draft, inputs, quant):
    """(the inputs with the output's scale, the lookups that give it to those with another)."""
    found, before = [], []
    for index in inputs:
        tensor = draft.tensors[index]
        if tensor.quant != quant:
            table = draft.constant(f"{tensor.name}/table", tables.build([], tensor.quant, quant))
            place = draft.add(tensor.replace(quant=quant, data=None))
            before.append(Node("lookup", (index, table), (place,), {}, tensor.name))
            index = place
        found.append(index)
    return tuple(found), before


def _clamps(attrs, quant):
    """A float clamp in the words of `quant`."""
    found = {}
    for name, end in zip(CLAMPS, (-128, 127)):
        value = attrs.get(name)
        if value is not None and math.isfinite(value):
            word = min(max(round(value / quant.scale[0]) + quant.zero_point, -128), 127)
            found |= {name: word} if word != end else {}
    return found


def _is_proved(draft, nodes):
    try:
        for node in nodes:
            evaluate.check(node, draft.tensors)
    except ModelFormatError:
        return False
    return True
