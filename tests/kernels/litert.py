"""One-op TensorFlow Lite models of our cases, run by LiteRT: the neighbour whose words ours must be close to."""

import numpy as np

from edgert.graph import Tensor

NAMES = {  # our op: their operator, where a case needs no more than its inputs and the options below
    "conv2d": "CONV_2D",
    "depthwise_conv2d": "DEPTHWISE_CONV_2D",
    "transpose_conv2d": "TRANSPOSE_CONV",
    "linear": "FULLY_CONNECTED",
    "batch_matmul": "BATCH_MATMUL",
    "add": "ADD",
    "sub": "SUB",
    "mul": "MUL",
    "div": "DIV",
    "minimum": "MINIMUM",
    "maximum": "MAXIMUM",
    "floor_div": "FLOOR_DIV",
    "squared_difference": "SQUARED_DIFFERENCE",
    "avg_pool2d": "AVERAGE_POOL_2D",
    "max_pool2d": "MAX_POOL_2D",
    "softmax": "SOFTMAX",
    "log_softmax": "LOG_SOFTMAX",
    "concat": "CONCATENATION",
    "slice": "STRIDED_SLICE",
    "reshape": "RESHAPE",
    "transpose": "TRANSPOSE",
    "gather": "GATHER",
    "gather_nd": "GATHER_ND",
    "arg_max": "ARG_MAX",
    "arg_min": "ARG_MIN",
    "cast": "CAST",
    "quantize": "QUANTIZE",
    "dequantize": "DEQUANTIZE",
    "space_to_batch": "SPACE_TO_BATCH_ND",
    "batch_to_space": "BATCH_TO_SPACE_ND",
    "space_to_depth": "SPACE_TO_DEPTH",
    "depth_to_space": "DEPTH_TO_SPACE",
}
REDUCE = {"mean": "MEAN", "sum": "SUM", "max": "REDUCE_MAX", "min": "REDUCE_MIN", "prod": "REDUCE_PROD"}
SAME_NAME = [
    "relu",
    "relu6",
    "leaky_relu",
    "tanh",
    "gelu",
    "hard_swish",
    "exp",
    "log",
    "sqrt",
    "rsqrt",
    "square",
    "abs",
]
UNARY = {name: name.upper() for name in [*SAME_NAME, "neg", "floor", "ceil", "round", "sin", "cos"]}
UNARY["sigmoid"] = "LOGISTIC"


def run(case):
    """LiteRT's result for a case. Raises: NotImplementedError, with the reason, where it cannot be expressed there."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    model = build(case)
    try:
        interpreter = Interpreter(
            model_content=model,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            num_threads=1,
        )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise NotImplementedError(f"LiteRT refuses it: {str(error).strip().splitlines()[0]}") from None
    given = [array for tensor, array in zip(case.inputs, case.arrays) if tensor is not None and tensor.data is None]
    for detail, array in zip(interpreter.get_input_details(), given):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


class Model:
    """A model of one operator under construction."""

    def __init__(self):
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.inputs = [], []
        self.model.subgraphs = [self.graph]

    def tensor(self, dtype, shape, quant=None, data=None):
        t = self.schema.TensorT()
        t.name = f"t{len(self.graph.tensors)}".encode()
        t.type = getattr(self.schema.TensorType, dtype.upper())
        t.shape = list(shape)
        t.buffer = 0
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(bytes(data), np.uint8)
            t.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        if quant is not None:
            scale, zero_point, axis = quant
            q = self.schema.QuantizationParametersT()
            q.scale, q.zeroPoint, q.quantizedDimension = list(scale), [zero_point] * len(scale), axis or 0
            t.quantization = q
        self.graph.tensors.append(t)
        return len(self.graph.tensors) - 1

    def ints(self, values, dtype="int32"):
        values = np.array(values, dtype)
        return self.tensor(dtype, values.shape, data=values.tobytes())

    def finish(self, name, inputs, output, options=None, fields=None):
        schema = self.schema
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = 1
        self.model.operatorCodes = [code]
        operator = schema.OperatorT()
        operator.inputs, operator.outputs = inputs, [output]
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, options + "T")()
            for key, value in (fields or {}).items():
                assert hasattr(operator.builtinOptions, key), (options, key)
                setattr(operator.builtinOptions, key, value)
        self.graph.operators, self.graph.outputs = [operator], [output]
        import flatbuffers

        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def build(case):
    """The bytes of a .tflite file with the case's op."""
    m = Model()
    inputs = [_input(m, case, i, t) for i, t in enumerate(case.inputs)]
    m.graph.inputs = [i for i, t in zip(inputs, case.inputs) if t is not None and t.data is None]
    output = m.tensor(case.output.dtype, case.output.shape, _quant(case.output))
    name, inputs, options, fields = _express(m, case, inputs)
    return m.finish(name, inputs, output, options, fields)


def _quant(tensor):
    return None if tensor.quant is None else (tensor.quant.scale, tensor.quant.zero_point, tensor.quant.axis)


def _input(m, case, i, tensor):
    if tensor is None:  # LiteRT's depthwise kernel crashes without a bias: zeros mean the same
        c_out = case.output.shape[-1]
        tensor = Tensor("bias", "int32", (c_out,), None, bytes(4 * c_out))
    quant, shape = _quant(tensor), tensor.shape
    if case.op == "depthwise_conv2d" and i == 1:
        shape = (1, *shape)
        quant = quant and (*quant[:2], 3 if quant[2] is not None else None)
    if i == 2 and tensor.dtype == "int32" and case.inputs[1].quant:  # a bias
        scales = np.float32(case.inputs[0].quant.scale[0]) * np.array(case.inputs[1].quant.scale, np.float32)
        quant = ([float(s) for s in scales], 0, 0 if len(scales) > 1 else None)
    return m.tensor(tensor.dtype, shape, quant, tensor.data)


def _express(m, case, inputs):
    """Their operator's name, inputs, options table and its fields."""
    op, a, rank = case.op, case.attrs, len(case.inputs[0].shape)
    if op in ("conv2d", "depthwise_conv2d", "avg_pool2d", "max_pool2d", "transpose_conv2d"):
        return _express_window(m, case, inputs)
    if op == "linear":
        fields = {"fusedActivationFunction": _activation(m, case), "keepNumDims": True}
        return NAMES[op], inputs, "FullyConnectedOptions", fields
    if op == "batch_matmul":
        fields = {"adjX": bool(a.get("transpose_a")), "adjY": bool(a.get("transpose_b"))}
        return NAMES[op], inputs, "BatchMatMulOptions", fields
    if op in ("add", "sub", "mul", "div"):
        return NAMES[op], inputs, f"{op.capitalize()}Options", {"fusedActivationFunction": _activation(m, case)}
    if op in ("minimum", "maximum"):
        return NAMES[op], inputs, "MaximumMinimumOptions", {}
    if op == "reduce":
        return (
            REDUCE[a["function"]],
            [*inputs, m.ints(a["axes"])],
            "ReducerOptions",
            {"keepDims": bool(a.get("keep_dims"))},
        )
    if op == "unary":
        if a["function"] not in UNARY:
            raise NotImplementedError(f"LiteRT has no {a['function']}")
        options = "LeakyReluOptions" if a["function"] == "leaky_relu" else None
        return UNARY[a["function"]], inputs, options, {"alpha": a.get("alpha", 0.0)} if options else {}
    if op == "softmax":
        return NAMES[op], inputs, "SoftmaxOptions", {"beta": a.get("beta", 1.0)}
    if op == "concat":
        return NAMES[op], inputs, "ConcatenationOptions", {"axis": a["axis"]}
    if op == "pad":
        return _express_pad(m, case, inputs)
    if op == "slice":
        step = a.get("step") or (1,) * rank
        end = [b + size * s for b, size, s in zip(a["begin"], case.output.shape, step)]
        masked = sum(1 << i for i, e in enumerate(end) if e < 0)  # before the first element: no number says so
        extra = [m.ints(v) for v in (a["begin"], [max(e, 0) for e in end], step)]
        return NAMES[op], [*inputs, *extra], "StridedSliceOptions", {"endMask": masked}
    if op == "resize":
        fields = {"alignCorners": bool(a.get("align_corners")), "halfPixelCenters": bool(a.get("half_pixel_centers"))}
        name = "ResizeNearestNeighbor" if a["mode"] == "nearest" else "ResizeBilinear"
        code = "RESIZE_NEAREST_NEIGHBOR" if a["mode"] == "nearest" else "RESIZE_BILINEAR"
        return code, [*inputs, m.ints(case.output.shape[1:3])], f"{name}Options", fields
    if op == "gather":
        return NAMES[op], inputs, "GatherOptions", {"axis": a.get("axis", 0), "batchDims": a.get("batch_dims", 0)}
    if op in ("arg_max", "arg_min"):
        dtype = getattr(m.schema.TensorType, case.output.dtype.upper())
        options = ("ArgMaxOptions" if op == "arg_max" else "ArgMinOptions", {"outputType": dtype})
        return NAMES[op], [*inputs, m.ints([a["axis"]])], *options
    if op in ("space_to_batch", "batch_to_space"):
        pads = [[a["before"][i], a["after"][i]] for i in (0, 1)]
        return NAMES[op], [*inputs, m.ints(a["block"]), m.ints(pads)], None, None
    if op in ("space_to_depth", "depth_to_space"):
        return (
            NAMES[op],
            inputs,
            "".join(part.capitalize() for part in op.split("_")) + "Options",
            {"blockSize": a["block"]},
        )
    extra = {"reshape": [case.output.shape], "transpose": [a.get("perm")]}.get(op, [])
    if op not in NAMES:
        raise NotImplementedError(f"LiteRT has no {op}")
    return NAMES[op], inputs + [m.ints(np.array(v, np.int32)) for v in extra], None, None


def _express_pad(m, case, inputs):
    a = case.attrs
    pads = m.ints(np.stack([a["before"], a["after"]], axis=1))
    if a.get("mode", "constant") != "constant":
        mode = {"reflect": 0, "symmetric": 1}[a["mode"]]
        return "MIRROR_PAD", [*inputs, pads], "MirrorPadOptions", {"mode": mode}
    if "value" not in a:
        return "PAD", [*inputs, pads], None, None
    value = np.array([a["value"]], case.output.dtype)
    return "PADV2", [*inputs, pads, m.tensor(case.output.dtype, (1,), _quant(case.output), value.tobytes())], None, None


def _express_window(m, case, inputs):
    op, a = case.op, case.attrs
    x, weight = case.inputs[0], case.inputs[1] if len(case.inputs) > 1 else None
    kh, kw = (a["kh"], a["kw"]) if weight is None else weight.shape[-3:-1] if weight.shape[3:] else weight.shape[:2]
    strides = {"strideH": a.get("stride_h", 1), "strideW": a.get("stride_w", 1)}
    fields = {**strides, "padding": _padding(case, kh, kw), "fusedActivationFunction": _activation(m, case)}
    if op == "transpose_conv2d":
        shape = m.ints(case.output.shape)
        return (
            NAMES[op],
            [shape, inputs[1], inputs[0], *inputs[2:]],
            "TransposeConvOptions",
            fields,
        )
    if weight is None:
        return NAMES[op], inputs, "Pool2DOptions", {**fields, "filterHeight": kh, "filterWidth": kw}
    fields |= {"dilationHFactor": a.get("dilation_h", 1), "dilationWFactor": a.get("dilation_w", 1)}
    if op == "depthwise_conv2d":
        fields["depthMultiplier"] = weight.shape[2] // x.shape[3]
        return NAMES[op], inputs, "DepthwiseConv2DOptions", fields
    return NAMES[op], inputs, "Conv2DOptions", fields


def _padding(case, kh, kw):
    """0 (SAME) or 1 (VALID), whichever gives the case's pads."""
    a, same, valid = case.attrs, True, True
    for axis, k, side, before, after in ((1, kh, "h", "pad_top", "pad_bottom"), (2, kw, "w", "pad_left", "pad_right")):
        size_in, size_out = case.inputs[0].shape[axis], case.output.shape[axis]
        if case.op == "transpose_conv2d":
            size_in, size_out = size_out, size_in
        stride, span = a.get(f"stride_{side}", 1), (k - 1) * a.get(f"dilation_{side}", 1) + 1
        pads = a.get(before, 0), a.get(after, 0)
        total = max((size_out - 1) * stride + span - size_in, 0)
        same = same and size_out == -(-size_in // stride) and pads == (total // 2, total - total // 2)
        valid = valid and size_out == (size_in - span) // stride + 1 and pads == (0, 0)
    if not (same or valid):
        raise NotImplementedError("LiteRT has SAME and VALID padding only")
    return 1 if valid else 0


def _activation(m, case):
    a, kinds = case.attrs, m.schema.ActivationFunctionType
    if "clamp_min" not in a and "clamp_max" not in a:
        return kinds.NONE
    zero = case.output.quant.zero_point if case.output.quant else 0.0
    if a.get("clamp_min") == zero and "clamp_max" not in a:
        return kinds.RELU
    raise NotImplementedError("LiteRT clamps to ReLU and ReLU6 only")
