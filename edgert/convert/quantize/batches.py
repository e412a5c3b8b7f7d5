"""Many samples in one run: the leading dimension 1 of a graph becomes N, so that NumPy multiplies large matrices."""

import numpy as np

from edgert.convert import evaluate

BATCH_BYTES = 8 * 2**20  # of the largest tensor of a batch: beyond the caches more samples at once gain nothing
MAX_BATCH = 256

_ALWAYS = {
    "conv2d", "depthwise_conv2d", "transpose_conv2d", "lookup", "unary", "avg_pool2d", "max_pool2d", "resize", "cast",
    "quantize", "dequantize", "space_to_depth", "depth_to_space",
}  # fmt: skip
_BINARY = {"add", "sub", "mul", "div", "minimum", "maximum", "floor_div", "squared_difference"}


def widened(graph, n):
    """The graph for `n` samples side by side, or None where samples would mix: a node moves the leading dimension."""
    if n == 1:
        return graph
    tensors, wide = list(graph.tensors), set(graph.inputs)
    if any(tensor.state for tensor in tensors):
        return None
    for node in graph.nodes:
        varying = [i in wide for i in node.inputs]
        if not any(varying):
            continue
        if not _keeps_samples_apart(tensors, node, varying):
            return None
        wide.update(node.outputs)
    for i in wide:
        shape = tensors[i].shape
        if not shape or shape[0] != 1:
            return None
        tensors[i] = tensors[i].replace(shape=(n, *shape[1:]))
    return graph.replace(tensors=tuple(tensors))


def _keeps_samples_apart(tensors, node, varying):
    """Whether the node works on each index of the leading dimension by itself. tensors: as for one sample."""
    op, attrs, out = node.op, node.attrs, tensors[node.outputs[0]].shape
    shapes = [tensors[i].shape for i in node.inputs if i >= 0]
    if not out or out[0] != 1 or not all(shape and shape[0] == 1 for shape, vary in zip(shapes, varying) if vary):
        return False
    if op in _ALWAYS:
        return True
    if op in ("softmax", "log_softmax", "linear"):
        return len(out) > 1
    if op in _BINARY:
        return all(len(shape) == len(out) for shape, vary in zip(shapes, varying) if vary)
    if op == "batch_matmul":
        return all(len(shape) == len(out) > 2 for shape, vary in zip(shapes, varying) if vary)
    if op == "concat":
        return attrs["axis"] != 0 and all(varying)
    if op == "gather":
        return attrs.get("axis", 0) != 0 and not attrs.get("batch_dims", 0) and varying == [True, False]
    if op == "pad":
        return attrs["before"][0] == attrs["after"][0] == 0
    if op == "reduce":
        return 0 not in attrs["axes"]
    if op in ("arg_max", "arg_min"):
        return attrs["axis"] != 0
    if op == "transpose":
        return attrs["perm"][0] == 0
    return op in ("reshape", "slice")


def runs(graph, samples):
    """(widened graph, list of input arrays, how many samples), run by run, as few as memory and the graph allow.

    samples: list of tuples with one array per graph input, each of the input's shape.
    """
    largest = max([tensor.nbytes for tensor in graph.tensors if tensor.data is None], default=1)
    n = max(1, min(MAX_BATCH, len(samples), BATCH_BYTES // largest))
    if widened(graph, 2) is None:
        n = 1
    made = {}
    for at in range(0, len(samples), n):
        group = samples[at : at + n]
        if len(group) not in made:
            made[len(group)] = widened(graph, len(group))
        yield made[len(group)], [np.concatenate(arrays) if n > 1 else arrays[0] for arrays in zip(*group)], len(group)


def outputs(graph, samples, visit=None):
    """The graph's outputs for all samples: one array per output, (N, ...) with the samples along the first axis.

    visit: called with (tensor index, array) for each tensor of each run, inputs included.
    """
    parts = [evaluate.graph(wide, arrays, visit) for wide, arrays, _ in runs(graph, samples)]
    return [np.concatenate([a if a.ndim else a[np.newaxis] for a in arrays]) for arrays in zip(*parts)]
