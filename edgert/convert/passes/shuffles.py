"""Every second channel: a slice of an axis that a reshape split is a slice with a step of the axis itself.

ShuffleNet's channel shuffle followed by a split is two of these.
"""

from edgert.convert.passes.layout_views import groups
from edgert.graph import Node


def to_slices(draft):
    producers, count = draft.producers(), 0
    nodes = []
    for node in draft.nodes:
        nodes.append(node)
        source = producers.get(node.inputs[0]) if node.op == "slice" else None
        if source is None or draft.nodes[source].op != "reshape":
            continue
        whole = draft.nodes[source].inputs[0]
        attrs, shape = _direct(draft, node, whole)
        if attrs is None:
            continue
        out = draft.tensors[node.outputs[0]]
        part = draft.add(out.replace(shape=shape))
        nodes[-1:] = [
            Node("slice", (whole,), (part,), attrs, node.name),
            Node("reshape", (part,), node.outputs, {}, node.name),
        ]
        count += 1
    draft.nodes = nodes
    return count


def _direct(draft, node, whole):
    """(attributes, output shape) of the slice of tensor `whole`, or (None, None)."""
    before, after = draft.tensors[whole].shape, draft.tensors[node.inputs[0]].shape
    size, begin = draft.tensors[node.outputs[0]].shape, node.attrs["begin"]
    if any(step != 1 for step in node.attrs.get("step", ())):
        return None, None
    first, step, shape = [0] * len(before), [1] * len(before), list(before)
    for left, right in groups(before, after):
        if all(size[b] == after[b] for b in right):
            continue
        if len(left) != 1 or len(right) > 2:
            return None, None
        (axis,), (outer, inner) = left, (right[0], right[-1])
        if len(right) == 1:
            first[axis], shape[axis] = begin[outer], size[outer]
        elif size[inner] == after[inner]:  # whole blocks
            first[axis], shape[axis] = begin[outer] * after[inner], size[outer] * after[inner]
        elif size[inner] == 1 and size[outer] == after[outer]:  # one of each block
            first[axis], step[axis], shape[axis] = begin[inner], after[inner], after[outer]
        else:
            return None, None
    attrs = {"begin": tuple(first)} | ({"step": tuple(step)} if any(s != 1 for s in step) else {})
    return attrs, tuple(shape)
