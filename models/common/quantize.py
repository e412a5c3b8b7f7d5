"""Post-training quantisation of a list of layers into an edgert graph.

Weights: int8 per output channel, symmetric in [-127, 127]. Activations: int8 per tensor, from the range seen on
calibration images. Bias: int32 at input scale * weight scale. docs/architecture.md has the number contract.
"""

import numpy as np
import torch

from edgert.graph import Graph, Metadata, Node, Quant, Tensor

from .layers import run

IMAGE_QUANT = Quant((1.0 / 64.0,), 0)  # with (pixel - 128) / 64 the word is pixel - 128: nothing is lost
SOFTMAX_QUANT = Quant((1.0 / 256.0,), -128)


def calibrate(layers, x, percentile=100.0):
    """The range of every layer's output over images x (N, C, H, W): {name: (low, high)}, zero always inside.

    percentile: 100 takes minimum and maximum; below, that share of the values lies inside on each side.
    """
    ranges = {}
    for name, value in run(layers, x).items():
        values = value.flatten().numpy()
        low, high = np.percentile(values, [100.0 - percentile, percentile])
        ranges[name] = (min(float(low), 0.0), max(float(high), 0.0))
    return ranges


def activation_quant(low, high):
    """Scale and zero point so that [low, high] spans the 256 words and zero is one of them."""
    scale = float(np.float32(max(high - low, 1e-6) / 255.0))
    return Quant((scale,), int(np.clip(round(-128 - low / scale), -128, 127)))


def quantize_weight(weight, axis):
    """weight, any layout, scaled along `axis` -> (int8 array, tuple of float32 scales)."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    scale = np.maximum(np.abs(weight).max(others, keepdims=True) / 127.0, 1e-9).astype(np.float32)
    words = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
    return words, tuple(float(s) for s in scale.ravel())


class Builder:
    """Collects tensors and nodes; `where` maps a layer's name to the index of its output tensor."""

    def __init__(self, image_shape):
        self.tensors = [Tensor("image", "int8", image_shape, IMAGE_QUANT)]
        self.nodes = []
        self.where = {"image": 0}

    def tensor(self, name, dtype, shape, quant, data=None):
        self.tensors.append(Tensor(name, dtype, tuple(shape), quant, data))
        return len(self.tensors) - 1

    def constant(self, name, array, quant):
        array = np.ascontiguousarray(array)
        return self.tensor(name, array.dtype.name, array.shape, quant, array.tobytes())

    def layer(self, layer, shape, quant):
        """Adds one layer; shape, quant: of its output."""
        inputs = [self.where[name] for name in layer.inputs]
        x = self.tensors[inputs[0]]
        attrs = _clamps(layer, quant)
        if layer.weight is not None:
            inputs += self._parameters(layer, x.quant.scale[0])
        if layer.op in ("conv2d", "depthwise_conv2d"):
            attrs |= _window(layer, x.shape, shape)
        if layer.op == "mean":
            attrs |= {"function": "mean", "axes": (1, 2)}
        self.node("reduce" if layer.op == "mean" else layer.op, inputs, layer.name, shape, quant, attrs)

    def node(self, op, inputs, name, shape, quant, attrs):
        self.where[name] = self.tensor(name, "int8", shape, quant)
        self.nodes.append(Node(op, tuple(inputs), (self.where[name],), attrs, name))

    def _parameters(self, layer, scale_in):
        weight, axis = _stored_layout(layer)
        words, scales = quantize_weight(weight, axis)
        bias_scales = tuple(float(np.float32(scale_in * s)) for s in scales)
        bias = np.rint(layer.bias.astype(np.float64) / bias_scales).astype(np.int32)
        return [
            self.constant(f"{layer.name}.weight", words, Quant(scales, 0, axis)),
            self.constant(f"{layer.name}.bias", bias, Quant(bias_scales, 0, 0)),
        ]


def _stored_layout(layer):
    """The weight as edgert stores it and the axis of its output channels."""
    if layer.op == "depthwise_conv2d":  # (C, 1, KH, KW) -> (KH, KW, C)
        return layer.weight[:, 0].transpose(1, 2, 0), 2
    if layer.op == "conv2d":  # OIHW -> OHWI
        return layer.weight.transpose(0, 2, 3, 1), 0
    return layer.weight, 0


def _clamps(layer, quant):
    """The fused ReLU in stored words, left out where the dtype's own range does it."""
    attrs = {}
    scale, zero_point = quant.scale[0], quant.zero_point
    if np.isfinite(layer.low) and round(layer.low / scale) + zero_point > -128:
        attrs["clamp_min"] = round(layer.low / scale) + zero_point
    if np.isfinite(layer.high) and round(layer.high / scale) + zero_point < 127:
        attrs["clamp_max"] = round(layer.high / scale) + zero_point
    return attrs


def _window(layer, shape_in, shape_out):
    """Stride and the padding that is really read: torch's symmetric padding can leave its last row unused."""
    kernel = layer.weight.shape[2]
    attrs = {"stride_h": layer.stride, "stride_w": layer.stride, "pad_top": layer.padding, "pad_left": layer.padding}
    for side, axis in (("pad_bottom", 1), ("pad_right", 2)):
        attrs[side] = max(0, (shape_out[axis] - 1) * layer.stride + kernel - layer.padding - shape_in[axis])
    return {name: value for name, value in attrs.items() if value}


def quantize(name, layers, x, percentile=100.0, metadata=None):
    """The int8 graph of `layers`, calibrated on images x (N, C, H, W), a softmax at its end.

    Input (1, H, W, C) int8, output (1, classes) int8 at scale 1/256.
    """
    ranges = calibrate(layers, x, percentile)
    shapes = {name: _nhwc(value) for name, value in run(layers, x[:1]).items()}
    builder = Builder(shapes["image"])
    for layer in layers:
        quant = activation_quant(max(ranges[layer.name][0], layer.low), min(ranges[layer.name][1], layer.high))
        builder.layer(layer, shapes[layer.name], quant)
    last = layers[-1].name
    builder.node("softmax", [builder.where[last]], "scores", shapes[last], SOFTMAX_QUANT, {})
    outputs = (builder.where["scores"],)
    return Graph(name, tuple(builder.tensors), tuple(builder.nodes), (0,), outputs, metadata or Metadata())


def _nhwc(value):
    return tuple(torch.movedim(value, 1, -1).shape) if value.ndim == 4 else tuple(value.shape)
