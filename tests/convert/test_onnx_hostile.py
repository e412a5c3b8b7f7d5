"""ONNX models that are damaged, incomplete or meant to hurt: each is one named error."""

import os
from itertools import pairwise

import numpy as np
import pytest
from onnx_models import TensorProto, converted, model, node, normal, numpy_helper

from edgert.errors import ConversionError, EdgertError, InputError, UnsupportedOpError


def conv(weight=None, **inputs):
    weight = normal(2, 3, 1, 1) if weight is None else weight
    return model([node("Conv", "x w", "y")], inputs or {"x": (1, 3, 4, 4)}, "y", {"w": weight})


def external(location, offset="0", length="24", dims=(2, 3, 1, 1)):
    proto = conv()
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=value)
    proto.graph.initializer[0].CopyFrom(tensor)
    return proto


def test_external_data_beside_the_model_are_read(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.bin").write_bytes(b"\0" * 8 + normal(2, 3).tobytes())
    graph, _ = converted(external("weights/w.bin", "8"), tmp_path)
    weight = next(t for t in graph.tensors if t.name == "w")
    assert bytes(weight.data) == normal(2, 3).tobytes()


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (external("/etc/passwd"), "out of the model's folder"),
        (external("../secret.bin"), "out of the model's folder"),
        (external("a/../../secret.bin"), "out of the model's folder"),
        (external("a\\..\\secret.bin"), "no file in the model's folder"),
        (external(""), "no file in the model's folder"),
        (external("missing.bin"), "No such file"),
        (external("link.bin"), "symbolic links are not followed"),
        (external("folder/secret.bin"), "symbolic links are not followed"),
        (external("fifo"), "24 bytes at 0 of 0"),
        (external("short.bin"), "24 bytes at 0 of 3"),
        (external("short.bin", "-4"), "external data are 24 bytes at -4"),
        (external("short.bin", "x"), "external data at"),
        (external("short.bin", "0", "99999999999999"), "needs 24 bytes"),
        (external("short.bin", dims=(2**40, 2**40)), "has shape"),
    ],
)
def test_external_data_elsewhere_are_refused(proto, words, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(b"\0" * 64)
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "short.bin").write_bytes(b"abc")
    os.mkfifo(folder / "fifo")
    with pytest.raises(ConversionError, match=words):
        converted(proto, folder)


def test_every_unsupported_operator_is_listed(tmp_path):
    nodes = [node("Det", "x", "a"), node("Relu", "a", "b"), node("NonZero", "b", "c"), node("Fancy", "x", "d")]
    with pytest.raises(
        UnsupportedOpError, match=r"3 operators .* operator 0 Det.*operator 2 NonZero.*operator 3 Fancy"
    ):
        converted(model(nodes, {"x": (3, 3)}, "c d"), tmp_path)


def test_open_shape_names_the_input_and_the_option(tmp_path):
    with pytest.raises(ConversionError, match=r"input 'x' \(n x 3 x h x w\).*--shape x=1x3x224x224"):
        converted(conv(x=("n", 3, "h", "w")), tmp_path)
    for shapes, words in (({"z": (1,)}, "no input 'z'"), ({"x": (1, 4, 4, 4)}, "does not fit")):
        with pytest.raises(InputError, match=words):
            converted(conv(x=("n", 3, "h", "w")), tmp_path, shapes=shapes)


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (conv(np.full((2, 3, 1, 1), np.nan, np.float32)), "'w' has 6 NaN among its 6 values"),
        (conv(np.full((2, 3, 1, 1), np.inf, np.float32)), "'w' hold 6 infinite values"),
        (conv(normal(2, 5, 1, 1)), "do not fit 3 channels"),
        (conv(x=(1, 3, 2**31, 4)), "has shape"),
        (conv(x=(1, 3, 0, 4)), "--shape"),
        (conv(x=(1, 3, 2**31 - 1, 2**31 - 1)), "bytes, more than"),
        (model([node("Relu", "b", "a"), node("Relu", "a", "b")], {"x": (1,)}, "b"), "a cycle, or the wrong order"),
        (model([node("Relu", "x", "x")], {"x": (1,)}, "x"), "computed twice, or is also an input"),
        (model([], {"x": (1,)}, ""), "no outputs"),
        (model([], {"x": (1,)}, "z"), "'z' is computed by no operator"),
        (model([node("Relu", "x", "y")], {"x": (1,)}, "y", opset=6), "operator set 6"),
        (model([node("Relu", "x", "y")], {"x": (1,)}, "y", opset=999), "operator set 999"),
        (model([node("Relu", "x", "y")], {"x": (1,)}, "y", kind=TensorProto.STRING), "input 'x' is STRING"),
        (model([node("Expand", "v s", "y")], {"x": (1,)}, "y",
               {"v": np.float32([1]), "s": np.array([2**40])}), "constant values, more than"),
        (model([node("ConstantOfShape", "s", "y")], {"x": (1,)}, "y", {"s": np.array([2**31] * 3)}), "more than"),
        (model([node("Reshape", "x s", "y")], {"x": (4,)}, "y", {"s": np.array([3, -1])}), "does not reshape"),
    ],
)  # fmt: skip
def test_impossible_models_are_refused(proto, words, tmp_path):
    with pytest.raises(EdgertError, match=words):
        converted(proto, tmp_path)


def test_bytes_that_do_not_fit_the_shape_are_refused(tmp_path):
    proto = conv()
    proto.graph.initializer[0].dims[:] = [2, 3, 100, 1]
    with pytest.raises(ConversionError, match="tensor 'w' of shape"):
        converted(proto, tmp_path)


def test_sparse_weights_and_text_are_refused(tmp_path):
    proto = conv()
    proto.graph.sparse_initializer.add()
    with pytest.raises(ConversionError, match="sparse"):
        converted(proto, tmp_path)
    proto = conv()
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array(["a"], object), "w"))
    with pytest.raises(ConversionError, match="'w' is STRING"):
        converted(proto, tmp_path)


def test_truncated_and_damaged_files_are_named_errors(tmp_path):
    data = conv().SerializeToString()
    rng = np.random.default_rng(0)
    damaged = [data[:n] for n in range(0, len(data), 7)]
    for _ in range(200):
        changed = bytearray(data)
        changed[rng.integers(len(data))] = rng.integers(256)
        damaged.append(bytes(changed))
    refused = 0
    for content in damaged:
        try:
            converted(content, tmp_path)
        except EdgertError:
            refused += 1
    assert refused > len(damaged) // 3


def with_functions(bodies, calls):
    """A model of calls of its own functions. bodies: {name: nodes from x to y}."""
    from onnx import helper

    proto = model([node(name, "x", "y", domain="own") for name in calls], {"x": (2,)}, "y")
    versions = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    proto.opset_import.append(versions[1])
    for name, nodes in bodies.items():
        proto.functions.append(helper.make_function("own", name, ["x"], ["y"], nodes, versions))
    return proto


def test_functions_that_call_each_other_for_ever_are_refused(tmp_path):
    loop = {"A": [node("B", "x", "y", domain="own")], "B": [node("A", "x", "y", domain="own")]}
    with pytest.raises(ConversionError, match="call each other more than 16 deep"):
        converted(with_functions(loop, ["A"]), tmp_path)


def test_functions_that_unfold_to_billions_are_refused(tmp_path):
    bodies = {"F0": [node("Relu", "x", "y")]}
    for level in range(1, 10):
        names = ["x", *[f"t{k}" for k in range(19)], "y"]
        bodies[f"F{level}"] = [node(f"F{level - 1}", a, b, domain="own") for a, b in pairwise(names)]
    with pytest.raises(ConversionError, match="unfold to more than 65536 operators"):
        converted(with_functions(bodies, ["F9"]), tmp_path)


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("Resize", "x r s", "y", mode="linear")], {"r": np.float32([]), "s": np.float32([1, 1, 2**18, 2**18])}),
        ([node("Pad", "x p", "y", mode="edge")], {"p": np.array([0, 0, 0, 0, 0, 0, 0, 2**40])}),
        ([node("OneHot", "i d v", "y")], {"i": np.array([1]), "d": np.array(2**40), "v": np.float32([0, 1])}),
        ([node("LpPool", "x", "y", kernel_shape=[2**20, 2**20], pads=[2**20] * 4)], {}),
        ([node("Tile", "x n", "y")], {"n": np.array([2**20] * 4)}),
        ([node("Upsample", "x s", "y")], {"s": np.float32([1, 1, 1e30, 1])}),
        ([node("Conv", "x w", "y", dilations=[2**40, 1])], {"w": normal(2, 3, 3, 3)}),
        ([node("Split", "x n", "y", axis=-9)], {"n": np.array([1])}),
        ([node("Transpose", "x", "y", perm=[0, 1, 1, 3])], {}),
        ([node("Relu", "x", "y", alpha="a")], {}),
        ([node("Concat", "", "y", axis=0)], {}),
    ],
)
def test_numbers_out_of_all_proportion_are_refused(nodes, constants, tmp_path):
    opset = 9 if nodes[0].op_type == "Upsample" else 21
    with pytest.raises(EdgertError):
        converted(model(nodes, {"x": (1, 3, 8, 8)}, "y", constants, opset=opset), tmp_path)
