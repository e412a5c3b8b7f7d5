"""Channels put in another order behind a convolution are its filters put in that order."""

import numpy as np

from edgert.convert.passes.scaling import WEIGHTED


def permute_filters(draft):
    """A `gather` of all channels, by constant indices, from a float convolution or linear layer that it alone reads."""
    producers, readers, count = draft.producers(), draft.consumers(), 0
    for at, node in enumerate(draft.nodes):
        order = _order(draft, node) if node.op == "gather" else None
        source = producers.get(node.inputs[0]) if order is not None else None
        if source is None or draft.single_reader(node.inputs[0], readers) != at:
            continue
        producer = draft.nodes[source]
        # A depthwise convolution would need its input's channels in that order too.
        if producer is None or producer.op not in WEIGHTED or producer.op == "depthwise_conv2d":
            continue
        if producer.attrs.get("groups", 1) != 1 or draft.tensors[node.outputs[0]].dtype != "float32":
            continue
        x, weight, *bias = producer.inputs
        constants = [i if i < 0 else _taken(draft, i, order) for i in (weight, *bias)]
        draft.nodes[source], draft.nodes[at] = None, producer.replace(inputs=(x, *constants), outputs=node.outputs)
        count += 1
    draft.nodes = [node for node in draft.nodes if node is not None]
    return count


def _order(draft, node):
    """The order in which a gather takes all indices of the last axis, else None."""
    shape, indices = draft.tensors[node.inputs[0]].shape, draft.value(node.inputs[1])
    if indices is None or indices.ndim != 1 or node.attrs.get("axis", 0) != len(shape) - 1:
        return None
    return indices if sorted(indices.tolist()) == list(range(shape[-1])) else None


def _taken(draft, index, order):
    moved = draft.constant(draft.tensors[index].name, np.take(draft.value(index), order, axis=0))
    words = draft.words.get(index)
    if words is not None and words.axis is None:
        draft.words[moved] = words.moved(lambda array: np.take(array, order, axis=0), None)
    return moved
