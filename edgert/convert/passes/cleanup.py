"""Removes nodes that change nothing, and merges reshapes in a row."""

from edgert.convert import tables


def remove_identities(draft):
    pairs = {}
    producers = draft.producers()
    for at, node in enumerate(draft.nodes):
        if _changes_nothing(draft, node):
            pairs[node.outputs[0]] = node.inputs[0]
        elif node.op == "reshape":  # of a reshape: only the last shape counts
            source = producers.get(node.inputs[0])
            if source is not None and draft.nodes[source].op == "reshape":
                draft.nodes[at] = node.replace(inputs=draft.nodes[source].inputs)
    return draft.substitute(pairs)


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
