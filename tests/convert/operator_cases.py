"""Models of one operator each, in the shapes and quantisations that break importers.

`CASES`: name -> function -> Model.

Every model's graph inputs are "x" (and "y"), its outputs "out" (and "out1", ...): see `ends`.
"""

import numpy as np
from tflite_file import Model

SAME, VALID = 0, 1
RELU, RELU_N1_TO_1, RELU6 = 1, 2, 3
_rng = np.random.default_rng(0)


def ends(model):
    """Names of the graph's inputs and outputs."""
    return [n for n in ("x", "y") if n in model.index], [n for n in model.index if n.startswith("out")]


def _int8(model, name, shape, scale, zero_point=0):
    return model.tensor(name, "int8", shape, scale, zero_point)


def _one(op, x, out, extra=(), dtype="int8", y=None, **options):
    """A model of one operator. x, y, out: (shape, scale, zero_point); extra: arrays that are constant inputs."""
    model = Model()
    names = []
    for name, end in (("x", x), ("y", y)):
        if end:
            names.append(model.tensor(name, end[3] if len(end) > 3 else dtype, *_quant(dtype, end)))
    for k, data in enumerate(extra):
        names.append(model.constant(f"c{k}", data))
    outs = [out] if isinstance(out, tuple) else out
    for k, end in enumerate(outs):
        model.tensor(f"out{k or ''}", end[3] if len(end) > 3 else dtype, *_quant(dtype, end))
    model.operator(op, names, [f"out{k or ''}" for k in range(len(outs))], **options)
    return model


def _quant(dtype, end):
    return end[:3] if dtype in ("int8", "uint8") and end[1] else end[:1]


def _conv(
    dtype="int8", op="CONV_2D", x=(1, 9, 7, 6), c_out=5, kernel=(3, 3), groups=1, per_channel=True, bias=True, **options
):
    """A convolution with random weights; its output scale fits the sums."""
    model, depthwise = Model(), op == "DEPTHWISE_CONV_2D"
    shape = (1, *kernel, c_out) if depthwise else (c_out, *kernel, x[3] // groups)
    options = {"stride_h": 1, "stride_w": 1, "padding": SAME, **options}
    names = [model.tensor("x", dtype, x, *_x_quant(dtype))]
    names += _weights(model, dtype, shape, 3 if depthwise else 0, per_channel, bias, c_out)
    model.tensor("out", dtype, _conv_shape(x, kernel, c_out, options), *_out_quant(dtype))
    model.operator(op, names, "out", **options)
    return model


def _x_quant(dtype):
    return {"int8": (0.05, -7), "uint8": (0.05, 121), "float32": ()}[dtype]


def _out_quant(dtype):
    return {"int8": (0.11, 5), "uint8": (0.11, 133), "float32": ()}[dtype]


def _weights(model, dtype, shape, axis, per_channel, bias, c_out):
    rng = np.random.default_rng(1)
    if dtype == "float32":
        names = [model.constant("w", rng.normal(0, 0.3, shape).astype(np.float32))]
        return names + ([model.constant("b", rng.normal(0, 1, c_out).astype(np.float32))] if bias else [])
    scales = rng.uniform(0.002, 0.01, c_out if per_channel else 1).astype(np.float32)
    if dtype == "uint8":
        names = [model.constant("w", rng.integers(0, 256, shape).astype(np.uint8), scales, 119)]
    else:
        names = [model.constant("w", rng.integers(-127, 128, shape).astype(np.int8), scales, 0, axis)]
    if bias:
        words = rng.integers(-2000, 2000, c_out).astype(np.int32)
        names.append(model.constant("b", words, scales * np.float32(0.05), 0, 0))
    return names


def _conv_shape(x, kernel, c_out, options):
    out = []
    for dim, k, side in zip(x[1:3], kernel, "hw"):
        stride, span = options[f"stride_{side}"], (k - 1) * options.get(f"dilation_{side}_factor", 1) + 1
        out.append(-(-dim // stride) if options["padding"] == SAME else (dim - span) // stride + 1)
    return (x[0], *out, c_out)


def _transpose_conv(dtype, padding, x=(1, 4, 5, 3), out=(1, 8, 10, 2), kernel=(3, 3), stride=2):
    model = Model()
    model.constant("shape", np.array(out, np.int32))
    names = ["shape", *_weights(model, dtype, (out[3], *kernel, x[3]), 0, True, True, out[3])]
    names.insert(2, model.tensor("x", dtype, x, *_x_quant(dtype)))
    model.tensor("out", dtype, out, *_out_quant(dtype))
    model.operator("TRANSPOSE_CONV", names, "out", padding=padding, stride_h=stride, stride_w=stride)
    return model


def _dense(dtype="int8", x=(3, 20), c_out=7, bias=True, out=None, per_channel=False, **options):
    model = Model()
    model.tensor("x", dtype, x, *_x_quant(dtype))
    c_in = 20 if x[-1] != 20 and np.prod(x) % 20 == 0 else x[-1]
    names = ["x", *_weights(model, dtype, (c_out, c_in), 0, per_channel, bias, c_out)]
    model.tensor("out", dtype, out or (int(np.prod(x)) // c_in, c_out), *_out_quant(dtype))
    model.operator("FULLY_CONNECTED", names, "out", **options)
    return model


def _pool(op, dtype="int8", padding=SAME, kernel=(3, 2), stride=(2, 2), x=(1, 7, 6, 5), **options):
    model, quant = Model(), _x_quant(dtype)
    model.tensor("x", dtype, x, *quant)
    shape = _conv_shape(x, kernel, x[3], {"stride_h": stride[0], "stride_w": stride[1], "padding": padding})
    model.tensor("out", dtype, shape, *quant)
    sides = {"stride_h": stride[0], "stride_w": stride[1], "filter_height": kernel[0], "filter_width": kernel[1]}
    model.operator(op, "x", "out", padding=padding, **sides, **options)
    return model


def _binary_constant(op, value, out, **options):
    model = Model()
    _int8(model, "x", (2, 3, 4), 0.1, 4)
    model.constant("c", np.array(value, np.int8), 0.03, -3)
    _int8(model, "out", (2, 3, 4), *out)
    model.operator(op, ["x", "c"], "out", **options)
    return model


A, B, C = ((2, 3, 4), 0.1, 4), ((3, 1), 0.03, -9), ((2, 3, 4), 0.13, 11)
ROW = ((2, 3, 4), 0.1, 4)  # what ops that copy words keep
F = ((2, 3, 4), None, None)
I32 = np.int32


def _unary(op, x=(0.05, -3), out=(0.05, 2), **options):
    return lambda: _one(op, ((5, 51), *x), ((5, 51), *out), **options)


def _float_unary(op, **options):
    return lambda: _one(op, F, F, dtype="float32", **options)


CASES = {
    "conv same": _conv,
    "conv valid strided": lambda: _conv(padding=VALID, stride_h=2, stride_w=3),
    "conv same strided even": lambda: _conv(x=(1, 8, 6, 6), stride_h=2, stride_w=2),
    "conv dilated": lambda: _conv(x=(1, 11, 13, 6), dilation_h_factor=2, dilation_w_factor=3),
    "conv grouped": lambda: _conv(c_out=6, groups=3),
    "conv relu": lambda: _conv(fused_activation_function=RELU),
    "conv relu6": lambda: _conv(fused_activation_function=RELU6),
    "conv relu_n1_to_1": lambda: _conv(fused_activation_function=RELU_N1_TO_1),
    "conv without bias": lambda: _conv(bias=False),
    "conv per tensor": lambda: _conv(per_channel=False),
    "conv uint8": lambda: _conv("uint8", per_channel=False),
    "conv uint8 relu6": lambda: _conv("uint8", per_channel=False, fused_activation_function=RELU6),
    "conv float relu": lambda: _conv("float32", fused_activation_function=RELU),
    "depthwise": lambda: _conv(op="DEPTHWISE_CONV_2D", c_out=6),
    "depthwise strided valid": lambda: _conv(op="DEPTHWISE_CONV_2D", c_out=6, padding=VALID, stride_h=2, stride_w=2),
    "depthwise multiplier": lambda: _conv(op="DEPTHWISE_CONV_2D", c_out=18, depth_multiplier=3),
    "depthwise one channel": lambda: _conv(op="DEPTHWISE_CONV_2D", x=(1, 9, 7, 1), c_out=8, depth_multiplier=8),
    "depthwise uint8": lambda: _conv("uint8", op="DEPTHWISE_CONV_2D", c_out=6, per_channel=False),
    "depthwise dilated float": lambda: _conv("float32", op="DEPTHWISE_CONV_2D", c_out=6, dilation_h_factor=2),
    "transpose conv same": lambda: _transpose_conv("int8", SAME),
    "transpose conv valid": lambda: _transpose_conv("int8", VALID, out=(1, 9, 11, 2)),
    "transpose conv valid larger": lambda: _transpose_conv("int8", VALID, out=(1, 9, 11, 2), kernel=(2, 3)),
    "transpose conv sparse": lambda: _transpose_conv("int8", SAME, (1, 4, 5, 3), (1, 12, 15, 2), (2, 2), 3),
    "transpose conv float": lambda: _transpose_conv("float32", SAME),
    "dense": _dense,
    "dense without bias": lambda: _dense(bias=False),
    "dense uint8": lambda: _dense("uint8"),
    "dense float": lambda: _dense("float32", fused_activation_function=RELU),
    "dense flattens": lambda: _dense(x=(1, 2, 5, 4)),
    "dense keeps dims": lambda: _dense(x=(2, 3, 20), out=(2, 3, 7), keep_num_dims=True),
    "dense per channel": lambda: _dense(per_channel=True),
    "average pool same": lambda: _pool("AVERAGE_POOL_2D"),
    "average pool valid uint8": lambda: _pool("AVERAGE_POOL_2D", "uint8", VALID),
    "average pool relu6": lambda: _pool("AVERAGE_POOL_2D", fused_activation_function=RELU6),
    "max pool same": lambda: _pool("MAX_POOL_2D"),
    "max pool relu": lambda: _pool("MAX_POOL_2D", fused_activation_function=RELU),
    "add broadcast": lambda: _one("ADD", A, C, y=B),
    "add relu": lambda: _one("ADD", A, C, y=A, fused_activation_function=RELU),
    "sub broadcast": lambda: _one("SUB", A, C, y=B),
    "mul broadcast": lambda: _one("MUL", A, C, y=B),
    "mul float relu6": lambda: _one("MUL", F, F, y=F, dtype="float32", fused_activation_function=RELU6),
    "minimum": lambda: _one("MINIMUM", A, A, y=A),
    "maximum": lambda: _one("MAXIMUM", A, A, y=A),
    "squared difference": lambda: _one("SQUARED_DIFFERENCE", A, C, y=B),
    "div float": lambda: _one("DIV", F, F, y=F, dtype="float32"),
    "add scalar": lambda: _binary_constant("ADD", 9, (0.1, 0)),
    "sub from one value": lambda: _binary_constant("SUB", [[[5, 5, 5, 5]]], (0.1, 0)),
    "mul one value relu": lambda: _binary_constant("MUL", [-20], (0.05, -100), fused_activation_function=RELU),
    "add n float": lambda: _one("ADD_N", F, F, y=F, dtype="float32"),
    "logistic": _unary("LOGISTIC", out=(1 / 256, -128)),
    "tanh": _unary("TANH", out=(1 / 128, 0)),
    "hard swish": _unary("HARD_SWISH"),
    "leaky relu": _unary("LEAKY_RELU", alpha=0.2),
    "elu": _unary("ELU"),
    "gelu": _unary("GELU"),
    "gelu approximate": _unary("GELU", approximate=True),
    "relu same": _unary("RELU", out=(0.05, -3)),
    "relu other": _unary("RELU"),
    "relu6": _unary("RELU6", out=(0.05, -3)),
    "relu_n1_to_1": _unary("RELU_N1_TO_1", out=(0.05, -3)),
    "exp": _unary("EXP", x=(0.03, 0), out=(0.3, -128)),
    "log": _unary("LOG", x=(0.03, -128)),
    "rsqrt": _unary("RSQRT", x=(0.03, -128)),
    "abs": _unary("ABS"),
    "neg": _unary("NEG", out=(0.05, -3)),
    "requantise": _unary("QUANTIZE", out=(0.08, 9)),
    "sqrt float": _float_unary("SQRT"),
    "square float": _float_unary("SQUARE"),
    "leaky relu float": _float_unary("LEAKY_RELU", alpha=0.3),
    "elu float": _float_unary("ELU"),
    "gelu float": _float_unary("GELU"),
    "hard swish float": _float_unary("HARD_SWISH"),
    "sin float": _float_unary("SIN"),
    "round float": _float_unary("ROUND"),
    "relu_0_to_1 float": _float_unary("RELU_0_TO_1"),
    "softmax": lambda: _one("SOFTMAX", ((2, 10), 0.17, 24), ((2, 10), 1 / 256, -128), beta=1.0),
    "softmax uint8": lambda: _one("SOFTMAX", ((2, 10), 0.1, 124), ((2, 10), 1 / 256, 0), dtype="uint8", beta=1.0),
    "softmax float": lambda: _one("SOFTMAX", F, F, dtype="float32", beta=1.0),
    "log softmax": lambda: _one("LOG_SOFTMAX", ((2, 10), 0.17, 24), ((2, 10), 16 / 256, 127)),
    "log softmax float": lambda: _one("LOG_SOFTMAX", F, F, dtype="float32"),
    "mean h w": lambda: _one("MEAN", ((1, 5, 7, 3), 0.1, 4), ((1, 3), 0.06, 1), [np.array([1, 2], I32)]),
    "mean keeps dims": lambda: _one("MEAN", A, ((2, 1, 4), 0.06, 1), [np.array([-2], I32)], keep_dims=True),
    "sum": lambda: _one("SUM", A, ((2, 4), 0.4, 1), [np.array([1], I32)]),
    "reduce max": lambda: _one("REDUCE_MAX", A, ((2, 4), 0.1, 4), [np.array([1], I32)]),
    "reduce min float": lambda: _one("REDUCE_MIN", F, ((4,), None), [np.array([0, 1], I32)], dtype="float32"),
    "reduce prod float": lambda: _one("REDUCE_PROD", F, ((2, 3), None), [np.array([2], I32)], dtype="float32"),
    "arg max": lambda: _one("ARG_MAX", A, ((2, 4), None, 0, "int32"), [np.array(1, I32)], output_type=2),
    "arg min": lambda: _one(
        "ARG_MIN", F, ((2, 3), None, 0, "int64"), [np.array(-1, I32)], dtype="float32", output_type=4
    ),
    "quantize": lambda: _one("QUANTIZE", (*F, "float32"), A),
    "dequantize": lambda: _one("DEQUANTIZE", A, (*F, "float32")),
    "dequantize uint8": lambda: _one("DEQUANTIZE", ((2, 3), 0.1, 7), ((2, 3), None, 0, "float32"), dtype="uint8"),
    "cast uint8 to float": lambda: _one("CAST", ((2, 3), None), ((2, 3), None, 0, "float32"), dtype="uint8"),
    "cast uint8 to int32": lambda: _one("CAST", ((2, 3), None), ((2, 3), None, 0, "int32"), dtype="uint8"),
    "cast float to int32": lambda: _one("CAST", (*F, "float32"), (*F, "int32")),
    "reshape": lambda: _one("RESHAPE", ROW, ((4, 6), 0.1, 4), [np.array([-1, 6], I32)], new_shape=[-1, 6]),
    "squeeze": lambda: _one("SQUEEZE", ((1, 3, 1, 2), 0.1, 4), ((1, 3, 2), 0.1, 4), squeeze_dims=[-2]),
    "expand dims": lambda: _one("EXPAND_DIMS", ROW, ((2, 3, 1, 4), 0.1, 4), [np.array(-2, I32)]),
    "transpose": lambda: _one("TRANSPOSE", ROW, ((4, 2, 3), 0.1, 4), [np.array([2, 0, 1], I32)]),
    "slice": lambda: _one("SLICE", ROW, ((1, 2, 4), 0.1, 4), [np.array([1, 1, 0], I32), np.array([1, -1, 4], I32)]),
    "strided slice": lambda: _strided([0, -1, 1], [2, 0, 4], [1, -1, 2], (2, 2, 2)),
    "strided slice masks": lambda: _strided(
        [9, 1, 9], [9, 2, 9], [1, 1, -1], (2, 4), begin_mask=5, end_mask=5, shrink_axis_mask=2
    ),
    "strided slice ellipsis": lambda: _strided([0, 1], [0, 3], [1, 1], (2, 3, 2), ellipsis_mask=1),
    "strided slice new axis": lambda: _strided([0, 0, 1], [0, 1, 3], [1, 1, 1], (1, 1, 2, 4), new_axis_mask=1),
    "strided slice fewer": lambda: _strided([1], [2], [1], (1, 3, 4)),
    "split": lambda: _split("SPLIT", [np.array(2, I32)], [2, 2], num_splits=2),
    "split v": lambda: _split("SPLIT_V", [np.array([1, 3], I32), np.array(-1, I32)], [1, 3], num_splits=2),
    "unpack": lambda: _one("UNPACK", ROW, [((2, 4), 0.1, 4)] * 3, num=3, axis=1),
    "pack": lambda: _one("PACK", ROW, ((2, 2, 3, 4), 0.1, 4), y=ROW, values_count=2, axis=1),
    "concatenation": lambda: _one("CONCATENATION", A, ((2, 6, 4), 0.1, 4), y=A, axis=-2),
    "pad": lambda: _one("PAD", ROW, ((2, 6, 5), 0.1, 4), [np.array([[0, 0], [1, 2], [0, 1]], I32)]),
    "pad uint8": lambda: _one(
        "PAD", ((2, 3), 0.1, 7), ((3, 3), 0.1, 7), [np.array([[1, 0], [0, 0]], I32)], dtype="uint8"
    ),
    "mirror pad reflect": lambda: _one(
        "MIRROR_PAD", ROW, ((2, 6, 5), 0.1, 4), [np.array([[0, 0], [1, 2], [0, 1]], I32)]
    ),
    "mirror pad symmetric": lambda: _one(
        "MIRROR_PAD", ROW, ((3, 6, 4), 0.1, 4), [np.array([[1, 0], [1, 2], [0, 0]], I32)], mode=1
    ),
    "gather": lambda: _one("GATHER", ROW, ((2, 5, 4), 0.1, 4), [np.array([2, 0, 1, 1, 2], I32)], axis=1),
    "gather nd": lambda: _one("GATHER_ND", ROW, ((2, 4), 0.1, 4), [np.array([[1, 2], [0, 0]], I32)]),
    "resize bilinear": lambda: _resize("RESIZE_BILINEAR", (7, 9)),
    "resize bilinear half pixel": lambda: _resize("RESIZE_BILINEAR", (7, 9), half_pixel_centers=True),
    "resize bilinear align corners": lambda: _resize("RESIZE_BILINEAR", (7, 9), align_corners=True),
    "resize bilinear smaller": lambda: _resize("RESIZE_BILINEAR", (2, 3), half_pixel_centers=True),
    "resize nearest": lambda: _resize("RESIZE_NEAREST_NEIGHBOR", (7, 3)),
    "resize nearest half pixel": lambda: _resize("RESIZE_NEAREST_NEIGHBOR", (7, 3), half_pixel_centers=True),
    "space to batch": lambda: _blocks("SPACE_TO_BATCH_ND", (1, 5, 4, 3), (6, 2, 2, 3), [3, 2], [[0, 1], [0, 0]]),
    "batch to space": lambda: _blocks("BATCH_TO_SPACE_ND", (6, 2, 2, 3), (1, 5, 4, 3), [3, 2], [[0, 1], [0, 0]]),
    "space to batch rank 3": lambda: _blocks("SPACE_TO_BATCH_ND", (1, 6, 3), (2, 3, 3), [2], [[0, 0]]),
    "space to depth": lambda: _one("SPACE_TO_DEPTH", ((1, 4, 6, 3), 0.1, 4), ((1, 2, 3, 12), 0.1, 4), block_size=2),
    "depth to space": lambda: _one("DEPTH_TO_SPACE", ((1, 2, 3, 12), 0.1, 4), ((1, 4, 6, 3), 0.1, 4), block_size=2),
    "reverse": lambda: _one("REVERSE_V2", ROW, ROW, [np.array([1], I32)]),
    "tile": lambda: _one("TILE", ROW, ((2, 9, 8), 0.1, 4), [np.array([1, 3, 2], I32)]),
    "broadcast to": lambda: _one("BROADCAST_TO", ((2, 1, 4), 0.1, 4), ((2, 3, 4), 0.1, 4), [np.array([2, 3, 4], I32)]),
    "batch matmul": lambda: _matmul((2, 3, 5), (2, 5, 4)),
    "batch matmul adjoint": lambda: _matmul((2, 5, 3), (2, 4, 5), adj_x=True, adj_y=True),
    "batch matmul constant": lambda: _matmul((2, 3, 5), None),
    "batch matmul float": lambda: _one(
        "BATCH_MATMUL", ((2, 3, 5), None), ((2, 3, 4), None), y=((5, 4), None), dtype="float32"
    ),
    "floor div": lambda: _one("FLOOR_DIV", ((4,), None), ((4,), None), [np.array(48, I32)], dtype="int32"),
}  # fmt: skip


def _strided(begin, end, strides, shape, **options):
    constants = [np.array(v, I32) for v in (begin, end, strides)]
    return _one("STRIDED_SLICE", ROW, (shape, 0.1, 4), constants, **options)


def _split(op, constants, sizes, **options):
    model = Model()
    _int8(model, "x", *ROW)
    names = ["x", *[model.constant(f"c{k}", c) for k, c in enumerate(constants)]]
    for k, size in enumerate(sizes):
        _int8(model, f"out{k or ''}", (2, 3, size), 0.1, 4)
    model.operator(
        op, names if op == "SPLIT_V" else names[::-1], [f"out{k or ''}" for k in range(len(sizes))], **options
    )
    return model


def _resize(op, size, **options):
    return _one(op, ((1, 4, 5, 3), 0.1, 4), ((1, *size, 3), 0.1, 4), [np.array(size, I32)], **options)


def _blocks(op, x, out, block, pads):
    return _one(op, (x, 0.1, 4), (out, 0.1, 4), [np.array(block, I32), np.array(pads, I32)])


def _matmul(a, b, **options):
    if b:
        return _one("BATCH_MATMUL", (a, 0.1, 4), ((2, 3, 4), 0.3, 2), y=(b, 0.05, 0), **options)
    model = Model()
    _int8(model, "x", a, 0.1, 4)
    model.constant("w", np.random.default_rng(0).integers(-127, 128, (5, 4)).astype(np.int8), 0.05, 0)
    _int8(model, "out", (2, 3, 4), 0.3, 2)
    model.operator("BATCH_MATMUL", ["x", "w"], "out", **options)
    return model
