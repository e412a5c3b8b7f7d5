"""Float islands, dequantize -> float operators -> quantize, go back to integers where that is possible."""

import numpy as np

from edgert.convert import tables
from edgert.convert.passes.lookups import BINARY, uniform
from edgert.graph import Node

MAX_CHAIN = 32
# Not div: floats divide in native code, int8 only in the reference.
TO_INTEGER = [op for op in BINARY if op != "div"]


def to_lookup(draft):
    """A chain of functions of one value, from one int8 tensor to another, is a table (built in float64)."""
    producers, count = draft.producers(), 0
    for at, node in enumerate(draft.nodes):
        if node.op != "quantize" or draft.tensors[node.outputs[0]].dtype != "int8":
            continue
        source, steps = _chain(draft, producers, node.inputs[0])
        if source is not None and draft.tensors[source].shape == draft.tensors[node.outputs[0]].shape:
            out = draft.tensors[node.outputs[0]]
            table = tables.build(steps, draft.tensors[source].quant, out.quant)
            index = draft.constant(f"{out.name}/table", table)
            draft.nodes[at] = Node("lookup", (source, index), node.outputs, {}, node.name)
            count += 1
    return count


def _chain(draft, producers, index):
    """(the int8 tensor that float tensor `index` is a function of, the functions in order), or (None, [])."""
    steps = []
    while len(steps) <= MAX_CHAIN:
        node = draft.nodes[producers[index]] if index in producers else None
        if node is None:
            return None, []
        if node.op == "dequantize":
            source = draft.tensors[node.inputs[0]]
            return (node.inputs[0], steps[::-1]) if source.dtype == "int8" else (None, [])
        place, step = _step(draft, node)
        if step is None:
            return None, []
        steps.append(step)
        index = node.inputs[place]
    return None, []


def _step(draft, node):
    """(which input varies, the function of it), or (0, None) if the node is no function of one value."""
    if node.op == "unary":
        return 0, tables.function(**node.attrs)
    if node.op in BINARY:
        for place in (0, 1):
            value = uniform(draft, node.inputs[1 - place])
            if value is not None:
                return place, _with_constant(node, place, float(value[0]))
    return 0, None


_OPERATIONS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "minimum": np.minimum,
    "maximum": np.maximum, "squared_difference": lambda a, b: (a - b) ** 2,
}  # fmt: skip


def _with_constant(node, place, value):
    operation, low, high = _OPERATIONS[node.op], node.attrs.get("clamp_min"), node.attrs.get("clamp_max")

    def step(x):
        y = operation(x, value) if place == 0 else operation(value, x)
        return np.clip(y, -np.inf if low is None else low, np.inf if high is None else high)

    return step


def to_binary(draft):
    """quantize(dequantize(a) op dequantize(b)) is the integer operator, one rounding apart from the float one."""
    producers, readers, count = draft.producers(), draft.consumers(), 0
    for at, node in enumerate(draft.nodes):
        if node.op != "quantize" or draft.tensors[node.outputs[0]].dtype != "int8" or node.inputs[0] not in producers:
            continue
        middle = draft.nodes[producers[node.inputs[0]]]
        if middle.op not in TO_INTEGER or middle.attrs or draft.single_reader(middle.outputs[0], readers) is None:
            continue
        sources = [_dequantised(draft, producers, readers, i) for i in middle.inputs]
        if None not in sources:
            draft.nodes[at] = Node(middle.op, tuple(sources), node.outputs, {}, node.name)
            count += 1
    return count


def _dequantised(draft, producers, readers, index):
    """The int8 tensor behind float tensor `index`, if only one node reads the float one."""
    node = draft.nodes[producers[index]] if index in producers else None
    if node is None or node.op != "dequantize" or draft.single_reader(index, readers) is None:
        return None
    return node.inputs[0] if draft.tensors[node.inputs[0]].dtype == "int8" else None
