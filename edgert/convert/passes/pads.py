"""A pad with zeros in front of a convolution becomes the convolution's own padding."""

import math

from edgert import opset
from edgert.errors import ModelFormatError

SIDES = (("pad_top", "before", 1), ("pad_bottom", "after", 1), ("pad_left", "before", 2), ("pad_right", "after", 2))


def fuse(draft):
    producers, count = draft.producers(), 0
    for at, node in enumerate(draft.nodes):
        source = producers.get(node.inputs[0])
        if source is None or draft.nodes[source].op != "pad":
            continue
        fused = _padded(draft, draft.nodes[source], node)
        if fused:
            draft.nodes[at] = fused
            count += 1
    return count


def _padded(draft, pad, node):
    x = draft.tensors[pad.inputs[0]]
    if len(x.shape) != 4 or pad.attrs.get("mode", "constant") != "constant":
        return None
    if any(pad.attrs[side][axis] for side in ("before", "after") for axis in (0, 3)):
        return None
    zero, smallest = (0.0, -math.inf) if x.dtype == "float32" else (x.quant.zero_point if x.quant else 0, -128)
    wanted = {"conv2d": zero, "depthwise_conv2d": zero, "max_pool2d": smallest}
    if pad.attrs.get("value", zero) != wanted.get(node.op):
        return None
    attrs = dict(node.attrs)
    for name, side, axis in SIDES:
        if pad.attrs[side][axis]:
            attrs[name] = attrs.get(name, 0) + pad.attrs[side][axis]
    inputs = (pad.inputs[0], *node.inputs[1:])
    try:
        shapes = tuple([None if i < 0 else draft.tensors[i].shape for i in inputs])
        opset.infer_shape(node.op, shapes, attrs)
    except ModelFormatError:  # more padding than a window may have
        return None
    return node.replace(inputs=inputs, attrs=attrs)
