"""An edgert graph as an ONNX file in ONNX Runtime's own quantised operators, so that it runs the same numbers.

Activations become uint8 (ONNX Runtime's fast path on x86) and NCHW, as its convolutions want them. Written as protobuf
by hand: the package `onnx` is not needed.
"""

import struct

import numpy as np

_MS = "com.microsoft"
_SHIFT = 128  # from int8 words to uint8 words


class Unsupported(Exception):
    """An operator that these few lines cannot express."""


def to_onnx(graph):
    """The bytes of an ONNX model that answers as `graph` does. Raises: Unsupported."""
    builder = _Builder(graph)
    for node in graph.nodes:
        make = _MAKERS.get(node.op)
        if make is None or graph.tensors[node.outputs[0]].dtype != "int8":
            raise Unsupported(f"no quantised ONNX operator for {node.op} here")
        make(builder, node)
    return builder.model()


class _Builder:
    def __init__(self, graph):
        self.graph, self.nodes, self.constants = graph, [], {}

    def name(self, index):
        return f"t{index}"

    def constant(self, array):
        array = np.asarray(array)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = (f"c{len(self.constants)}", array)
        return self.constants[key][0]

    def quant(self, index):
        """Names of the scale and zero point of an activation."""
        quant = self.graph.tensors[index].quant
        scale, zero_point = np.float32(quant.scale[0]), np.uint8(quant.zero_point + _SHIFT)
        return [self.constant(scale), self.constant(zero_point)]

    def weight(self, index, transpose, shape=None):
        """Names of a weight with its axes in another order (and shape), of its scales and of its zero point."""
        tensor = self.graph.tensors[index]
        words = np.frombuffer(tensor.data, np.int8).reshape(tensor.shape).transpose(transpose)
        words = words if shape is None else words.reshape(shape)
        scales = np.array(tensor.quant.scale, np.float32)
        if len(scales) == 1:
            scales, zero_point = scales[0], np.int8(tensor.quant.zero_point)
        else:
            zero_point = np.zeros(len(scales), np.int8)
        return [self.constant(np.ascontiguousarray(words)), self.constant(scales), self.constant(zero_point)]

    def add(self, op, inputs, output, domain="", **attributes):
        self.nodes.append(_node(op, inputs, [output], domain, attributes))

    def clamped(self, node, make):
        """Let `make` write the output, followed by the clamp that the words' own range does not do."""
        low, high = node.attrs.get("clamp_min", -128), node.attrs.get("clamp_max", 127)
        out = self.name(node.outputs[0])
        if (low, high) == (-128, 127):
            make(out)
            return
        make(out + "_wide")
        bounds = [self.constant(np.uint8(value + _SHIFT)) for value in (low, high)]
        self.add("Clip", [out + "_wide", *bounds], out)

    def model(self):
        graph = b"".join(_field(1, node) for node in self.nodes) + _field(2, b"peer")
        for name, array in self.constants.values():
            graph += _field(5, _tensor(name, array))
        for field, indices in ((11, self.graph.inputs), (12, self.graph.outputs)):
            for index in indices:
                graph += _field(field, _value_info(self.name(index), nchw(self.graph.tensors[index].shape)))
        opsets = _field(8, _varint_field(2, 17)) + _field(8, _field(1, _MS.encode()) + _varint_field(2, 1))
        return _varint_field(1, 8) + _field(7, graph) + opsets


def nchw(shape):
    """The shape that an activation has here."""
    return [shape[0], shape[3], shape[1], shape[2]] if len(shape) == 4 else list(shape)


def _pads(attrs):
    return [attrs.get(f"pad_{side}", 0) for side in ("top", "left", "bottom", "right")]


def _strides(attrs):
    return [attrs.get("stride_h", 1), attrs.get("stride_w", 1)]


def _conv(b, node):
    x, weight, bias = node.inputs
    tensor = b.graph.tensors[weight]
    if node.op == "depthwise_conv2d":
        kh, kw, channels = tensor.shape
        words, groups = b.weight(weight, (2, 0, 1), (channels, 1, kh, kw)), b.graph.tensors[x].shape[3]
    else:
        _, kh, kw, _ = tensor.shape
        words, groups = b.weight(weight, (0, 3, 1, 2)), node.attrs.get("groups", 1)
    inputs = [b.name(x), *b.quant(x), *words, *b.quant(node.outputs[0])]
    if bias >= 0:
        inputs.append(b.constant(np.frombuffer(b.graph.tensors[bias].data, np.int32)))
    dilations = [node.attrs.get("dilation_h", 1), node.attrs.get("dilation_w", 1)]
    attributes = {"kernel_shape": [kh, kw], "pads": _pads(node.attrs), "strides": _strides(node.attrs)}
    b.clamped(node, lambda out: b.add("QLinearConv", inputs, out, group=groups, dilations=dilations, **attributes))


def _linear(b, node):
    x, weight, bias = node.inputs
    inputs = [b.name(x), *b.quant(x), *b.weight(weight, (1, 0))]
    inputs.append(b.constant(np.frombuffer(b.graph.tensors[bias].data, np.int32)) if bias >= 0 else "")
    inputs += b.quant(node.outputs[0])
    b.clamped(node, lambda out: b.add("QGemm", inputs, out, _MS))


def _add(b, node):
    if not all(b.graph.tensors[i].shape == b.graph.tensors[node.outputs[0]].shape for i in node.inputs):
        raise Unsupported("a broadcast add")
    inputs = [name for i in node.inputs for name in (b.name(i), *b.quant(i))] + b.quant(node.outputs[0])
    b.clamped(node, lambda out: b.add("QLinearAdd", inputs, out, _MS))


def _average(b, node):
    x, out = node.inputs[0], node.outputs[0]
    inputs = [b.name(x), *b.quant(x), *b.quant(out)]
    _, h, w, _ = b.graph.tensors[x].shape
    if node.op == "reduce":
        if (node.attrs["function"], node.attrs["axes"]) != ("mean", (1, 2)):
            raise Unsupported(f"reduce {node.attrs['function']} over {node.attrs['axes']}")
        flat = not node.attrs.get("keep_dims", 0)
        pooled = b.name(out) + "_pooled" if flat else b.name(out)
        b.add("QLinearGlobalAveragePool", inputs, pooled, _MS)
        if flat:
            b.add("Flatten", [pooled], b.name(out), axis=1)
        return
    kernel = [node.attrs["kh"], node.attrs["kw"]]
    if kernel == [h, w] and not any(_pads(node.attrs)):
        b.add("QLinearGlobalAveragePool", inputs, b.name(out), _MS)
        return
    attributes = {"kernel_shape": kernel, "pads": _pads(node.attrs), "strides": _strides(node.attrs)}
    b.add("QLinearAveragePool", inputs, b.name(out), _MS, **attributes)


def _softmax(b, node):
    x, out = node.inputs[0], node.outputs[0]
    if node.attrs.get("beta", 1.0) != 1.0:
        raise Unsupported("softmax with a beta")
    inputs = [b.name(x), *b.quant(x), *b.quant(out)]
    b.add("QLinearSoftmax", inputs, b.name(out), _MS, axis=-1, opset=13)


def _reshape(b, node):
    """The words must keep their order although the layout changed: only where one side of NHWC is 1."""
    x, out = [b.graph.tensors[i].shape for i in (node.inputs[0], node.outputs[0])]
    if any(len(shape) == 4 and shape[1] * shape[2] != 1 and shape[3] != 1 for shape in (x, out)):
        raise Unsupported("a reshape of pixels")
    shape = b.constant(np.array(nchw(out), np.int64))
    b.add("Reshape", [b.name(node.inputs[0]), shape], b.name(node.outputs[0]))


_MAKERS = {
    "conv2d": _conv,
    "depthwise_conv2d": _conv,
    "linear": _linear,
    "add": _add,
    "avg_pool2d": _average,
    "reduce": _average,
    "softmax": _softmax,
    "reshape": _reshape,
}


# Field numbers and types from onnx.proto3 (ONNX 1.16); wire format from protobuf's own documentation.
_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}


def _varint(value):
    value &= (1 << 64) - 1
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes([*data, value])


def _varint_field(number, value):
    return _varint(number << 3) + _varint(value)


def _field(number, data):
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _node(op, inputs, outputs, domain, attributes):
    data = b"".join(_field(1, name.encode()) for name in inputs) + b"".join(_field(2, n.encode()) for n in outputs)
    data += _field(4, op.encode()) + b"".join(_field(5, _attribute(*item)) for item in attributes.items())
    return data + (_field(7, domain.encode()) if domain else b"")


def _attribute(name, value):
    data = _field(1, name.encode())
    if isinstance(value, list):
        return data + b"".join(_varint_field(8, item) for item in value) + _varint_field(20, 7)
    if isinstance(value, float):
        return data + _varint(2 << 3 | 5) + struct.pack("<f", value) + _varint_field(20, 1)
    return data + _varint_field(3, value) + _varint_field(20, 2)


def _tensor(name, array):
    code = _TYPES[array.dtype.name]
    dims = b"".join(_varint_field(1, dim) for dim in array.shape)
    return dims + _varint_field(2, code) + _field(8, name.encode()) + _field(9, array.tobytes())


def _value_info(name, shape):
    dims = b"".join(_field(1, _varint_field(1, dim)) for dim in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _varint_field(1, _TYPES["uint8"]) + _field(2, dims)))
