"""How much work a node is: multiply-accumulates, from shapes alone."""

from edgert.graph import TOKENS


def node_macs(node, tensors, tokens=1):
    """Multiply-accumulates of one run of `node`; 0 for ops that are not products of matrices.

    tensors: the graph's. tokens: what the symbolic dimension stands for.
    """
    count = _COUNTERS.get(node.op)
    if count is None:
        return 0
    shapes = [_bound(tensors[i].shape, tokens) if i >= 0 else () for i in node.inputs]
    return count(shapes, _bound(tensors[node.outputs[0]].shape, tokens), node.attrs)


def _conv2d(shapes, out, attrs):
    _, kh, kw, c_group = shapes[1]
    return _product(out) * kh * kw * c_group


def _depthwise_conv2d(shapes, out, attrs):
    kh, kw, _ = shapes[1]
    return _product(out) * kh * kw


def _transpose_conv2d(shapes, out, attrs):
    c_out, kh, kw, _ = shapes[1]
    return _product(shapes[0]) * kh * kw * c_out


def _linear(shapes, out, attrs):
    return _product(out) * shapes[1][1]


def _dynamic_linear(shapes, out, attrs):
    return _product(out) * shapes[0][-1]


def _batch_matmul(shapes, out, attrs):
    return _product(out) * shapes[0][-2 if attrs.get("transpose_a", 0) else -1]


_COUNTERS = {
    "conv2d": _conv2d,
    "depthwise_conv2d": _depthwise_conv2d,
    "transpose_conv2d": _transpose_conv2d,
    "linear": _linear,
    "dynamic_linear": _dynamic_linear,
    "batch_matmul": _batch_matmul,
}


def _bound(shape, tokens):
    return tuple(tokens if dim == TOKENS else dim for dim in shape)


def _product(values):
    result = 1
    for value in values:
        result *= value
    return result
