"""How much each channel of a tensor counts: the power that the layers which read it give to it."""

import numpy as np

from edgert.convert.quantize import functions
from edgert.convert.quantize.recipe import weight_and_bias


def of(graph, seen):
    """Tensor index -> gains (C), for tensors that only layers read, directly or through a function of one number.

    seen: tensor index -> Observer.
    """
    readers = {}
    for node in graph.nodes:
        for i in node.inputs:
            readers.setdefault(i, []).append(node)
    found, through, gains = functions.find(graph), {}, {}
    for out, function in found.items():
        through.setdefault(function.root, []).append(out)
    for i in seen:
        layers = _layers(graph, i, readers, through, found)
        if layers and graph.tensors[i].shape:
            gains[i] = sum(_gains(graph, layer, seen) for layer in layers)
    return gains


def _layers(graph, i, readers, through, found):
    """The layers that read tensor i, None where anything else does."""
    layers = []
    if i in graph.outputs:
        return None
    for node in readers.get(i, []):
        if node.op in ("conv2d", "depthwise_conv2d") and node.inputs[0] == i and node.attrs.get("groups", 1) == 1:
            layers.append(node)
        elif node.outputs[0] not in found:
            return None
    for out in through.get(i, []):
        behind = _layers(graph, out, readers, {}, found)
        if behind is None:
            return None
        layers += behind
    return layers


def _gains(graph, layer, seen):
    """Per input channel of a layer, its weights' power; a depthwise one's relative to the range of its outputs."""
    weight, _ = weight_and_bias(graph, layer)
    power = (weight.astype(np.float64) ** 2).reshape(-1, weight.shape[-1]).sum(0)
    if layer.op == "depthwise_conv2d":
        channels = graph.tensors[layer.inputs[0]].shape[-1]
        out = seen[layer.outputs[0]]
        spans = np.maximum(-out.channel_low, out.channel_high).reshape(channels, -1).max(1)
        power = power.reshape(channels, -1).sum(1) / np.maximum(spans, 1e-3)
    return power / max(power.mean(), 1e-30)
