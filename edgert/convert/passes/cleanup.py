"""Removes nodes that change nothing or do again what is done already, and merges reshapes in a row."""

from edgert.convert import tables


def remove_identities(draft):
    pairs = {}
    producers = draft.producers()
    for at, node in enumerate(draft.nodes):
        if node.op == "reshape":  # of a reshape: only the last shape counts
            source = producers.get(node.inputs[0])
            if source is not None and draft.nodes[source].op == "reshape":
                node = draft.nodes[at] = node.replace(inputs=draft.nodes[source].inputs)
        if _changes_nothing(draft, node):
            pairs[node.outputs[0]] = node.inputs[0]
    return draft.substitute(pairs)


def share_equal(draft):
    """Of nodes that compute the same of the same tensors the first is enough; a slice of a concat may be its part."""
    pairs, seen, producers = {}, {}, draft.producers()
    for node in draft.nodes:
        out = node.outputs[0]
        key = (node.op, node.inputs, tuple(sorted(node.attrs.items())), _kind(draft.tensors[out]))
        part = _part(draft, producers, node)
        if part is not None:
            pairs[out] = part
        elif key in seen and out not in draft.outputs:
            pairs[out] = seen[key]
        seen.setdefault(key, out)
    return draft.substitute(pairs)


def _kind(tensor):
    quant = tensor.quant and (tensor.quant.scale, tensor.quant.zero_point, tensor.quant.axis)
    return tensor.shape, tensor.dtype, quant


def _part(draft, producers, node):
    """The input of a concat that a slice takes out of it again, else None."""
    source = producers.get(node.inputs[0]) if node.op == "slice" else None
    if source is None or draft.nodes[source].op != "concat" or any(s != 1 for s in node.attrs.get("step", ())):
        return None
    axis, shape, start = draft.nodes[source].attrs["axis"], draft.tensors[node.outputs[0]].shape, 0
    begin = node.attrs["begin"]
    for i in draft.nodes[source].inputs:
        if start == begin[axis] and draft.tensors[i].shape == shape and sum(begin) == start:
            return i
        start += draft.tensors[i].shape[axis]
    return None


def _changes_nothing(draft, node):
    x, out = draft.tensors[node.inputs[0]], draft.tensors[node.outputs[0]]
    if x.shape != out.shape or x.dtype != out.dtype or x.quant != out.quant:
        return False
    attrs = node.attrs
    if node.op in ("reshape", "cast", "pad"):  # a pad of the same shape adds nothing
        return True
    if node.op == "slice":
        return all(step == 1 for step in attrs.get("step", ()))
    if node.op == "transpose":
        return [a for a in attrs["perm"] if x.shape[a] != 1] == [a for a, dim in enumerate(x.shape) if dim != 1]
    if node.op == "concat":
        return len(node.inputs) == 1
    if node.op == "lookup":
        return bool((draft.value(node.inputs[1]) == tables.identity()).all())
    return False
