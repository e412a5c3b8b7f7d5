"""ONNX models: the parts of a CNN, shape arithmetic, and the real models of the data folder beside ONNX Runtime."""

import numpy as np
import pytest
from onnx_models import INT64, agrees, converted, model, node, normal, ops, run

import edgert
from edgert.format import writer

REAL = {  # model -> (shape of its input, largest pixel)
    "mnist": ((1, 1, 28, 28), 1.0),
    "FastestDet": ((1, 3, 352, 352), 1.0),
    "yolo_fastestv2": ((1, 3, 352, 352), 1.0),
    "yolox_nano": ((1, 3, 416, 416), 255.0),
    "ultraface_RFB-320": ((1, 3, 240, 320), 1.0),
}


@pytest.mark.parametrize("name", REAL)
def test_real_model_answers_as_onnx_runtime(name, data_file):
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    path, (shape, largest) = data_file(f"models/onnx/{name}.onnx"), REAL[name]
    graph, draft = edgert.convert.load(path, head="none")  # the outputs as they are in the file
    assert "transpose" not in ops(graph)
    x = largest * np.random.default_rng(0).random(shape, np.float32)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options)
    expected = session.run(None, {session.get_inputs()[0].name: x})
    for got, want in zip(run(graph, draft, [x]), expected, strict=True):
        assert got.shape == want.shape
        # Sums of up to 2,304 products in another order: float32 keeps 24 bits.
        assert np.abs(got - want).max() <= 2e-5 * np.abs(want).max()


def test_real_model_becomes_a_file_that_runs(data_file, tmp_path):
    graph = edgert.convert.convert(data_file("models/onnx/mnist.onnx"), tmp_path / "model.bin")
    out = edgert.load(tmp_path / "model.bin")(np.zeros((1, 28, 28, 1), np.float32))
    assert out.shape == (1, 10)
    assert ops(graph) == ["conv2d", "max_pool2d", "conv2d", "max_pool2d", "reshape", "linear"]


def test_batch_normalisation_and_relu_vanish_into_the_convolution(tmp_path):
    weight, scale = normal(8, 3, 3, 3), np.abs(normal(8, seed=2)) + 0.1
    constants = {"w": weight, "scale": scale, "b": normal(8, seed=3), "mean": normal(8, seed=4), "var": scale * 2}
    nodes = [
        node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "c scale b mean var", "n"),
        node("Relu", "n", "y"),
    ]
    graph, _ = agrees(model(nodes, {"x": (1, 3, 9, 11)}, "y", constants), tmp_path, [normal(1, 3, 9, 11)])
    assert ops(graph) == ["conv2d"]
    assert graph.nodes[0].attrs["clamp_min"] == 0.0


@pytest.mark.parametrize("groups", [1, 3, 6])
def test_convolutions_with_strides_dilations_and_groups(groups, tmp_path):
    constants = {"w": normal(6, 6 // groups, 3, 2), "b": normal(6, seed=1)}
    attributes = {"strides": [2, 1], "dilations": [1, 2], "pads": [1, 0, 2, 1], "group": groups}
    nodes = [node("Conv", "x w b", "y", **attributes)]
    graph, _ = agrees(model(nodes, {"x": (2, 6, 8, 7)}, "y", constants), tmp_path, [normal(2, 6, 8, 7)])
    assert ops(graph) == ["depthwise_conv2d" if groups == 6 else "conv2d"]


def test_flattened_picture_moves_weights_and_no_pixels(tmp_path):
    constants = {"w": normal(4, 3, 3, 3), "shape": np.array([1, -1]), "m": normal(4 * 6 * 5, 7), "b": normal(7)}
    nodes = [
        node("Conv", "x w", "c"),
        node("Reshape", "c shape", "f"),
        node("MatMul", "f m", "p"),
        node("Add", "p b", "y"),
    ]
    graph, _ = agrees(model(nodes, {"x": (1, 3, 8, 7)}, "y", constants), tmp_path, [normal(1, 3, 8, 7)])
    assert ops(graph) == ["conv2d", "reshape", "linear"]


def test_written_out_activations_become_one_function(tmp_path):
    constants = {"w": normal(4, 4, 1, 1), "three": np.float32(3), "six": np.float32(6), "zero": np.float32(0)}
    constants |= {"root2": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)}
    nodes = [
        node("Conv", "x w", "a"),
        *[node("Sigmoid", "a", "s"), node("Mul", "a s", "silu")],
        *[node("Add", "silu three", "h1"), node("Clip", "h1 zero six", "h2"), node("Mul", "silu h2", "h3")],
        node("Div", "h3 six", "swish"),
        *[node("Div", "swish root2", "g1"), node("Erf", "g1", "g2"), node("Add", "g2 one", "g3")],
        *[node("Mul", "swish g3", "g4"), node("Mul", "g4 half", "y")],
    ]
    graph, _ = agrees(model(nodes, {"x": (1, 4, 5, 5)}, "y", constants), tmp_path, [3 * normal(1, 4, 5, 5)])
    assert [n.attrs.get("function") for n in graph.nodes] == [None, "silu", "hard_swish", "gelu"]


def test_shape_arithmetic_is_computed_at_import(tmp_path):
    constants = {"w": normal(6, 3, 1, 1), "zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1, 2])}
    nodes = [
        node("Conv", "x w", "c"),
        node("Transpose", "c", "t", perm=[0, 2, 3, 1]),
        node("Shape", "t", "s"),
        node("Gather", "s zero", "n", axis=0),
        node("Unsqueeze", "n axes", "u"),
        node("Concat", "u rest", "target", axis=0),
        node("Reshape", "t target", "y"),
    ]
    graph, _ = agrees(model(nodes, {"x": (1, 3, 4, 5)}, "y", constants), tmp_path, [normal(1, 3, 4, 5)])
    assert ops(graph) == ["conv2d", "reshape"]


def test_channel_shuffle_is_a_slice_with_a_step(tmp_path):
    constants = {"w": normal(8, 3, 1, 1), "split": np.array([4, 2, 30]), "back": np.array([2, -1, 4, 5, 6])}
    constants |= {"i0": np.array(0), "i1": np.array(1), "v": normal(4, 4, 1, 1)}
    nodes = [
        node("Conv", "x w", "c"),
        node("Reshape", "c split", "r"),
        node("Transpose", "r", "t", perm=[1, 0, 2]),
        node("Reshape", "t back", "pair"),
        node("Gather", "pair i0", "even", axis=0),
        node("Gather", "pair i1", "odd", axis=0),
        node("Conv", "odd v", "d"),
        node("Concat", "even d", "y", axis=1),
    ]
    graph, _ = agrees(model(nodes, {"x": (1, 3, 5, 6)}, "y", constants), tmp_path, [normal(1, 3, 5, 6)])
    assert ops(graph) == ["conv2d", "slice", "slice", "conv2d", "concat"]
    assert {n.attrs["step"] for n in graph.nodes if n.op == "slice"} == {(1, 1, 1, 2)}


def test_shuffle_of_groups_is_one_transpose(tmp_path):
    constants = {"w": normal(6, 3, 1, 1), "split": np.array([1, 2, 3, 5, 6]), "join": np.array([1, 6, 5, 6])}
    nodes = [
        node("Conv", "x w", "c"),
        node("Reshape", "c split", "r"),
        node("Transpose", "r", "t", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "t join", "j"),
        node("Relu", "j", "y"),
    ]
    graph, _ = agrees(model(nodes, {"x": (1, 3, 5, 6)}, "y", constants), tmp_path, [normal(1, 3, 5, 6)])
    assert ops(graph) == ["conv2d", "reshape", "transpose", "reshape", "unary"]


def test_open_batch_is_one_and_open_sides_need_a_shape(tmp_path):
    nodes, constants = [node("Conv", "x w", "y")], {"w": normal(2, 3, 1, 1)}
    graph, draft = converted(model(nodes, {"x": ("n", 3, 4, 4)}, "y", constants), tmp_path)
    assert graph.tensors[graph.inputs[0]].shape == (1, 4, 4, 3)
    assert any("dimension 0 of 'x' is open" in note for note in draft.notes)
    wide = model(nodes, {"x": ("n", 3, "h", "w")}, "y", constants)
    graph, _ = converted(wide, tmp_path, shapes={"x": (1, 3, 6, 7)})
    assert graph.tensors[graph.inputs[0]].shape == (1, 6, 7, 3)


def test_known_branch_of_if_is_taken(tmp_path):
    from onnx import helper

    branches = {
        f"{name}_branch": helper.make_graph([node(op, "x", f"{name}_y")], name, [], [
            helper.make_tensor_value_info(f"{name}_y", 1, None)])
        for name, op in (("then", "Relu"), ("else", "Sigmoid"))
    }  # fmt: skip
    proto = model([node("If", "c", "y", **branches)], {"x": (2, 3)}, "y", {"c": np.array(False)})
    graph, _ = agrees(proto, tmp_path, [normal(2, 3)])
    assert [n.attrs["function"] for n in graph.nodes] == ["sigmoid"]


def test_integer_inputs_stay_integers(tmp_path):
    proto = model([node("Gather", "table i", "y")], {"i": (2, 3)}, "y", {"table": normal(5, 4)}, kind=INT64)
    graph, draft = converted(proto, tmp_path)
    indices = np.array([[0, 4, 1], [2, 2, -1]])
    (got,) = run(graph, draft, [indices])
    assert (got == normal(5, 4)[indices]).all()


def test_model_becomes_the_same_file_twice(tmp_path):
    proto = model([node("Conv", "x w", "y")], {"x": (1, 3, 4, 4)}, "y", {"w": normal(2, 3, 1, 1)})
    files = [writer.to_bytes(converted(proto, tmp_path)[0]) for _ in range(2)]
    assert files[0] == files[1]


def test_pixel_shuffle_reorders_the_filters_before_it(tmp_path):
    constants = {"w": normal(12, 2, 3, 3), "b": normal(12)}
    nodes = [node("Conv", "x w b", "c"), node("DepthToSpace", "c", "y", blocksize=2, mode="CRD")]
    graph, _ = agrees(model(nodes, {"x": (1, 2, 6, 5)}, "y", constants), tmp_path, [normal(1, 2, 6, 5)])
    assert ops(graph) == ["conv2d", "depth_to_space"]


def test_average_that_counts_its_padding_is_one_convolution(tmp_path):
    pool = node("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2], count_include_pad=1)
    graph, _ = agrees(model([pool], {"x": (1, 4, 7, 8)}, "y"), tmp_path, [normal(1, 4, 7, 8)])
    assert ops(graph) == ["depthwise_conv2d"]


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_doubling_is_edgerts_own_resize(mode, tmp_path):
    constants = {"scales": np.float32([1, 1, 2, 2])}
    resize = node("Resize", "x roi scales", "y", mode=mode)
    resize.input[1] = ""  # absent
    graph, _ = agrees(model([resize], {"x": (1, 3, 4, 5)}, "y", constants), tmp_path, [normal(1, 3, 4, 5)])
    assert ops(graph) == ["resize"]


def test_attention_over_patches(tmp_path):
    """A transformer's block: heads split and joined, rows normalised, computed operands multiplied."""
    constants = {"w": normal(8, 3, 4, 4), "q": normal(8, 24), "g": normal(8), "o": normal(8, seed=1)}
    constants |= {"rows": np.array([1, 8, -1]), "heads": np.array([1, 4, 3, 2, 4]), "join": np.array([1, 4, 8])}
    constants |= {f"i{k}": np.array(k) for k in range(3)} | {"scale": np.float32(0.5)}
    nodes = [
        *[node("Conv", "x w", "p", strides=[4, 4]), node("Reshape", "p rows", "r")],
        *[node("Transpose", "r", "t", perm=[0, 2, 1]), node("LayerNormalization", "t g o", "n")],
        *[
            node("MatMul", "n q", "m"),
            node("Reshape", "m heads", "h"),
            node("Transpose", "h", "s", perm=[2, 0, 3, 1, 4]),
        ],
        *[node("Gather", f"s i{k}", name) for k, name in enumerate("QKV")],
        *[node("Transpose", "K", "k", perm=[0, 1, 3, 2]), node("MatMul", "Q k", "a"), node("Mul", "a scale", "b")],
        *[node("Softmax", "b", "e"), node("MatMul", "e V", "v"), node("Transpose", "v", "u", perm=[0, 2, 1, 3])],
        *[node("Reshape", "u join", "j"), node("Add", "j t", "y")],
    ]
    agrees(model(nodes, {"x": (1, 3, 8, 8)}, "y", constants), tmp_path, [normal(1, 3, 8, 8)], tolerance=1e-4)


def test_the_models_own_functions_are_unfolded(tmp_path):
    from onnx import AttributeProto, helper

    leaky = node("LeakyRelu", "x", "a")
    leaky.attribute.append(AttributeProto(name="alpha", ref_attr_name="slope", type=AttributeProto.FLOAT))
    versions = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    body = [leaky, node("Add", "a x", "y")]
    function = helper.make_function("own", "Twice", ["x"], ["y"], body, versions, attributes=["slope"])
    nodes = [node("Twice", "x", "a", domain="own", slope=0.25), node("Twice", "a", "y", domain="own", slope=0.5)]
    proto = model(nodes, {"x": (2, 3)}, "y")
    proto.opset_import.append(versions[1])
    proto.functions.append(function)
    graph, draft = converted(proto, tmp_path)
    assert [n.attrs.get("alpha") for n in graph.nodes] == [0.25, None, 0.5, None]
    (y,) = run(graph, draft, [np.float32([[-8, 1, 0], [2, 4, -16]])])
    assert y.tolist() == [[-15, 4, 0], [8, 16, -30]]


def test_operators_that_the_standard_defines_by_others_are_unfolded(tmp_path):
    inputs = dict.fromkeys(("q", "k", "v"), (1, 2, 3, 4))
    arrays = [normal(1, 2, 3, 4, seed=k) for k in range(3)]
    graph, _ = agrees(model([node("Attention", "q k v", "y")], inputs, "y", opset=23), tmp_path, arrays)
    assert ops(graph).count("batch_matmul") == 2
