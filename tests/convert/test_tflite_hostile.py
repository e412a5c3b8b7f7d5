"""Damaged and hostile .tflite files: one named error, whatever the damage; never another exception, never a crash."""

import itertools
import struct

import numpy as np
import pytest
from conversion import converted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from operator_cases import CASES, ends
from tflite_file import Model

from edgert.convert.importers.tflite.schema import File
from edgert.errors import ConversionError, UnsupportedOpError

NAMED = (ConversionError, UnsupportedOpError)


def _attempt(data, folder):
    """Converts; a named error is as good an end as a graph. Returns whether there was an error."""
    try:
        converted(data, folder)
    except NAMED:
        return True
    return False


@pytest.fixture(scope="module")
def small():
    """A file with a vector, a table, a string, a union and constants of every kind in about one kilobyte."""
    model = CASES["conv same"]()
    return model.file(*ends(model))


def test_every_truncation_is_refused(small, tmp_path):
    for length in range(0, len(small), 5):
        assert _attempt(small[:length], tmp_path)


def test_no_flipped_bit_gives_another_error(small, tmp_path):
    for place in range(0, 8 * len(small), 11):
        damaged = bytearray(small)
        damaged[place // 8] ^= 1 << place % 8
        _attempt(bytes(damaged), tmp_path)


def test_no_extreme_number_gives_another_error(small, tmp_path):
    """Each aligned word becomes a number that offsets, counts and dimensions should not be."""
    numbers = itertools.cycle((0, 0xFFFFFFFF, 1, 0x7FFFFFFF, 0x80000000))
    for place in 2 * list(range(0, len(small) - 3, 4)):
        damaged = bytearray(small)
        damaged[place : place + 4] = struct.pack("<I", next(numbers))
        _attempt(bytes(damaged), tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400))
def test_random_bytes_behind_the_identifier(tmp_path, noise):
    _attempt(b"\x10\0\0\0TFL3" + noise, tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_damage_to_any_operator(tmp_path, data):
    model = CASES[data.draw(st.sampled_from(sorted(CASES)))]()
    content = bytearray(model.file(*ends(model)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    _attempt(bytes(content), tmp_path)


def test_elements_read_are_bounded_by_the_file(small):
    """Vectors may share bytes, so a small file could claim any number of elements: reading is budgeted."""
    tensor = File(small, "model.tflite").root().subgraphs[0].tensors[0]
    with pytest.raises(ConversionError, match="more elements than"):
        sum(len(tensor.shape) for _ in range(20 * len(small)))


def _one(dtype="int8", scale=0.1, zero_point=0, shape=(1, 4), **fields):
    model = Model()
    model.tensor("x", dtype, shape, scale, zero_point, **fields)
    model.tensor("out", "int8", shape, 1 / 128, 0)
    model.operator("TANH", "x", "out")
    return model


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"scale": 0.0}, "scale"),
        ({"scale": float("nan")}, "scale"),
        ({"scale": float("inf")}, "scale"),
        ({"scale": -1.0}, "scale"),
        ({"zero_point": 300}, "zero point 300"),
        ({"zero_point": 2**62}, "zero point"),
        ({"shape": (1, -7)}, "shape"),
        ({"shape": (1, 0)}, "empty"),
        ({"shape": (1,) * 9}, "shape"),
        ({"shape": (2**31 - 1, 2**31 - 1)}, "bytes"),
        ({"buffer": 99}, "buffer 99"),
        ({"scale": [0.1, 0.2, 0.3], "axis": 1}, "3 scales"),
    ],
)
def test_impossible_tensor_is_named(damage, words, tmp_path):
    with pytest.raises(ConversionError, match=words) as caught:
        converted(_one(**damage).file(["x"], ["out"]), tmp_path)
    assert "'x'" in str(caught.value)


def test_operators_out_of_order_are_refused(tmp_path):
    model = _one()
    model.tensor("last", "int8", (1, 4), 1 / 128, 0)
    model.operators.insert(0, ("TANH", ["out"], ["last"], {}))
    with pytest.raises(ConversionError, match="'out' is read before"):
        converted(model.file(["x"], ["last"]), tmp_path)


def test_output_that_nothing_computes_is_refused(tmp_path):
    model = _one()
    model.tensor("lost", "int8", (1, 4), 1 / 128, 0)
    with pytest.raises(ConversionError, match="computed by no operator"):
        converted(model.file(["x"], ["lost"]), tmp_path)


def test_two_operators_that_compute_one_tensor_are_refused(tmp_path):
    model = _one()
    model.operator("LOGISTIC", "x", "out")
    with pytest.raises(ConversionError, match="computed twice"):
        converted(model.file(["x"], ["out"]), tmp_path)


def test_constant_of_the_wrong_size_is_refused(tmp_path):
    model = CASES["dense"]()
    table, data = model.tensors[model.index["w"]]
    model.tensors[model.index["w"]] = (table, data.reshape(-1)[:-1])
    with pytest.raises(ConversionError, match=r"'w' holds 139 bytes.*needs 140"):
        converted(model.file(*ends(model)), tmp_path)


def test_sums_that_could_leave_int32_are_refused(tmp_path):
    model = Model()
    model.tensor("x", "int8", (1, 70_000), 0.1, -128)
    model.constant("w", np.zeros((1, 70_000), np.uint8), 0.1, 0)
    model.tensor("out", "int8", (1, 1), 0.1, 0)
    model.operator("FULLY_CONNECTED", ["x", "w"], "out")
    with pytest.raises(ConversionError, match="int32 ends at"):
        converted(model.file(["x"], ["out"]), tmp_path)


def test_fill_of_a_trillion_is_refused_before_it_is_tried(tmp_path):
    model = _one()
    model.constant("shape", np.array([2**20, 2**20], np.int32))
    model.constant("zero", np.float32(0))
    model.tensor("large", "float32", (2**20, 2**20))
    model.operator("FILL", ["shape", "zero"], "large")
    with pytest.raises(ConversionError, match="FILL"):
        converted(model.file(["x"], ["large"]), tmp_path)


def test_huge_activations_convert_without_being_computed(tmp_path):
    """What a graph claims costs nothing until someone runs it: golden vectors are left out."""
    graph = converted(_one(shape=(2**15, 2**15)).file(["x"], ["out"]), tmp_path)
    assert graph.metadata.golden == ()
    assert "too large" in graph.metadata.report
