"""Runs nodes with the reference kernels: for constants folded at import and for golden vectors."""

import numpy as np

from edgert import opset
from edgert.graph import Graph
from edgert.kernels import reference


def check(node, tensors):
    """Proves what the kernels take for granted about one node that stands in no validated graph.

    Raises: ModelFormatError.
    """
    used = sorted({i for i in node.inputs if i >= 0}) + list(node.outputs)
    place = {old: new for new, old in enumerate(used)} | {-1: -1}
    alone = [tensors[i].replace(name=f"{tensors[i].name}/{k}") for k, i in enumerate(used)]
    inputs, outputs = (tuple([place[i] for i in ends]) for ends in (node.inputs, node.outputs))
    given = tuple(sorted({i for i in inputs if i >= 0 and not alone[i].is_constant}))
    opset.validate(Graph("", tuple(alone), (node.replace(inputs=inputs, outputs=outputs),), given, outputs))


def node(node, tensors, values):
    """The outputs of one valid node, as new arrays or, of a state, in the array that `values` has for it.

    values: tensor index -> array, for each of the node's inputs and states.
    """
    specs = tuple([None if i < 0 else tensors[i] for i in node.inputs])
    outs = tuple([tensors[i] for i in node.outputs])
    function = reference.bind(node.op, specs, outs, node.attrs)
    arrays = [values[i] if i in values else np.empty(spec.shape, spec.dtype) for i, spec in zip(node.outputs, outs)]
    with np.errstate(all="ignore"):  # infinities and NaN are answers like others
        function([None if i < 0 else values[i] for i in node.inputs], arrays)
    return arrays


def graph(graph, inputs, visit=None, states=None):
    """The outputs of a whole valid graph for one list of input arrays, each of its tensor's dtype and shape.

    visit: called with (tensor index, array) for the inputs and for whatever a node computes. states: tensor index ->
    array of each state, which the run changes.
    """
    values = dict(zip(graph.inputs, inputs))
    if visit is not None:
        for i, array in values.items():
            visit(i, array)
    values.update(states or {})
    for i, tensor in enumerate(graph.tensors):
        if tensor.is_constant:
            values[i] = np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)
    last_use = {i: at for at, step in enumerate(graph.nodes) for i in step.inputs}
    for at, step in enumerate(graph.nodes):
        for i, array in zip(step.outputs, node(step, graph.tensors, values)):
            values[i] = array
            if visit is not None:
                visit(i, array)
        for i in step.inputs:
            if last_use[i] == at and i not in graph.outputs:
                values.pop(i, None)
    return [values[i] for i in graph.outputs]
