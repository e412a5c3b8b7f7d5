"""Runs nodes with the reference kernels: for constants folded at import and for golden vectors."""

import numpy as np

from edgert.errors import ConversionError
from edgert.kernels import reference


def node(node, tensors, values):
    """The outputs of one node, as new arrays. values: tensor index -> array, for each of the node's inputs."""
    specs = tuple([None if i < 0 else tensors[i] for i in node.inputs])
    outs = tuple([tensors[i] for i in node.outputs])
    function = reference.bind(node.op, specs, outs, node.attrs)
    arrays = [np.empty(spec.shape, spec.dtype) for spec in outs]
    function([None if i < 0 else values[i] for i in node.inputs], arrays)
    return arrays


def graph(graph, inputs):
    """The outputs of a whole graph for one list of input arrays, each of its tensor's dtype and shape."""
    values = dict(zip(graph.inputs, inputs))
    for i, tensor in enumerate(graph.tensors):
        if tensor.is_constant:
            values[i] = np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)
    last_use = {i: at for at, step in enumerate(graph.nodes) for i in step.inputs}
    for at, step in enumerate(graph.nodes):
        try:
            values.update(zip(step.outputs, node(step, graph.tensors, values)))
        except NotImplementedError as error:
            raise ConversionError(f"node {at} ({step.op}) cannot run: {error}") from None
        for i in step.inputs:
            if last_use[i] == at and i not in graph.outputs:
                values.pop(i, None)
    return [values[i] for i in graph.outputs]
