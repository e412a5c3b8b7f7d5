"""Calibration data and models that do not fit: named errors, measured warnings, and never a half-written file."""

import json

import float_nets as nets
import numpy as np
import pytest
from PIL import Image
from tflite_file import Model

import edgert
from edgert.cli.main import main
from edgert.convert.quantize import quantize, samples
from edgert.errors import ConversionError, InputError


def test_no_calibration_data_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no pictures"):
        quantize(nets.classifier(), tmp_path)
    with pytest.raises(InputError, match="no calibration data"):
        quantize(nets.classifier(), [])
    with pytest.raises(InputError, match="no such file"):
        quantize(nets.classifier(), tmp_path / "absent.npz")


def test_unreadable_pictures_are_skipped_and_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(InputError, match="none of 1 pictures"):
        quantize(nets.classifier(), tmp_path)
    Image.effect_noise((40, 40), 90).convert("RGB").save(tmp_path / "noise.png")
    _, record = quantize(nets.classifier(), tmp_path)
    assert any("broken.png" in warning for warning in record.warnings)


def test_nan_in_the_data_is_an_error():
    data = nets.inputs(nets.classifier(), 3)
    data[1][0][0, 2, 2, 0] = np.nan
    with pytest.raises(InputError, match="1 samples hold NaN"):
        quantize(nets.classifier(), data)


def test_nan_in_the_weights_is_an_error():
    graph = nets.classifier()
    place = next(i for i, tensor in enumerate(graph.tensors) if tensor.name == "block.weight")
    weights = np.frombuffer(graph.tensors[place].data, np.float32).copy()
    weights[:3] = np.nan
    tensors = list(graph.tensors)
    tensors[place] = tensors[place].replace(data=weights.tobytes())
    with pytest.raises(ConversionError, match=r"'block\.weight' hold 3 values"):
        quantize(graph.replace(tensors=tuple(tensors)), nets.inputs(graph))


def test_numbers_that_overflow_on_the_way_are_an_error():
    graph = nets.classifier()
    with pytest.raises(ConversionError, match="'stem' is not finite"):
        quantize(graph, nets.inputs(graph, low=-3e38, high=3e38))


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.0, 255.0, r"spans 0\.\d+..2\d\d.*9\d\.\d % of the values would saturate"), (0.0, 0.004, "only 0.4 % of")],
)
def test_mis_scaled_data_is_reported_with_its_measure(low, high, words):
    graph = nets.classifier()
    _, record = quantize(graph, nets.inputs(graph, low=low, high=high))
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(*record.warnings)


def test_constant_data_is_reported():
    graph = nets.classifier()
    _, record = quantize(graph, [np.full((1, 16, 16, 3), 0.5, np.float32)] * 3)
    assert any("constant" in warning for warning in record.warnings)
    _, record = quantize(graph, nets.inputs(graph, 1) * 4)
    assert any("all 4 samples" in warning for warning in record.warnings)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"z": np.zeros((3, 16, 16, 3), np.float32)}, "must have x"),
        ({"x": np.zeros((3, 16, 15, 3), np.float32)}, "row 0"),
        ({"x": np.float32(1)}, "one row per sample"),
        ({"x": np.zeros((3, 16, 16, 3), np.float32), "y": np.zeros(2, np.int64)}, "one class number"),
        ({"x": np.zeros((3, 16, 16, 3), np.complex64)}, "complex64"),
    ],
)
def test_an_npz_that_does_not_fit_is_an_error(tmp_path, arrays, message):
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(InputError, match=message):
        quantize(nets.classifier(), tmp_path / "data.npz")


def test_pickles_in_an_npz_are_refused(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"data\.npz"):
        quantize(nets.classifier(), tmp_path / "data.npz")


def test_an_npz_that_unpacks_to_more_than_is_read_is_refused_before_it_does(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((100, 16, 16, 3), np.float32))
    assert (tmp_path / "bomb.npz").stat().st_size < 2000
    monkeypatch.setattr(samples, "MAX_UNPACKED_BYTES", 300_000)
    with pytest.raises(InputError, match=r"bomb\.npz: unpacks to 307,\d{3} bytes, at most 300,000"):
        quantize(nets.classifier(), tmp_path / "bomb.npz")


def test_an_unknown_observer_is_an_error():
    with pytest.raises(InputError, match="minmax, percentile"):
        quantize(nets.classifier(), nets.inputs(nets.classifier()), observer="best")


def test_a_quantised_model_is_not_quantised_again():
    graph = nets.classifier()
    int8, _ = quantize(graph, nets.inputs(graph))
    with pytest.raises(ConversionError, match="already"):
        quantize(int8, nets.inputs(graph))


@pytest.fixture
def float_model(tmp_path):
    """A .tflite file of one convolution in float: pictures (1, 24, 24, 3) in."""
    model = Model()
    rng = np.random.default_rng(0)
    x = model.tensor("image", "float32", (1, 24, 24, 3))
    weight = model.constant("weight", rng.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32))
    bias = model.constant("bias", np.zeros(4, np.float32))
    out = model.tensor("out", "float32", (1, 24, 24, 4))
    model.operator("CONV_2D", [x, weight, bias], [out], stride_w=1, stride_h=1)
    path = tmp_path / "model.tflite"
    path.write_bytes(model.file([x], [out]))
    return path


def test_the_command_quantises_with_a_folder_of_pictures(float_model, colour_pictures, capsys):
    out = float_model.with_name("model.bin")
    assert main(["convert", str(float_model), "-o", str(out), "--calibrate", str(colour_pictures)]) == 0
    assert "3 pictures of" in capsys.readouterr().out
    assert edgert.load(str(out)).inputs[0].dtype == "int8"
    assert main(["convert", str(float_model), "-o", str(out), "--calibrate", str(colour_pictures), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["quantised"]["settings"]["observer"] == "mse"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "nowhere/model.bin"], "there is no folder"),
        (["--samples", "0"], "'0' is no whole number above 0"),
        (["--mean", "grey"], "'grey' is neither a number nor R,G,B"),
    ],
)
def test_the_command_says_what_is_wrong_with_an_option(options, words, float_model, capsys, monkeypatch):
    monkeypatch.chdir(float_model.parent)
    assert main(["convert", str(float_model), "-o", "model.bin", *options]) in (1, 2)
    assert words in capsys.readouterr().err
    assert [path.name for path in float_model.parent.iterdir()] == ["model.tflite"]


@pytest.mark.parametrize("options", [["--calibrate", "absent"], ["--observer", "kl"]])
def test_the_command_leaves_no_file_behind_when_it_fails(float_model, options, capsys):
    out = float_model.with_name("model.bin")
    assert main(["convert", str(float_model), "-o", str(out), *options]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert sorted(path.name for path in float_model.parent.iterdir()) == ["model.tflite"]
