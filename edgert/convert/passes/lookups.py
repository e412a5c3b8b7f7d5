"""Whatever computes one int8 word from one other int8 word is a table; tables in a row are one table."""

import numpy as np

from edgert.convert import evaluate, tables
from edgert.graph import Node, Tensor

BINARY = ("add", "sub", "mul", "div", "minimum", "maximum", "squared_difference")


def from_binary(draft):
    """`x op constant` where the constant is one value, and `x op x`: the table is what the reference kernel gives."""
    count = 0
    for at, node in enumerate(draft.nodes):
        if node.op not in BINARY or draft.tensors[node.outputs[0]].dtype != "int8":
            continue
        place = _operand(draft, node)
        if place is not None:
            table = draft.constant(f"{draft.tensors[node.outputs[0]].name}/table", _tabulate(draft, node))
            draft.nodes[at] = Node("lookup", (node.inputs[place], table), node.outputs, {}, node.name)
            count += 1
    return count


def _operand(draft, node):
    """Which input is the only one that varies; None if both do."""
    a, b = (draft.tensors[i] for i in node.inputs)
    shape = draft.tensors[node.outputs[0]].shape
    if node.inputs[0] == node.inputs[1]:
        return 0
    for place, x in enumerate((a, b)):
        if x.shape == shape and not x.is_constant and uniform(draft, node.inputs[1 - place]) is not None:
            return place
    return None


def uniform(draft, index):
    """The value that all elements of a constant tensor have, as an array of shape (1,); None if there is no such."""
    value = draft.value(index)
    if value is None or not value.size or (value != value.flat[0]).any():
        return None
    return value.reshape(-1)[:1]


def _tabulate(draft, node):
    """The node's answers for all 256 words."""
    specs, values = [], {}
    for k, i in enumerate(node.inputs):
        constant = draft.value(i)
        values[k] = tables.identity() if constant is None else constant.reshape(-1)[:1]
        specs.append(Tensor(str(k), "int8", values[k].shape, draft.tensors[i].quant))
    specs.append(Tensor("table", "int8", (256,), draft.tensors[node.outputs[0]].quant))
    return evaluate.node(Node(node.op, (0, 1), (2,), node.attrs), specs, values)[0]


def compose(draft):
    """A lookup of a lookup reads the first one's input, if that leaves the first one without readers."""
    producers, readers, count = draft.producers(), draft.consumers(), 0
    for at, node in enumerate(draft.nodes):
        source = producers.get(node.inputs[0]) if node.op == "lookup" else None
        if source is None or draft.nodes[source].op != "lookup" or node.inputs[0] in draft.outputs:
            continue
        if any(draft.nodes[r].op != "lookup" for r in readers[node.inputs[0]]):
            continue
        first = draft.nodes[source]
        table = tables.compose(draft.value(first.inputs[1]), draft.value(node.inputs[1]))
        index = draft.constant(f"{draft.tensors[node.outputs[0]].name}/table", np.asarray(table))
        draft.nodes[at] = node.replace(inputs=(first.inputs[0], index))
        count += 1
    return count
