"""What the tests of the ONNX importer share: small models, and ONNX's own reference beside edgert's."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from edgert import convert  # noqa: E402
from edgert.convert import evaluate  # noqa: E402

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def model(nodes, inputs, outputs, constants=None, opset=21, kind=FLOAT):
    """A ModelProto. inputs: {name: shape}; outputs: names; constants: {name: array}."""
    given = [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()]
    results = [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs.split()]
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "graph", given, results, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def converted(proto, folder, **options):
    """(Graph, Draft) of a model."""
    path = folder / "model.onnx"
    path.write_bytes(proto if isinstance(proto, bytes) else proto.SerializeToString())
    return convert.load(path, **options)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def run(graph, draft, arrays):
    """edgert's outputs for inputs in the source's order of axes, back in that order."""
    given = [_turned(a, draft, graph.tensors[i], (0, 2, 3, 1)) for a, i in zip(arrays, graph.inputs)]
    results = evaluate.graph(graph, [np.ascontiguousarray(a) for a in given])
    return [_turned(a, draft, graph.tensors[i], (0, 3, 1, 2)) for a, i in zip(results, graph.outputs)]


def _turned(array, draft, tensor, perm):
    return array.transpose(perm) if tensor.name in draft.turned else array


def agrees(proto, folder, arrays, tolerance=1e-5, **options):
    """Converts, runs and compares with ONNX's reference; returns (Graph, Draft)."""
    graph, draft = converted(proto, folder, **options)
    expected = ReferenceEvaluator(proto).run(None, {row.name: a for row, a in zip(proto.graph.input, arrays)})
    for got, want in zip(run(graph, draft, arrays), expected, strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
    return graph, draft


def ops(graph):
    return [node.op for node in graph.nodes]
