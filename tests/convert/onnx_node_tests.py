"""Runs the node tests that the onnx package generates: one operator each, with inputs and the outputs expected of it.

An input that decides about shapes (Reshape's target, Slice's ends) or is a weight is given as a constant, where the
importer asks for that: those are constants in models too.
"""

import re
import warnings
from collections import namedtuple

import numpy as np
from onnx import TensorProto, numpy_helper

from edgert import opset
from edgert.convert import evaluate, passes
from edgert.convert.importers import onnx
from edgert.errors import EdgertError

FLOAT = {TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL}
NEEDS_CONSTANT = re.compile(r"input \d+ \('([^']*)'\) must be a constant")

# op: its type. kind: "float" where all tensors are float32, int32, int64 or bool and none but a list of axes is empty,
# else "other". outcome: "" where all
# outputs agree, else why not. folded: whether everything was computed at import.
Result = namedtuple("Result", "name op kind outcome folded")


def cases(matching=""):
    """The tests of single operators (not of the functions some expand to) whose name contains `matching`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        found = load_model_tests(kind="node")
    found = [case for case in found if matching in case.name and "_expanded" not in case.name]
    return [case for case in found if len(case.model.graph.node) == 1]


def run(case):
    """The Result of one test."""
    graph = case.model.graph
    kind = "float" if {_type(row) for row in (*graph.input, *graph.output)} <= FLOAT and not _empty(case) else "other"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            folded = [_agree(case, inputs, outputs) for inputs, outputs in case.data_sets]
        return Result(case.name, graph.node[0].op_type, kind, "", all(folded))
    except (EdgertError, _Differs) as error:
        return Result(case.name, graph.node[0].op_type, kind, str(error), False)


class _Differs(Exception):
    pass


def _type(row):
    return row.type.tensor_type.elem_type if row.type.HasField("tensor_type") else None


def _empty(case):
    arrays = [array for inputs, outputs in case.data_sets for array in (*inputs, *outputs)]
    return any(isinstance(a, np.ndarray) and not a.size and (a.ndim > 1 or a.dtype != np.int64) for a in arrays)


def _agree(case, inputs, outputs):
    """Converts, runs and compares; returns whether nothing was left to run. Raises: EdgertError, _Differs."""
    inputs, outputs = ([_array(value) for value in values] for values in (inputs, outputs))
    names = [row.name for row in case.model.graph.input]
    graph, draft = _converted(case.model, dict(zip(names, inputs)))
    given = dict(zip(names, inputs))
    arrays = []
    for index in graph.inputs:
        tensor = graph.tensors[index]
        array = given[tensor.name]
        array = _shifted(array, -128) if tensor.quant and array.dtype == np.uint8 else array.astype(tensor.dtype)
        arrays.append(np.ascontiguousarray(array.transpose(0, 2, 3, 1) if tensor.name in draft.turned else array))
    for index, got, want in zip(graph.outputs, evaluate.graph(graph, arrays), outputs):
        got = got.transpose(0, 3, 1, 2) if graph.tensors[index].name in draft.turned else got
        got = _shifted(got, 128) if graph.tensors[index].quant and want.dtype == np.uint8 else got
        if got.shape != want.shape:
            raise _Differs(f"gives shape {got.shape}, not {want.shape}")
        if not np.allclose(got.astype(np.float64), want.astype(np.float64), case.rtol, case.atol, equal_nan=True):
            raise _Differs(f"differs by {np.abs(got.astype(np.float64) - want.astype(np.float64)).max():.3g}")
    return all(graph.tensors[i].is_constant for node in graph.nodes for i in node.inputs)


def _array(value):
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    if not isinstance(value, (np.ndarray, np.generic)):
        raise _Differs("its inputs or outputs are no tensors")
    return np.asarray(value)


def _shifted(words, by):
    """uint8 words as edgert's int8, or back."""
    return (words.astype(np.int16) + by).astype(np.int8 if by < 0 else np.uint8)


def _converted(model, arrays):
    constants = {name: array for name, array in arrays.items() if not array.size}  # nothing can be fed to those
    while True:
        proto = type(model)()
        proto.CopyFrom(model)
        proto.graph.initializer.extend([numpy_helper.from_array(a, name) for name, a in constants.items()])
        shapes = {row.name: arrays[row.name].shape for row in proto.graph.input if row.name not in constants}
        try:
            draft = onnx.load(proto.SerializeToString(), "test", "test", shapes={k: v for k, v in shapes.items() if v})
        except EdgertError as error:
            wanted = [name for name in NEEDS_CONSTANT.findall(str(error)) if name in arrays and name not in constants]
            if not wanted:
                raise
            constants |= {name: arrays[name] for name in wanted}
            continue
        opset.validate(draft.finish())
        passes.run(draft)
        graph = draft.finish()
        opset.validate(graph)
        return graph, draft
