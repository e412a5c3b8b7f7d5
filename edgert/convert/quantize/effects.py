"""What each node's quantisation does to the outputs when everything else stays in float."""

import copy

import numpy as np

from edgert.convert import evaluate
from edgert.convert.quantize import measure
from edgert.convert.quantize.kinds import Kinds
from edgert.convert.quantize.lower import lower

SAMPLES = 8


def alone(state, progress=None):
    """Node position -> SQNR in dB of the worst output when this node alone is int8.

    Float values are computed once for each sample; behind a node, only what depends on it is computed again.
    progress: called with ("each node alone", done, of how many).
    """
    graph, samples = state.graph, state.data[:: max(1, len(state.data) // SAMPLES)]
    kinds = Kinds(graph, state.recipe.in_float)
    weighed = [at for at, node in enumerate(graph.nodes) if _computes(kinds.of[at], node)]
    singles = {at: _single(state, at) for at in weighed}
    errors = {at: [measure.Error() for _ in graph.outputs] for at in weighed}
    for n, sample in enumerate(samples):
        values = _constants(graph)
        evaluate.graph(graph, sample, values.__setitem__)
        for k, at in enumerate(weighed):
            if progress is not None:
                progress("each node alone", n * len(weighed) + k + 1, len(samples) * len(weighed))
            changed = _behind(graph, at, singles[at], values)
            for error, out in zip(errors[at], graph.outputs):
                error.add(values[out], changed.get(out, values[out]))
    return {at: min(error.db for error in errors[at]) for at in weighed}


def _computes(kind, node):
    return kind in ("weighted", "arithmetic") or (kind == "copy" and node.op == "concat")


def _single(state, at):
    """(the int8 graph of one node with float outputs, the tensors that it reads)."""
    node = state.graph.nodes[at]
    given = tuple(dict.fromkeys(i for i in node.inputs if i >= 0 and not state.graph.tensors[i].is_constant))
    graph = state.graph.replace(nodes=(node,), inputs=given, outputs=node.outputs)
    recipe = copy.copy(state.recipe)
    recipe.graph, recipe.in_float, recipe.outputs = graph, set(), "float32"
    recipe.rounded = {0: recipe.rounded[at]} if at in recipe.rounded else {}
    recipe.biases = {0: recipe.biases[at]} if at in recipe.biases else {}
    return lower(graph, recipe).finish(), given


def _constants(graph):
    return {
        i: np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)
        for i, tensor in enumerate(graph.tensors)
        if tensor.is_constant
    }


def _behind(graph, at, single, values):
    """Tensor index -> what becomes of it with node `at` in int8, for all that depends on that node."""
    int8, given = single
    words = [measure.to_words(values[i], int8.tensors[k]) for i, k in zip(given, int8.inputs)]
    changed = dict(zip(graph.nodes[at].outputs, evaluate.graph(int8, words)))
    for node in graph.nodes[at + 1 :]:
        if any(i in changed for i in node.inputs):
            inputs = {i: changed.get(i, values.get(i)) for i in node.inputs if i >= 0}
            changed.update(zip(node.outputs, evaluate.node(node, graph.tensors, inputs)))
    return changed
