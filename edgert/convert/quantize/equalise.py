"""Cross-layer equalisation: channels between two layers are scaled to similar ranges, which one scale then serves well.

What a layer makes smaller, the next makes larger by its weights; a ReLU between them commutes with a positive factor,
and a ReLU6 with one that lets quiet channels grow up to its 6.
Weights have a scale per output channel, so the first layer loses nothing, and a depthwise second one neither: its
channels are made fully equal. In a full convolution channels share scales, so it meets them half way.

Sources: Nagel et al., "Data-Free Quantization through Weight Equalization and Bias Correction", 2019; Xiao et al.,
"SmoothQuant", 2022, equation 4, for how a factor is split between activations and weights.
"""

import numpy as np

from edgert.convert.quantize.recipe import weight_and_bias

LAYERS = ("conv2d", "depthwise_conv2d", "linear")
HOMOGENEOUS = ("relu", "leaky_relu")  # f(s * x) = s * f(x) for s > 0
CROSSED = ("max_pool2d", "pad", "avg_pool2d", "resize")  # what keeps channels apart and scales along
FARTHEST = 64.0  # no channel is scaled by more than this, or its inverse


def equalise(graph, seen):
    """(graph with scaled weights, how many pairs of layers). seen: tensor index -> Observer of `graph`.

    Its float answers to values within what was seen stay the same up to rounding; the ranges between layers change.
    """
    readers, tensors, pairs = {}, list(graph.tensors), 0
    for node in graph.nodes:
        for i in set(node.inputs):
            readers.setdefault(i, []).append(node)
    for first in graph.nodes:
        chain = _between(graph, first, readers)
        if chain is None:
            continue
        between, second, limit = chain
        shares = _factor(graph.replace(tensors=tuple(tensors)), between, second, limit, seen)
        if shares is None:
            continue
        scale(tensors, first, 1.0 / shares, rows=True)
        scale(tensors, second, shares, rows=False)
        pairs += 1
    return graph.replace(tensors=tuple(tensors)), pairs


def _between(graph, first, readers):
    """(the tensors between two layers that can be equalised, the second layer, what values end at), or None."""
    limit = _limit(first.attrs)
    if first.op not in LAYERS or limit is None or _shared(graph, first, readers):
        return None
    between = [first.outputs[0]]
    while True:
        following = readers.get(between[-1], [])
        if len(following) != 1 or between[-1] in graph.outputs:
            return None
        node = following[0]
        if node.op in LAYERS:
            fits = node.inputs[0] == between[-1] and not _shared(graph, node, readers)
            return (between, node, limit) if fits and node.attrs.get("groups", 1) == 1 else None
        if node.op == "unary" and node.attrs["function"] == "relu6":
            limit = min(limit, 6.0)
        else:
            crossed = node.op in CROSSED and _limit(node.attrs) == np.inf and not node.attrs.get("value", 0.0)
            if not crossed and not (node.op == "unary" and node.attrs["function"] in HOMOGENEOUS):
                return None
        between.append(node.outputs[0])


def _limit(attrs):
    """Where a node's clamp ends values above, infinity without one; None if it ends them below at other than zero."""
    if attrs.get("clamp_min", 0.0) not in (0.0, -np.inf):
        return None
    limit = attrs.get("clamp_max", np.inf)
    return limit if limit == np.inf or (limit > 0.0 and attrs.get("clamp_min") == 0.0) else None


def _shared(graph, node, readers):
    return any(len(readers[i]) > 1 for i in node.inputs[1:] if i >= 0)


def _factor(graph, between, second, limit, seen):
    """What each channel between the layers is divided by; None where nothing is known of it.

    A clamp at 6 stays where it is, so channels only grow there, and at most until what was seen of them reaches it:
    what is more than that saturates, as beyond any calibrated range.
    """
    if any(i not in seen for i in between):
        return None
    observers = [seen[i] for i in (between if limit == np.inf else between[-1:])]
    spans = np.max([np.maximum(-o.channel_low, o.channel_high) for o in observers], axis=0)
    if not spans.any():
        return None
    weight, _ = weight_and_bias(graph, second)
    shares = factor(weight, second.op == "depthwise_conv2d", spans)
    return shares if limit == np.inf else np.clip(shares / shares.max(), np.maximum(spans / limit, 1 / FARTHEST), 1.0)


def factor(weight, depthwise, spans):
    """What each channel that a layer reads is divided by. weight: the layer's; spans (C): the channels' magnitudes."""
    if depthwise:
        factor = spans.astype(np.float64)
    else:
        largest = np.abs(weight).max(tuple(range(weight.ndim - 1)))
        factor = np.sqrt(spans / np.maximum(largest, 1e-12))
    used = factor > 0
    if not used.any():
        return np.ones(len(spans))
    middle = np.exp(np.log(factor[used]).mean())
    return np.clip(np.where(used, factor / middle, 1.0), 1.0 / FARTHEST, FARTHEST)


def scale(tensors, node, factor, rows):
    """Multiplies a layer's weights by a factor per output channel (rows, the bias too) or per input channel."""
    places = [i for i in node.inputs[1:] if i >= 0]
    for position, i in enumerate(places):
        if position == 1 and not rows:
            continue
        array = np.frombuffer(tensors[i].data, np.float32).reshape(tensors[i].shape)
        along = factor
        if position == 0 and node.op == "depthwise_conv2d" and not rows:
            along = np.repeat(factor, array.shape[2] // len(factor))
        elif position == 0 and node.op != "depthwise_conv2d" and rows:
            along = factor.reshape(-1, *[1] * (array.ndim - 1))
        tensors[i] = tensors[i].replace(data=(array * along).astype(np.float32).tobytes())
