"""ONNX models that are quantised already, in both of ONNX's ways, become int8 graphs that answer alike."""

import numpy as np
import pytest
from onnx_models import agrees, converted, model, node, normal, ops

from edgert.errors import ConversionError, UnsupportedOpError

SCALES = {"x": 0.02, "c": 0.05, "s": 0.06, "y": 0.1}  # of x, the convolution, the sum and the output


def words(*shape, seed=0):
    return np.random.default_rng(seed).integers(-127, 128, shape).astype(np.int8)


def parameters(dtype):
    """Scales and zero points of all activations, weights and biases."""
    zero = {"x": 3, "c": -20, "s": 5, "y": 0} if dtype == np.int8 else {"x": 128, "c": 100, "s": 131, "y": 120}
    found = {f"{name}_scale": np.float32(scale) for name, scale in SCALES.items()}
    found |= {f"{name}_zero": dtype(zero[name]) for name in SCALES}
    weight_scale = np.float32([0.002, 0.004, 0.001, 0.003])
    found |= {"w": words(4, 3, 3, 3), "w_scale": weight_scale, "w_zero": np.zeros(4, np.int8)}
    found |= {"b": np.int32([100, -200, 3000, 0]), "b_scale": np.float32(SCALES["x"]) * weight_scale}
    found |= {"m": words(4 * 9, 5, seed=1), "m_scale": np.float32(0.003), "m_zero": np.int8(0)}
    return found


def quantised(source, name):
    """QuantizeLinear of `source` and DequantizeLinear of that, to `source`q."""
    scale = f"{name}_scale {name}_zero"
    return [
        node("QuantizeLinear", f"{source} {scale}", f"{source}w"),
        node("DequantizeLinear", f"{source}w {scale}", f"{source}q"),
    ]


def pairs(dtype):
    """Everything between QuantizeLinear and DequantizeLinear."""
    nodes = [
        *quantised("x", "x"),
        node("DequantizeLinear", "w w_scale w_zero", "wq", axis=0),
        node("DequantizeLinear", "b b_scale", "bq", axis=0),
        *[node("Conv", "xq wq bq", "c", strides=[2, 2], pads=[1, 1, 1, 1]), node("Relu", "c", "r")],
        *quantised("r", "c"),
        *[node("Sigmoid", "rq", "g"), *quantised("g", "c"), node("Mul", "rq gq", "p"), *quantised("p", "c")],
        *[node("Add", "pq rq", "s"), *quantised("s", "s")],
        *[node("MaxPool", "sq", "k", kernel_shape=[2, 2], strides=[1, 1]), *quantised("k", "s")],
        *[node("Flatten", "kq", "f"), *quantised("f", "s")],
        *[node("DequantizeLinear", "m m_scale m_zero", "mq"), node("Gemm", "fq mq", "y"), *quantised("y", "y")],
    ]
    return model(nodes, {"x": (1, 3, 8, 8)}, "yq", parameters(dtype))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_pairs_of_quantize_and_dequantize_become_integer_operators(dtype, tmp_path):
    graph, _ = agrees(pairs(dtype), tmp_path, [2 * normal(1, 3, 8, 8)], tolerance=SCALES["y"] * 1.01)
    kinds = [(n.op, graph.tensors[n.outputs[0]].dtype) for n in graph.nodes]
    assert kinds[0] == ("quantize", "int8")
    assert kinds[-1] == ("dequantize", "float32")
    assert {dtype for _, dtype in kinds[:-1]} == {"int8"}
    assert [op for op, _ in kinds if op in ("conv2d", "mul", "add", "linear")] == ["conv2d", "mul", "add", "linear"]
    conv = next(n for n in graph.nodes if n.op == "conv2d")
    assert graph.tensors[conv.inputs[1]].quant.axis == 0
    assert bytes(graph.tensors[conv.inputs[2]].data) == np.int32([100, -200, 3000, 0]).tobytes()


def test_quantised_operators_are_the_same(tmp_path):
    nodes = [
        node("QuantizeLinear", "x x_scale x_zero", "xw"),
        node("QLinearConv", "xw x_scale x_zero w w_scale w_zero c_scale c_zero b", "cw", pads=[1, 1, 1, 1]),
        node("Transpose", "cw", "t", perm=[0, 2, 3, 1]),
        node("QLinearMatMul", "t c_scale c_zero v m_scale m_zero y_scale y_zero", "yw"),
        node("DequantizeLinear", "yw y_scale y_zero", "y"),
    ]
    constants = parameters(np.uint8) | {"v": words(4, 6, seed=2)}
    proto = model(nodes, {"x": (1, 3, 5, 5)}, "y", constants)
    graph, _ = agrees(proto, tmp_path, [2 * normal(1, 3, 5, 5)], tolerance=SCALES["y"] * 1.01)
    assert ops(graph) == ["quantize", "conv2d", "linear", "dequantize"]


def test_concat_of_two_scales_takes_lookups(tmp_path):
    nodes = [*quantised("x", "x"), node("Sigmoid", "xq", "g"), *quantised("g", "c"),
             node("Concat", "xq gq", "j", axis=1), *quantised("j", "s")]  # fmt: skip
    proto = model(nodes, {"x": (1, 3, 4, 4)}, "jq", parameters(np.int8))
    graph, _ = agrees(proto, tmp_path, [normal(1, 3, 4, 4)], tolerance=SCALES["s"] * 1.01)
    assert [graph.tensors[n.outputs[0]].dtype for n in graph.nodes if n.op == "concat"] == ["int8"]
    assert "lookup" in ops(graph)


def test_weights_alone_quantised_stay_float(tmp_path):
    nodes = [node("DequantizeLinear", "w w_scale w_zero", "wq", axis=0), node("Conv", "x wq", "y")]
    graph, _ = agrees(model(nodes, {"x": (1, 3, 5, 5)}, "y", parameters(np.int8)), tmp_path, [normal(1, 3, 5, 5)])
    assert [graph.tensors[n.outputs[0]].dtype for n in graph.nodes] == ["float32"]


def test_quantisation_on_the_fly_and_odd_parameters_are_refused(tmp_path):
    with pytest.raises(UnsupportedOpError, match="on the fly"):
        converted(model([node("DynamicQuantizeLinear", "x", "a b c")], {"x": (4,)}, "a"), tmp_path)
    for scale in (-1.0, 0.0, np.inf):
        constants = {"s": np.float32(scale), "z": np.int8(0)}
        with pytest.raises(ConversionError, match="is not positive"):
            converted(model([node("QuantizeLinear", "x s z", "y")], {"x": (4,)}, "y", constants), tmp_path)
    per_channel = {"s": np.float32([1, 2, 3, 4]), "z": np.zeros(4, np.int8)}
    with pytest.raises(UnsupportedOpError, match="activations have 4 scales"):
        converted(model([node("QuantizeLinear", "x s z", "y", axis=0)], {"x": (4,)}, "y", per_channel), tmp_path)
