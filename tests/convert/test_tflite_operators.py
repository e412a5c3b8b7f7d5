"""Every operator by itself: it converts, it runs, and it answers as LiteRT does, to one last bit of int8."""

import numpy as np
import pytest
from conversion import answers, converted, imported, litert, random_inputs
from operator_cases import CASES, ends
from tflite_file import Model

from edgert.convert.importers.tflite.operators import NAMES, OPERATORS
from edgert.convert.importers.tflite.schema import OPTIONS_TYPES, SCHEMA

# LiteRT negates the words of int8, whatever they stand for; we negate the numbers.
NOT_AS_LITERT = {"neg"}
# Least important bit of float sums taken in another order, and of another exp or tanh; relative to the largest output.
FLOAT_TOLERANCE = 2e-6


@pytest.mark.parametrize("name", CASES)
def test_operator_converts_and_runs(name, tmp_path):
    model = CASES[name]()
    data = model.file(*ends(model))
    graph = converted(data, tmp_path)
    for ours, plain, index in zip(answers(graph), answers(imported(data)), graph.outputs):
        assert ours.shape == graph.tensors[index].shape
        np.testing.assert_array_equal(ours, plain)  # a fusion changes nothing


@pytest.mark.parametrize("name", sorted(CASES.keys() - NOT_AS_LITERT))
def test_operator_answers_as_litert_does(name, tmp_path):
    model = CASES[name]()
    graph = converted(model.file(*ends(model)), tmp_path)
    theirs = litert(tmp_path / "model.tflite", random_inputs(graph), plain=True)
    for ours, expected in zip(answers(graph), theirs, strict=True):
        assert (ours.dtype, ours.shape) == (expected.dtype, expected.shape)
        if ours.dtype == np.int8:
            assert np.abs(ours.astype(int) - expected.astype(int)).max() <= 1
        else:
            largest = np.nanmax(np.abs(expected)) or 1.0
            np.testing.assert_allclose(ours, expected, rtol=0, atol=FLOAT_TOLERANCE * largest)


def test_every_operator_name_and_options_table_is_known():
    assert set(OPERATORS) <= set(NAMES)
    assert {kind for kind, _ in OPERATORS.values() if kind} <= set(OPTIONS_TYPES)
    assert set(OPTIONS_TYPES) <= set(SCHEMA)


def test_schema_tables_agree_with_the_generated_ones():
    """Slots and union numbers against the `tflite` package, which flatc made from schema.fbs."""
    tflite = pytest.importorskip("tflite", reason="the tflite package is not installed")
    assert {name: getattr(tflite.BuiltinOperator, name) for name in NAMES} == {n: i for i, n in enumerate(NAMES)}
    for kind, number in OPTIONS_TYPES.items():
        assert getattr(tflite.BuiltinOptions, kind) == number


def test_uint8_weights_keep_their_zero_point(tmp_path):
    model = CASES["conv uint8"]()
    graph = converted(model.file(*ends(model)), tmp_path)
    weight = graph.tensors[graph.nodes[0].inputs[1]]
    assert weight.dtype == "int8"
    assert weight.quant.zero_point == 119 - 128
    assert graph.tensors[graph.inputs[0]].quant.zero_point == 121 - 128


def test_depthwise_scales_run_along_the_last_axis(tmp_path):
    model = CASES["depthwise multiplier"]()
    graph = converted(model.file(*ends(model)), tmp_path)
    weight = graph.tensors[graph.nodes[0].inputs[1]]
    assert (weight.shape, weight.quant.axis) == ((3, 3, 18), 2)


def test_hybrid_weights_become_float(tmp_path):
    """int8 weights beside float activations: LiteRT quantises the activations on the fly, we make the weights float."""
    words, scale = np.arange(-60, 60, dtype=np.int8).reshape(3, 40), np.float32(0.02)
    model = Model()
    model.tensor("x", "float32", (2, 40))
    model.constant("w", words, scale)
    model.tensor("out", "float32", (2, 3))
    model.operator("FULLY_CONNECTED", ["x", "w"], "out")
    graph = converted(model.file(["x"], ["out"]), tmp_path)
    (x,) = random_inputs(graph)
    np.testing.assert_allclose(answers(graph)[0], x @ (words * scale).T, rtol=1e-5, atol=1e-4)


def test_int4_weights_are_unpacked(tmp_path):
    words = np.array([[-8, 7, 3], [0, -1, 5]], np.int8)
    flat = words.reshape(-1).view(np.uint8) & 15
    model = Model()
    model.tensor("x", "int8", (1, 3), 0.1, 0)
    model.tensor("w", "int4", (2, 3), 0.05, data=flat[0::2] | flat[1::2] << 4)
    model.tensor("out", "int8", (1, 2), 0.2, 0)
    model.operator("FULLY_CONNECTED", ["x", "w"], "out")
    graph = converted(model.file(["x"], ["out"]), tmp_path)
    weight = graph.tensors[graph.nodes[0].inputs[1]]
    np.testing.assert_array_equal(np.frombuffer(weight.data, np.int8).reshape(2, 3), words)


def test_float16_weights_are_widened(tmp_path):
    values = np.array([[0.1, -2.5], [3.25, 65504]], np.float16)
    model = Model()
    model.tensor("x", "float32", (1, 2))
    model.constant("half", values)
    model.tensor("w", "float32", (2, 2))
    model.tensor("out", "float32", (1, 2))
    model.operator("DEQUANTIZE", "half", "w")
    model.operator("FULLY_CONNECTED", ["x", "w"], "out")
    graph = converted(model.file(["x"], ["out"]), tmp_path)
    weight = graph.tensors[graph.nodes[0].inputs[1]]
    np.testing.assert_array_equal(np.frombuffer(weight.data, np.float32).reshape(2, 2), values.astype(np.float32))


def test_shapes_computed_from_shapes_are_folded(tmp_path):
    """SHAPE -> STRIDED_SLICE -> PACK -> RESHAPE, as Keras writes a flatten; the declared output shape is wrong."""
    model = Model()
    model.tensor("x", "float32", (2, 3, 4))
    for name, shape in (("shape", (3,)), ("batch", ()), ("target", (2,))):
        model.tensor(name, "int32", shape)
    for name, value in (("zero", [0]), ("one", [1]), ("minus", -1)):
        model.constant(name, np.array(value, np.int32))
    model.tensor("out", "float32", (1, 1), signature=[-1, -1])
    model.operator("SHAPE", "x", "shape")
    model.operator("STRIDED_SLICE", ["shape", "zero", "one", "one"], "batch", shrink_axis_mask=1)
    model.operator("PACK", ["batch", "minus"], "target", values_count=2)
    model.operator("RESHAPE", ["x", "target"], "out")
    graph = converted(model.file(["x"], ["out"]), tmp_path)
    assert [(node.op, graph.tensors[node.outputs[0]].shape) for node in graph.nodes] == [("reshape", (2, 12))]


def test_open_batch_becomes_one_with_a_note(tmp_path):
    model = Model()
    model.tensor("x", "float32", (-1, 3), signature=[-1, 3])
    model.tensor("out", "float32", (-1, 3), signature=[-1, 3])
    model.operator("TANH", "x", "out")
    graph = converted(model.file(["x"], ["out"]), tmp_path)
    assert graph.tensors[graph.inputs[0]].shape == graph.tensors[graph.outputs[0]].shape == (1, 3)
    assert "dimension 0 of 'x' is open" in graph.metadata.report


def test_concatenation_requantises_what_differs(tmp_path):
    model = Model()
    model.tensor("x", "int8", (2, 2), 0.1, 0)
    model.tensor("y", "int8", (2, 2), 0.05, 10)
    model.tensor("out", "int8", (2, 4), 0.1, 0)
    model.operator("CONCATENATION", ["x", "y"], "out", axis=1)
    graph = converted(model.file(["x", "y"], ["out"]), tmp_path)
    x, y = random_inputs(graph)
    expected = np.rint((y.astype(float) - 10) * np.float32(0.05) / np.float32(0.1))
    np.testing.assert_array_equal(answers(graph)[0], np.concatenate([x, expected.clip(-128, 127).astype(np.int8)], 1))


def test_names_are_short_printable_and_unique(tmp_path):
    model = Model()
    model.tensor("x", "float32", (2,))
    model.tensor("a;b;c", "float32", (2,))
    model.tensor("a;d\n", "float32", (2,))
    model.operator("TANH", "x", "a;b;c")
    model.operator("TANH", "a;b;c", "a;d\n")
    graph = converted(model.file(["x"], ["a;d\n"]), tmp_path)
    assert [tensor.name for tensor in graph.tensors] == ["x", "a_2", "a"]  # the output has the first choice
