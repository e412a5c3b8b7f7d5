"""Builders of quantised operators: QuantizeLinear, DequantizeLinear, and what is both in one, as QLinearConv.

All of them become float operators between `dequantize` and `quantize`, which `passes.integers` makes integer ones.
uint8 words are shifted to int8, as everywhere in edgert.
"""

import numpy as np
from onnx import helper

from edgert.convert.draft import Words
from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError
from edgert.graph import Quant, Tensor

MICROSOFT = "com.microsoft"
SHIFT = {"int8": 0, "uint8": 128}


def quantize_linear(site):
    """y = saturate(round(x / scale) + zero_point), of one scale for the whole tensor unless x is constant."""
    scale, zero_point, dtype = _parameters(site, 1, 2)
    values = site.constant(0)
    if values is not None:
        info = np.iinfo(dtype)
        steps = np.rint(values / _along(site, scale, values.ndim)) + _along(site, zero_point, values.ndim)
        return site.define(np.clip(steps, info.min, info.max).astype(dtype))
    x = site.need_dtype(0, "float32")
    out = Tensor(site.name, "int8", site.shape(x), _one_quant(scale, zero_point, dtype))
    index = site.draft.add(out)
    site.draft.emit("quantize", [x], [index], {}, site.name)
    return site.define(index)


def dequantize_linear(site):
    """x = (y - zero_point) * scale. Constants become floats that remember their words."""
    scale, zero_point, dtype = _parameters(site, 1, 2)
    words = site.constant(0)
    if words is not None:
        return _constant(site, words, scale, zero_point)
    quant = _one_quant(scale, zero_point, dtype)
    tensor = _input_of_words(site, dtype, quant) or site.spec(0)
    if tensor.dtype != "int8" or tensor.quant != quant:
        raise Unsupported(f"'{tensor.name}' is {tensor.dtype} with {tensor.quant}, it reads {dtype} with {quant}")
    return site.define(site.step("dequantize", [site.input(0)], dtype="float32"))


def _input_of_words(site, dtype, quant):
    """The graph input that is read, with its quantisation from now on; None if it has one or is no graph input."""
    index, draft = site.input(0), site.draft
    tensor = draft.tensors[index]
    if index not in draft.inputs or tensor.quant is not None or tensor.dtype != dtype:
        return None
    if any(index in node.inputs for node in draft.nodes):
        return None
    if dtype == "uint8":
        draft.notes.append(f"input '{tensor.name}' is uint8 in the source; here int8, 128 less")
    draft.tensors[index] = tensor.replace(dtype="int8", quant=quant)
    return draft.tensors[index]


def _constant(site, words, scale, zero_point):
    if words.dtype.kind not in "iu":
        raise Unsupported(f"'{site.inputs[0]}' is {words.dtype}")
    steps = words.astype(np.float32) - _along(site, zero_point, words.ndim).astype(np.float32)
    site.define((steps * _along(site, scale, words.ndim)).astype(np.float32))
    shift = SHIFT.get(words.dtype.name)
    if shift is None or (scale.size > 1 and (zero_point != shift).any()):
        return
    shifted = (words.astype(np.int16) - shift).astype(np.int8)
    axis = site.axis(site.attr("axis", 1), words.ndim) if scale.size > 1 else None
    site.importer.words[site.name] = Words(shifted, tuple(scale.tolist()), int(zero_point.flat[0]) - shift, axis)


def _parameters(site, at_scale, at_zero_point):
    """(scale, zero_point, name of the words' type)."""
    scale = site.array(at_scale).astype(np.float32).reshape(-1)
    if site.attr("block_size", 0):
        raise Unsupported("it has scales for blocks")
    if site.has(at_zero_point):
        zero_point = site.array(at_zero_point)
    else:
        kind = site.attr("output_dtype", 0)
        dtype = {0: "uint8", 2: "uint8", 3: "int8"}.get(kind)
        dtype = site.constant(0).dtype if site.op_type == "DequantizeLinear" and site.constant(0) is not None else dtype
        zero_point = np.zeros(scale.size, dtype or "float16")
    if zero_point.dtype.name not in ("int8", "uint8", "int32"):
        raise Unsupported(f"its words are {zero_point.dtype}")
    if not scale.size or not (np.isfinite(scale).all() and (scale > 0).all()):
        raise ConversionError(f"its scale {scale[:4].tolist()} is not positive")
    return scale, np.broadcast_to(zero_point.reshape(-1), scale.shape), zero_point.dtype.name


def _along(site, values, rank):
    """One value for all, or one for each index of the operator's axis."""
    if values.size == 1:
        return values.reshape(())
    axis = site.axis(site.attr("axis", 1), rank)
    return values.reshape([-1 if i == axis else 1 for i in range(rank)])


def _one_quant(scale, zero_point, dtype):
    if scale.size != 1 or dtype not in SHIFT:
        raise Unsupported(f"activations have {scale.size} scales of {dtype}: only one of int8 or uint8 is known")
    return Quant((float(scale[0]),), int(zero_point[0]) - SHIFT[dtype])


def dynamic(site):
    raise Unsupported("it quantises activations on the fly: convert the float model, or quantise with fixed scales")


def between(op_type, *operands, out):
    """The builder of an operator that dequantises, does `op_type`, and quantises.

    operands: places of (words, scale, zero point) of each input. out: places of the output's scale and zero point.
    """

    def build(site):
        attrs = {name: value for name, value in site.attrs.items() if name not in ("channels_last", "opset")}
        if site.attr("channels_last", 0):
            raise Unsupported("its pictures are channels-last")
        nodes, inputs = [], []
        if op_type == "Conv":
            site.array(operands[1][0])  # weights are constants
        for places in operands:
            inputs.append(f"{site.name}/input{len(inputs)}")
            axis = {"axis": 0} if len(inputs) > 1 and op_type == "Conv" else {}
            nodes.append(_node("DequantizeLinear", _names(site, places), inputs[-1], **axis))
        inputs += _bias(site, op_type, operands)
        nodes.append(_node(op_type, inputs, f"{site.name}/real", **attrs))
        nodes.append(_node("QuantizeLinear", [f"{site.name}/real", *_names(site, out)], site.name))
        site.importer.walk(nodes, site.at)

    return build


def _names(site, places):
    return [site.inputs[k] if site.has(k) else "" for k in places]


def _bias(site, op_type, operands):
    """The name of an int32 bias as floats: it counts in steps of input scale times weight scale."""
    place = {"Conv": 8, "Gemm": 6}.get(op_type)
    if place is None or not site.has(place):
        return []
    scale = site.array(operands[0][1]).reshape(-1) * site.array(operands[1][1]).reshape(-1)
    name = f"{site.name}/bias"
    site.importer.values[name] = (site.array(place).astype(np.float64) * scale).astype(np.float32)
    return [name]


def concat(site):
    """QLinearConcat: output scale and zero point come first, then threes."""
    nodes, inputs = [], []
    for k in range(2, len(site.inputs), 3):
        inputs.append(f"{site.name}/input{len(inputs)}")
        nodes.append(_node("DequantizeLinear", _names(site, (k, k + 1, k + 2)), inputs[-1]))
    nodes.append(_node("Concat", inputs, f"{site.name}/real", axis=site.attr("axis")))
    nodes.append(_node("QuantizeLinear", [f"{site.name}/real", *_names(site, (0, 1))], site.name))
    site.importer.walk(nodes, site.at)


def _node(op_type, inputs, output, **attrs):
    return helper.make_node(op_type, inputs, [output], **attrs)


_ONE, _TWO = ((0, 1, 2),), ((0, 1, 2), (3, 4, 5))
STANDARD = {
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": dequantize_linear,
    "QLinearConv": between("Conv", *_TWO, out=(6, 7)),
    "QLinearMatMul": between("MatMul", *_TWO, out=(6, 7)),
    **dict.fromkeys(("DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"), dynamic),
}
CONTRIBUTED = {
    (MICROSOFT, "QLinearAdd"): between("Add", *_TWO, out=(6, 7)),
    (MICROSOFT, "QLinearMul"): between("Mul", *_TWO, out=(6, 7)),
    (MICROSOFT, "QLinearAveragePool"): between("AveragePool", *_ONE, out=(3, 4)),
    (MICROSOFT, "QLinearGlobalAveragePool"): between("GlobalAveragePool", *_ONE, out=(3, 4)),
    (MICROSOFT, "QLinearSigmoid"): between("Sigmoid", *_ONE, out=(3, 4)),
    (MICROSOFT, "QLinearLeakyRelu"): between("LeakyRelu", *_ONE, out=(3, 4)),
    (MICROSOFT, "QLinearSoftmax"): between("Softmax", *_ONE, out=(3, 4)),
    (MICROSOFT, "QLinearConcat"): concat,
    (MICROSOFT, "QGemm"): between("Gemm", *_TWO, out=(7, 8)),
    (MICROSOFT, "QuantizeLinear"): quantize_linear,
    (MICROSOFT, "DequantizeLinear"): dequantize_linear,
}
