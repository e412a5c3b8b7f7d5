"""What is known at import is computed at import: shapes, and arithmetic on them, by ONNX's own reference."""

import math

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from edgert.convert.draft import MAX_FOLDED_BYTES
from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError
from edgert.graph import DTYPE_SIZES

_MOVING = """
    Concat ConstantOfShape Expand EyeLike Flatten Gather GatherElements GatherND Identity NonZero Range Reshape
    ScatterElements ScatterND Slice Split Squeeze Tile Transpose Unsqueeze
"""
_ELEMENTWISE = """
    Abs Add And Cast CastLike Ceil Clip Cos CumSum Div Equal Exp Floor Greater GreaterOrEqual Less LessOrEqual Log Max
    Min Mod Mul Neg Not Or Pow Reciprocal Round Sign Sin Sqrt Sub Sum Where Xor
"""
_REDUCING = "ArgMax ArgMin ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum"
FOLDED = frozenset((_MOVING + _ELEMENTWISE + _REDUCING).split())
NARROWED = {"float16": "float32", "float64": "float32", "bfloat16": "float32", "int4": "int8", "uint4": "uint8"}


def fold(importer, node):
    """Whether all inputs of `node` are known, and its outputs therefore were computed."""
    if node.op_type not in FOLDED or node.domain not in ("", "ai.onnx") or not node.input:
        return False
    arrays = {name: importer.constant(name) for name in node.input if name}
    if any(array is None for array in arrays.values()):
        return False
    size = _size(node, [arrays[name] for name in node.input if name])
    if 8 * size > MAX_FOLDED_BYTES:
        raise ConversionError(f"it makes {size} constant values, more than {MAX_FOLDED_BYTES // 8}")
    try:
        with np.errstate(all="ignore"):
            outputs = _evaluator(node, importer.opset).run(None, arrays)
    except (ValueError, IndexError, TypeError, KeyError, ArithmeticError, RuntimeError, NotImplementedError) as error:
        raise ConversionError(f"cannot be computed of these constants: {error}") from None
    for name, value in zip([name for name in node.output if name], outputs):
        importer.values[name] = np.asarray(value)
    importer.draft.fused["constant folded"] += 1
    return True


def _size(node, arrays):
    """At least as many elements as the largest output has."""
    first = arrays[0]
    if node.op_type in ("ConstantOfShape", "Expand", "Tile"):
        lengths = [max(int(v), 1) for v in arrays[-1].reshape(-1)]
        return math.prod(lengths) * (first.size if node.op_type == "Tile" else 1)
    if node.op_type == "Range":
        if len(arrays) != 3 or any(a.size != 1 for a in arrays):
            raise ConversionError(f"it counts from {', '.join([str(a.shape) for a in arrays])}")
        start, limit, delta = (float(a.reshape(-1)[0]) for a in arrays)
        return abs(limit - start) / abs(delta) if delta else 0
    if node.op_type == "Gather":
        return arrays[1].size * first.size // max(min(first.shape, default=1), 1)
    if node.op_type == "GatherND":
        return arrays[1].size * (math.prod(first.shape[arrays[1].shape[-1] :]) if arrays[1].ndim else 1)
    if node.op_type in _ELEMENTWISE:
        try:
            return math.prod(np.broadcast_shapes(*[a.shape for a in arrays]))
        except ValueError:
            raise ConversionError(f"shapes {', '.join([str(a.shape) for a in arrays])} do not broadcast") from None
    return sum([a.size for a in arrays])


def _evaluator(node, opset):
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    inputs = [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(node.input) if name]
    graph = helper.make_graph([node], "constant", inputs, outputs)
    return ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]))


def storable(array, name):
    """An array as a graph can hold it: floats as float32, not empty, at most MAX_RANK dimensions."""
    dtype = NARROWED.get(array.dtype.name, array.dtype.name)
    if dtype not in DTYPE_SIZES:
        if array.dtype.kind != "u" or (array.size and array.max() >= 2**63):
            raise Unsupported(f"'{name}' is {array.dtype}")
        dtype = "int64"
    if not array.size:
        raise Unsupported(f"'{name}' has shape {array.shape}: it is empty")
    with np.errstate(over="ignore"):
        return array.astype(dtype)
