"""Factors and terms per channel go into the weights and bias in front of them: batch normalisation, a bias of its own.

Float only: int8 weights have been rounded for the scale they have.
"""

import numpy as np

# op -> the axis of its weights that runs along output channels
WEIGHTED = {"conv2d": 0, "depthwise_conv2d": 2, "transpose_conv2d": 0, "linear": 0}

LINEAR = ("mul", "div", "add", "sub")


def fold(draft):
    """A mul, div, add or sub with one constant per channel, right behind a convolution or a linear layer."""
    producers, readers, count = draft.producers(), draft.consumers(), 0
    for at, node in enumerate(draft.nodes):
        if node is None or node.op not in LINEAR or draft.tensors[node.outputs[0]].dtype != "float32":
            continue
        for place in (0, 1):
            source = producers.get(node.inputs[place])
            if source is None or draft.single_reader(node.inputs[place], readers) != at:
                continue
            folded = _folded(draft, draft.nodes[source], node, place)
            if folded is not None:
                draft.nodes[source], draft.nodes[at] = None, folded
                count += 1
                break
    draft.nodes = [node for node in draft.nodes if node is not None]
    return count


def _folded(draft, producer, node, place):
    """The producer with the constant in its weights, or None."""
    if producer is None or producer.op not in WEIGHTED or {"clamp_min", "clamp_max"} & set(producer.attrs):
        return None
    if node.op == "div" and place == 1:
        return None
    out = draft.tensors[node.outputs[0]]
    values = _per_channel(draft.value(node.inputs[1 - place]), out.shape)
    if values is None or draft.tensors[node.inputs[place]].shape != out.shape:
        return None
    factor, term = _factor_and_term(node.op, place, values.astype(np.float64))
    if not np.isfinite(factor).all():
        return None
    x, weight, *bias = producer.inputs
    if weight in draft.words and (factor != 1.0).any():
        return None
    name, array = draft.tensors[weight].name, draft.value(weight)
    if (factor != 1.0).any():
        along = [-1 if axis == WEIGHTED[producer.op] else 1 for axis in range(array.ndim)]
        weight = draft.constant(name, (array * factor.reshape(along)).astype(np.float32))
    old = draft.value(bias[0]) if bias and bias[0] >= 0 else np.zeros(len(factor))
    offset = draft.constant(f"{name}/bias", (old * factor + term).astype(np.float32))
    return producer.replace(inputs=(x, weight, offset), outputs=node.outputs, attrs=producer.attrs | node.attrs)


def _per_channel(values, shape):
    """A constant as one value per index of the last axis; None if it is something else."""
    if values is None or not shape or values.size not in (1, shape[-1]):
        return None
    if values.size != 1 and values.shape[-1] != shape[-1]:
        return None
    return np.broadcast_to(values.reshape(-1), (shape[-1],))


def _factor_and_term(op, place, values):
    """`y = factor * x + term`."""
    ones, zeros = np.ones(len(values)), np.zeros(len(values))
    if op == "mul":
        return values, zeros
    if op == "div":
        with np.errstate(all="ignore"):
            return 1.0 / values, zeros
    if op == "add":
        return ones, values
    return (ones, -values) if place == 0 else (-ones, values)
