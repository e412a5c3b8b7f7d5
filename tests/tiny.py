"""Tiny graphs that several test folders share. Everything is deterministic and small enough to read."""

from array import array

import numpy as np

from edgert.graph import Graph, Head, Metadata, Node, Preprocess, Quant, Tensor

COLOURS = ("red", "green", "blue")


class GraphBuilder:
    """Adds tensors and nodes by name and gives the finished Graph."""

    def __init__(self, name):
        self.name = name
        self.tensors, self.nodes, self.index = [], [], {}

    def tensor(self, name, dtype, shape, scale=None, zero_point=0, data=None, axis=None):
        """Declare a tensor; `data`: a constant's values or bytes, `scale`: a number or one per index of `axis`."""
        quant = None
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            quant = Quant(tuple(float(value) for value in scales), zero_point, axis)
        if data is not None:
            data = bytes(data) if isinstance(data, (bytes, bytearray, array)) else np.asarray(data, dtype).tobytes()
        self.index[name] = len(self.tensors)
        self.tensors.append(Tensor(name, dtype, tuple(shape), quant, data))
        return name

    def node(self, op, inputs, outputs, **attrs):
        inputs, outputs = ([n] if isinstance(n, str) else n for n in (inputs, outputs))
        self.nodes.append(
            Node(
                op,
                tuple(-1 if name is None else self.index[name] for name in inputs),
                tuple(self.index[name] for name in outputs),
                attrs,
                outputs[0],
            )
        )

    def graph(self, inputs, outputs, metadata=None):
        return Graph(
            self.name,
            tuple(self.tensors),
            tuple(self.nodes),
            tuple(self.index[name] for name in inputs),
            tuple(self.index[name] for name in outputs),
            metadata or Metadata(),
        )


def colour_classifier(channels="RGB", resize="stretch"):
    """Picture (1, 8, 8, 3) int8 -> conv 3x3 -> mean -> linear -> softmax (1, 3) int8: which of red, green, blue it is.

    The convolution's centre tap copies channel c into filter c; a fourth filter is noise that the linear layer ignores.
    """
    rng = np.random.default_rng(0)
    b = GraphBuilder("colours")
    b.tensor("image", "int8", (1, 8, 8, 3), 2 / 255, 0)
    kernel = np.zeros((4, 3, 3, 3), np.int8)
    kernel[[0, 1, 2], 1, 1, [0, 1, 2]] = 127
    kernel[3] = rng.integers(-127, 128, (3, 3, 3))
    weight_scale = np.array([1 / 127, 1 / 127, 1 / 127, 1 / 1024], np.float32)
    b.tensor("conv.weight", "int8", kernel.shape, weight_scale, data=kernel, axis=0)
    b.tensor("conv.bias", "int32", (4,), weight_scale * np.float32(2 / 255), data=[0, 0, 0, 100], axis=0)
    b.tensor("conv", "int8", (1, 4, 4, 4), 2 / 255, 0)
    b.node("conv2d", ["image", "conv.weight", "conv.bias"], "conv",
           stride_h=2, stride_w=2, pad_top=0, pad_bottom=1, pad_left=0, pad_right=1)  # fmt: skip
    b.tensor("mean", "int8", (1, 4), 2 / 255, 0)
    b.node("reduce", "conv", "mean", function="mean", axes=(1, 2), keep_dims=0)
    matrix = np.zeros((3, 4), np.int8)
    np.fill_diagonal(matrix, 127)
    b.tensor("linear.weight", "int8", matrix.shape, 4 / 127, data=matrix)
    b.tensor("linear.bias", "int32", (3,), 4 / 127 * 2 / 255, data=[0, 0, 0])
    b.tensor("logits", "int8", (1, 3), 8 / 255, 0)
    b.node("linear", ["mean", "linear.weight", "linear.bias"], "logits")
    b.tensor("probabilities", "int8", (1, 3), 1 / 256, -128)
    b.node("softmax", "logits", "probabilities", beta=1.0)
    preprocess = Preprocess(channels, resize, (127.5,), (127.5,))
    return b.graph(["image"], ["probabilities"], Metadata("classify", COLOURS, preprocess))


def colour_detector(columns="box class:sigmoid", **head):
    """Picture (1, 16, 24, 3) int8 -> conv 4x4 (1, 4, 6, 7) int8: four sides of a box, then red, green and blue.

    A cell of 4 x 4 pixels answers with a box of its own size and, if it is of one colour, with that class.
    """
    b = GraphBuilder("cells")
    b.tensor("image", "int8", (1, 16, 24, 3), 1 / 255, -128)
    kernel = np.zeros((7, 4, 4, 3), np.int8)
    for colour in range(3):
        kernel[4 + colour] = -1
        kernel[4 + colour, :, :, colour] = 1
    scale = np.float32(1 / 255)
    b.tensor("weight", "int8", kernel.shape, [1.0] * 7, data=kernel, axis=0)
    bias = [round(value / float(scale)) for value in (0.5, 0.5, 0.5, 0.5, -8, -8, -8)]
    b.tensor("bias", "int32", (7,), [scale] * 7, data=bias, axis=0)
    b.tensor("cells", "int8", (1, 4, 6, 7), 1 / 8, 0)
    b.node("conv2d", ["image", "weight", "bias"], "cells", stride_h=4, stride_w=4)
    preprocess = Preprocess("RGB", "letterbox", (0.0,), (255.0,))
    fields = {"strides": (4,), "score_threshold": 0.5} | head
    return b.graph(
        ["image"], ["cells"], Metadata("detect", COLOURS, preprocess, head=Head("yolo", (columns,), **fields))
    )


def residual_block():
    """(1, 6, 6, 8) int8 -> conv -> depthwise -> conv, added to the first conv -> (1, 6, 6, 8): one skip connection."""
    rng = np.random.default_rng(0)
    b = GraphBuilder("residual")
    b.tensor("x", "int8", (1, 6, 6, 8), 0.05, 3)
    previous, zero_points = "x", {"x": 3}

    def convolution(name, op, weight_shape, axis, zero_point, **attrs):
        nonlocal previous
        scales = rng.uniform(0.002, 0.01, 8).astype(np.float32)
        weight = rng.integers(-127, 128, weight_shape, np.int8)
        b.tensor(f"{name}.weight", "int8", weight_shape, scales, data=weight, axis=axis)
        in_scale = np.float32(0.05)
        b.tensor(f"{name}.bias", "int32", (8,), scales * in_scale, data=rng.integers(-500, 500, 8), axis=0)
        b.tensor(name, "int8", (1, 6, 6, 8), 0.05, zero_point)
        b.node(op, [previous, f"{name}.weight", f"{name}.bias"], name, **attrs)
        previous = name
        zero_points[name] = zero_point

    same = {"pad_top": 1, "pad_bottom": 1, "pad_left": 1, "pad_right": 1}
    convolution("stem", "conv2d", (8, 3, 3, 8), 0, -5, **same)
    convolution("depthwise", "depthwise_conv2d", (3, 3, 8), 2, 0, clamp_min=0, **same)
    convolution("project", "conv2d", (8, 1, 1, 8), 0, 7)
    b.tensor("sum", "int8", (1, 6, 6, 8), 0.08, -1)
    b.node("add", ["project", "stem"], "sum")
    return b.graph(["x"], ["sum"])


def two_heads():
    """Inputs a, b (1, 4) int8; outputs their sum int8 and, through a float island, the square root of its square."""
    b = GraphBuilder("two_heads")
    b.tensor("a", "int8", (1, 4), 0.1, 0)
    b.tensor("b", "int8", (1, 4), 0.1, 5)
    b.tensor("sum", "int8", (1, 4), 0.2, 0)
    b.node("add", ["a", "b"], "sum")
    for name in ("real", "square", "magnitude"):
        b.tensor(name, "float32", (1, 4))
    b.node("dequantize", "sum", "real")
    b.node("unary", "real", "square", function="square")
    b.node("unary", "square", "magnitude", function="sqrt")
    return b.graph(["a", "b"], ["sum", "magnitude"])
