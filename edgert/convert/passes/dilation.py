"""space_to_batch -> convolution -> batch_to_space is how TensorFlow writes a dilated convolution."""

from edgert import opset
from edgert.errors import ModelFormatError

CONVOLUTIONS = ("conv2d", "depthwise_conv2d")


def fuse(draft):
    readers, producers, count = draft.consumers(), draft.producers(), 0
    for at, node in enumerate(draft.nodes):
        if node is None or node.op not in CONVOLUTIONS:
            continue
        before, after = producers.get(node.inputs[0]), draft.single_reader(node.outputs[0], readers)
        if before is None or after is None:
            continue
        split, join = draft.nodes[before], draft.nodes[after]
        if split.op != "space_to_batch" or join.op != "batch_to_space":
            continue
        fused = _dilated(draft, split, node, join)
        if fused:
            draft.nodes[at] = fused
            draft.nodes[after] = None
            count += 1
    draft.nodes = [node for node in draft.nodes if node is not None]
    return count


def _dilated(draft, split, conv, join):
    """The one convolution that does the same, or None where its pads would be negative."""
    attrs, block = conv.attrs, split.attrs["block"]
    plain = all(attrs.get(name, 1) == 1 for name in ("stride_h", "stride_w", "dilation_h", "dilation_w"))
    if not plain or join.attrs["block"] != block:
        return None
    x, out = draft.tensors[split.inputs[0]], draft.tensors[join.outputs[0]]
    weight = draft.tensors[conv.inputs[1]].shape
    kernel = weight[1:3] if conv.op == "conv2d" else weight[:2]
    pads = {}
    for axis, (low, high) in enumerate((("pad_top", "pad_bottom"), ("pad_left", "pad_right"))):
        pads[low] = split.attrs["before"][axis] + attrs.get(low, 0) * block[axis] - join.attrs["before"][axis]
        span = (kernel[axis] - 1) * block[axis] + 1
        pads[high] = out.shape[axis + 1] - 1 + span - x.shape[axis + 1] - pads[low]
    if min(pads.values()) < 0:
        return None
    attrs = {name: value for name, value in attrs.items() if not name.startswith(("pad_", "dilation_"))}
    attrs |= {"dilation_h": block[0], "dilation_w": block[1]} | {name: pad for name, pad in pads.items() if pad}
    inputs = (split.inputs[0], *conv.inputs[1:])
    try:
        shapes = tuple([None if i < 0 else draft.tensors[i].shape for i in inputs])
        if opset.infer_shape(conv.op, shapes, attrs) != out.shape:
            return None
    except ModelFormatError:
        return None
    return conv.replace(inputs=inputs, outputs=join.outputs, attrs=attrs)
