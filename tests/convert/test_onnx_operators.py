"""The node tests of the onnx package: those of the operators of picture networks. docs/onnx.md has the whole table."""

import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

import onnx_node_tests as node_tests

# Operators all of whose float tests pass, and which networks for pictures are made of.
COMPLETE = """
    Add ArgMax BatchNormalization Clip Concat Conv DepthToSpace Div Elu Erf Exp Flatten Gather Gemm GlobalAveragePool
    GlobalMaxPool HardSigmoid HardSwish InstanceNormalization LayerNormalization LeakyRelu MatMul Mish Mul Pad PRelu Pow
    ReduceMean ReduceMax Relu Reshape Sigmoid Slice Softmax Softplus Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze
    Upsample Where
""".split()  # noqa: SIM905
KNOWN = {  # operator -> a float test of it that is known not to pass, and why
    "BatchNormalization": "training_mode",
}


@pytest.fixture(scope="module")
def results():
    """Operator -> Results of its tests."""
    found = {}
    for case in node_tests.cases():
        if case.model.graph.node[0].op_type in COMPLETE:
            result = node_tests.run(case)
            found.setdefault(result.op, []).append(result)
    return found


@pytest.mark.parametrize("op", COMPLETE)
def test_operator_passes_its_node_tests(op, results):
    wrong = [r for r in results[op] if r.kind == "float" and r.outcome and KNOWN.get(op, "?") not in r.name]
    assert not wrong, wrong[0]
    assert any(r.kind == "float" for r in results[op])
