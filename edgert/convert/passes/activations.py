"""A ReLU, or any other clamp, becomes the clamp of the node that computes its operand."""

import math

from edgert.convert import tables
from edgert.convert.passes.lookups import uniform

CLAMPED = (
    "conv2d", "depthwise_conv2d", "transpose_conv2d", "linear", "add", "sub", "mul", "div", "avg_pool2d", "max_pool2d",
)  # fmt: skip


def fuse(draft):
    producers, readers, count = draft.producers(), draft.consumers(), 0
    for at, node in enumerate(draft.nodes):
        place, bounds = _clamp(draft, node)
        if bounds is None or node.inputs[place] not in producers:
            continue
        x, source = node.inputs[place], producers[node.inputs[place]]
        producer = draft.nodes[source]
        if producer.op not in CLAMPED or draft.single_reader(x, readers) != at:
            continue
        draft.nodes[source] = producer.replace(outputs=node.outputs, attrs=_narrowed(producer.attrs, bounds))
        draft.nodes[at] = None
        producers[node.outputs[0]] = source
        count += 1
    draft.nodes = [node for node in draft.nodes if node is not None]
    return count


def _clamp(draft, node):
    """(which input varies, (low, high) it is clamped to), or (0, None)."""
    out = draft.tensors[node.outputs[0]]
    if node.op == "lookup" and draft.tensors[node.inputs[0]].quant == out.quant:
        return 0, tables.as_clamp(draft.value(node.inputs[1]))
    if out.dtype != "float32":
        return 0, None
    if node.op == "unary":
        return 0, {"relu": (0.0, math.inf), "relu6": (0.0, 6.0)}.get(node.attrs["function"])
    if node.op in ("minimum", "maximum"):
        for place in (0, 1):
            value = uniform(draft, node.inputs[1 - place])
            if value is not None and draft.tensors[node.inputs[place]].shape == out.shape and not math.isnan(value[0]):
                limit = float(value[0])
                return place, (-math.inf, limit) if node.op == "minimum" else (limit, math.inf)
    return 0, None


def _narrowed(attrs, bounds):
    """Attributes of the producer with its own clamp followed by `bounds`."""
    low, high = bounds
    widest = (-128, 127) if isinstance(low, int) else (-math.inf, math.inf)
    attrs = dict(attrs)
    for name, end in zip(("clamp_min", "clamp_max"), widest):
        value = min(max(attrs.get(name, end), low), high)
        if value != end:
            attrs[name] = value
    return attrs
