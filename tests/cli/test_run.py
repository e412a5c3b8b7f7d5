"""edgert run: every kind of input, text and JSON, and the errors a user meets."""

import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from edgert.cli import npy
from edgert.errors import InputError


@pytest.fixture
def stdin(monkeypatch):
    def give(data):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


def saved(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def test_a_picture_gives_its_classes_best_first(edgert, model_files, colour_pictures):
    code, out, err = edgert("run", model_files / "colours.bin", "--image", colour_pictures / "red.png")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].endswith("red.png")
    assert lines[1].split() == ["0.9961", "red"]
    assert len(lines) == 5  # name, three classes, time


def test_top_limits_the_classes(edgert, model_files, colour_pictures):
    _, out, _ = edgert("run", model_files / "colours.bin", colour_pictures / "blue.png", "--top", 1)
    assert [line.split()[1] for line in out.splitlines()[1:-1]] == ["blue"]


def test_a_folder_is_every_picture_in_it_one_json_object_a_line(edgert, model_files, colour_pictures):
    _, out, _ = edgert("run", model_files / "colours.bin", colour_pictures, "--json")
    answers = [json.loads(line) for line in out.splitlines()]
    assert [os.path.basename(answer["input"]) for answer in answers] == ["blue.png", "green.png", "red.png"]
    assert [answer["classes"][0]["label"] for answer in answers] == ["blue", "green", "red"]
    assert all(answer["ms"] > 0 and sum(answer["tiers"].values()) == 4 for answer in answers)


def test_what_is_not_native_is_said(edgert, model_files, colour_pictures):
    path = colour_pictures / "red.png"
    _, out, _ = edgert("run", model_files / "colours.bin", path, "--tier", "reference")
    assert out.splitlines()[-1].endswith("4 of 4 nodes on reference")


def test_one_bad_picture_among_others_is_reported_and_the_rest_answered(edgert, model_files, tmp_path):
    Image.new("RGB", (8, 8), (0, 255, 0)).save(tmp_path / "b.png")
    (tmp_path / "a.png").write_bytes(b"")
    code, out, err = edgert("run", model_files / "colours.bin", tmp_path, "--json")
    assert code == 1
    assert json.loads(out)["classes"][0]["label"] == "green"
    assert "a.png: empty" in err.splitlines()[0]
    assert "1 of 2 inputs could not be read" in err.splitlines()[1]


@pytest.mark.parametrize("kind", ["picture", "npy pixels", "npy words", "npy words without batch", "raw words"])
def test_stdin_takes_pictures_arrays_and_raw_words(edgert, model_files, colour_pictures, stdin, kind):
    words = np.full((1, 8, 8, 3), -128, np.int8)
    words[..., 2] = 127
    stdin(
        {
            "picture": (colour_pictures / "blue.png").read_bytes(),
            "npy pixels": saved(np.asarray(Image.open(colour_pictures / "blue.png"))),
            "npy words": saved(words),
            "npy words without batch": saved(words[0]),
            "raw words": words.tobytes(),
        }[kind]
    )
    code, out, _ = edgert("run", model_files / "colours.bin", "-", "--json")
    assert code == 0
    assert json.loads(out)["classes"][0]["label"] == "blue"


def test_arrays_go_in_and_out_of_a_model_without_classes(edgert, model_files, tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1, 2, -3, 4]], np.int8))
    np.save(tmp_path / "b.npy", np.array([[5, 5, 5, 5]], np.int8))
    _, out, _ = edgert("run", model_files / "two_heads.bin", tmp_path / "a.npy", tmp_path / "b.npy", "--json")
    outputs = {item["name"]: item for item in json.loads(out)["outputs"]}
    assert outputs["sum"]["shape"] == [1, 4]
    assert outputs["sum"]["values"] == pytest.approx([0.0, 0.2, -0.4, 0.4], abs=1e-6)
    assert outputs["magnitude"]["values"] == pytest.approx([0.0, 0.2, 0.4, 0.4], abs=1e-6)
    _, out, _ = edgert("run", model_files / "two_heads.bin", tmp_path / "a.npy", tmp_path / "b.npy")
    assert "sum int8 1x4: 0 0.2 -0.4 0.4" in out


@pytest.mark.parametrize(
    ("model", "inputs", "code", "message"),
    [
        ("colours.bin", [], 1, "0 inputs given; the model takes 1 at a time"),
        ("two_heads.bin", ["x.npy"], 1, "1 inputs given; the model takes 2 at a time"),
        ("colours.bin", ["absent.png"], 1, "absent.png: No such file"),
        ("colours.bin", ["absent.npy"], 1, "absent.npy: no such file"),
        ("colours.bin", ["folder.npy"], 1, "no pictures or .npy files in this folder"),
        ("colours.bin", ["x.npy"], 1, "x.npy: float32 3x5; input 'image' is int8 1x8x8x3"),
        ("colours.bin", ["short.raw"], 1, "short.raw: 3 bytes; input 'image' has 192"),
        ("colours.bin", ["text.png"], 1, "text.png: not a picture"),
        ("residual.bin", ["text.png"], 1, "input 'x' of shape (1, 6, 6, 8) does not take a picture"),
        ("absent.bin", ["x.npy"], 3, "absent.bin: cannot be read: No such file"),
        ("text.png", ["x.npy"], 3, "text.png: "),
    ],
)
def test_a_wrong_input_is_one_line_that_names_it(edgert, model_files, tmp_path, model, inputs, code, message):
    np.save(tmp_path / "x.npy", np.zeros((3, 5), np.float32))
    (tmp_path / "short.raw").write_bytes(b"abc")
    (tmp_path / "text.png").write_bytes(b"just text, not a picture at all")
    (tmp_path / "folder.npy").mkdir()
    file = model_files / model if (model_files / model).exists() else tmp_path / model
    got, out, err = edgert("run", file, *(tmp_path / name for name in inputs))
    assert message in err
    assert err.count("\n") == 1
    assert out == ""
    assert got == code


def test_npy_headers_are_read_as_numpy_writes_them():
    arrays = np.arange(6, dtype=np.int16).reshape(2, 3), np.float32(3.5).reshape(()), np.zeros((0, 4), np.uint8)
    for version in ((1, 0), (2, 0), (3, 0)):
        for array in arrays:
            dtype, shape, elements = npy.parse(saved(array, version=version), "x")
            assert (dtype, shape, bytes(elements)) == (array.dtype.name, array.shape, array.tobytes())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x93NUMPY", "damaged"),
        (b"\x93NUMPY\x01\x00\xff\xffx", "damaged"),
        (saved(np.zeros(4, np.int8))[:-1], "3 bytes of elements, but int8"),
        (saved(np.zeros(4, np.int8)) + b"x", "5 bytes of elements"),
        (saved(np.asfortranarray(np.zeros((2, 3)))), "Fortran"),
        (saved(np.zeros(2, np.complex64)), "elements of type '<c8'"),
        (saved(np.zeros(2, ">f4")), "elements of type '>f4'"),
        (saved(np.zeros(4, np.int8)).replace(b"(4,)", b"(-4)"), "damaged"),
        (saved(np.zeros(4, np.int8)).replace(b"'descr'", b"'descX'"), "damaged"),
        (saved(np.zeros(4, np.int8)).replace(b"(4,)", b"9**9"), "damaged"),
    ],
)
def test_damaged_npy_files_are_input_errors(data, message):
    with pytest.raises(InputError, match=message):
        npy.parse(data, "x.npy")


def test_truncated_npy_files_are_input_errors_at_every_length():
    data = saved(np.arange(6, dtype=np.int8).reshape(2, 3))
    for length in range(len(data)):
        with pytest.raises(InputError):
            npy.parse(data[:length], "x.npy")
