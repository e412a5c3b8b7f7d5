"""Repairs that need to see what the int8 graph feeds each layer: it is lowered node by node, and run as it grows."""

import numpy as np

from edgert.convert import evaluate
from edgert.convert.quantize import batches, rounding, weights
from edgert.convert.quantize.lower import Lowering
from edgert.convert.quantize.recipe import weight_and_bias

MAX_SAMPLES = 32
FITTED = ("conv2d", "depthwise_conv2d", "linear")


def rebuild(graph, recipe, data, fit=True, progress=None):
    """Corrects the biases of `recipe`'s layers and, with `fit`, rounds their weights anew, first layer first: each sees
    the errors that the layers before it left. data: Samples. Returns: how many layers were changed.
    """
    recipe.rounded, recipe.biases = {}, {}
    layers = [at for at, node in enumerate(graph.nodes) if node.op in FITTED and at not in recipe.in_float]
    graph = _trimmed(graph, layers)
    count = min(MAX_SAMPLES, len(data))
    wide = batches.widened(graph, count)
    if wide is None:
        count, wide = 1, graph
    _Rebuilding(graph, wide, recipe, data[:count], fit, progress).run()
    return len(layers)


def _trimmed(graph, layers):
    """The graph that only computes what these layers give; node positions stay as they are."""
    return graph.replace(outputs=tuple([graph.nodes[at].outputs[0] for at in layers]))


class _Rebuilding(Lowering):
    """exact: float tensor -> its values for all samples. made: draft tensor -> the same of the int8 graph."""

    def __init__(self, graph, wide, recipe, data, fit, progress):
        super().__init__(graph, recipe)
        self.wide, self.data, self.fit, self.progress = wide, data, fit, progress
        self.exact = {i: np.concatenate([sample[k] for sample in data]) for k, i in enumerate(graph.inputs)}
        self.made, self.done = {}, 0
        self.last_use = {i: at for at, node in enumerate(graph.nodes) for i in self._used(node)}
        self.needed = _ancestors(graph)

    def lower_node(self, at, node):
        if at not in self.needed:
            return
        super().lower_node(at, node)
        values = {i: self._value(self.wide.tensors, i, self.exact) for i in node.inputs if i >= 0}
        self.exact.update(zip(node.outputs, evaluate.node(node, self.wide.tensors, values)))
        self._run_new_nodes()
        for i in self._used(node):
            if self.last_use[i] == at:
                self.exact.pop(i, None)
                self.made.pop(self.words.get(i), None)
                self.made.pop(self.real.get(i), None)
        if self.progress is not None:
            self.progress(at + 1, len(self.graph.nodes))

    def _used(self, node):
        """What the node reads, in float or in int8: a function's table reads the tensor at the chain's beginning."""
        function = self.kinds.functions.get(node.outputs[0])
        return node.inputs if function is None else (*node.inputs, function.root)

    def _value(self, tensors, i, computed):
        if i in computed:
            return computed[i]
        return np.frombuffer(tensors[i].data, tensors[i].dtype).reshape(tensors[i].shape)

    def _run_new_nodes(self):
        """Runs what was added to the draft since the last time."""
        for node in self.draft.nodes[self.done :]:
            used = {i: self._input(i) for i in node.inputs if i >= 0}
            tensors = {i: self.draft.tensors[i].replace(shape=array.shape) for i, array in used.items()}
            for i in node.outputs:
                tensors[i] = self._wide_tensor(self.draft.tensors[i])
            self.made.update(zip(node.outputs, evaluate.node(node, tensors, used)))
        self.done = len(self.draft.nodes)

    def _wide_tensor(self, tensor):
        return tensor.replace(shape=(len(self.data), *tensor.shape[1:]))

    def _input(self, i):
        if i not in self.made and i in self.draft.inputs:
            k = self.draft.inputs.index(i)
            quant = self.draft.tensors[i].quant
            values = np.concatenate([sample[k] for sample in self.data])
            words = values if quant is None else np.rint(values / np.float32(quant.scale[0])) + quant.zero_point
            self.made[i] = values if quant is None else np.clip(words, -128, 127).astype(np.int8)
        return self._value(self.draft.tensors, i, self.made)

    def parameters(self, at, node, scale_in):
        if node.op in FITTED:
            self._repair(at, node, scale_in)
        return super().parameters(at, node, scale_in)

    def _repair(self, at, node, scale_in):
        self._run_new_nodes()
        x = node.inputs[0]
        words = self._input(self.words[x])
        quant = self.recipe.quants[x]
        given = (words.astype(np.float32) - quant.zero_point) * np.float32(quant.scale[0])
        rows = rounding.Rows(self.graph, node, len(self.data))
        exact, given = rows(self.exact[x]), rows(given)
        weight, bias = weight_and_bias(self.graph, node)
        axis = weights.CHANNEL_AXIS[node.op]
        scale = weights.scales(weight, axis, scale_in, bias)
        if self.fit:
            rounded = rounding.fitted_words(given, weight, scale, node)
            self.recipe.rounded[at] = rounded, scale
        else:
            rounded = weights.words(weight, axis, scale)
        self.recipe.biases[at] = rounding.corrected_bias(exact, given, weight, rounded, scale, bias, node)


def _ancestors(graph):
    """Positions of the nodes that the graph's outputs depend on."""
    wanted, needed = set(graph.outputs), set()
    for at in range(len(graph.nodes) - 1, -1, -1):
        if wanted.intersection(graph.nodes[at].outputs):
            needed.add(at)
            wanted.update(graph.nodes[at].inputs)
    return needed
