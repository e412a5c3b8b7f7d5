"""Which tensors are functions of one number of another tensor: in int8 each of them is one lookup.

`x * sigmoid(x)` and `x * relu6(x + 3) / 6` are found as well as a plain SiLU: what matters is that a node's inputs all
depend on the same tensor, element by element. One table rounds once where a chain would round at every step. Constants
that differ from channel to channel (PReLU's slopes, a scale) make it a table for each channel.
"""

import numpy as np

from edgert.convert import tables

_OPERATIONS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "minimum": np.minimum,
    "maximum": np.maximum, "squared_difference": lambda a, b: (a - b) ** 2,
}  # fmt: skip


MAX_CHANNELS = 512  # with a table of 256 bytes each


class Function:
    """A tensor as `apply(root's value)`; root: index of the tensor that it depends on.

    channels: how many, where it differs from channel to channel; `apply` then takes values (..., C).
    """

    def __init__(self, root, apply, channels=None):
        self.root, self.apply, self.channels = root, apply, channels


def find(graph, kept=()):
    """Tensor index -> Function, for every float tensor that depends on one other tensor, element by element.

    kept: positions of nodes that stay in float and start anew.
    """
    found = {}
    for at, node in enumerate(graph.nodes):
        out = graph.tensors[node.outputs[0]]
        if at in kept or out.dtype != "float32":
            continue
        function = _function(graph, node, found)
        if function is not None and graph.tensors[function.root].shape == out.shape:
            found[node.outputs[0]] = function
    return found


def _function(graph, node, found):
    if node.op == "unary":
        step = tables.function(node.attrs["function"], node.attrs.get("alpha", 0.0))
        return _after(found, node.inputs[0], step)
    if node.op not in _OPERATIONS:
        return None
    operands = [_operand(graph, i, found, graph.tensors[node.outputs[0]]) for i in node.inputs]
    roots = {operand.root for operand in operands if operand is not None} - {None}
    if None in operands or len(roots) != 1:
        return None
    (a, b), operation = operands, _OPERATIONS[node.op]
    low, high = node.attrs.get("clamp_min", -np.inf), node.attrs.get("clamp_max", np.inf)
    channels = a.channels or b.channels
    return Function(roots.pop(), lambda x: np.clip(operation(a.apply(x), b.apply(x)), low, high), channels)


def _after(found, index, step):
    first = found.get(index)
    if first is None:
        return Function(index, step)
    return Function(first.root, lambda x: step(first.apply(x)), first.channels)


def _operand(graph, index, found, out):
    """An input as a Function, of root None where it is a constant: one number, or one for each channel of tensor `out`.

    None where it is another constant.
    """
    tensor = graph.tensors[index]
    if not tensor.is_constant:
        return found.get(index) or Function(index, lambda x: x)
    value = np.frombuffer(tensor.data, tensor.dtype)
    if tensor.dtype != "float32" or not value.size:
        return None
    if (value == value[0]).all():
        return Function(None, lambda x: np.full_like(x, value[0]))
    if value.size <= MAX_CHANNELS and tensor.shape[-1:] == out.shape[-1:] == (value.size,):
        return Function(None, lambda x: np.broadcast_to(value, x.shape), value.size)
    return None
