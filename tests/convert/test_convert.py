"""convert(): which files it takes, what it says of the others, and what a model says about itself afterwards."""

import json
import os

import numpy as np
import pytest
from conversion import converted
from operator_cases import CASES, ends
from tflite_file import Model

from edgert import convert
from edgert.cli.main import main
from edgert.errors import ConversionError, InputError, UnsupportedOpError
from edgert.format import reader


def _file(folder, model=None, name="model.tflite", outputs=("out",)):
    path = folder / name
    model = model or _classifier()
    path.write_bytes(model.file(["x"], list(outputs)))
    return path


def _classifier(x=(1, 32, 32, 3), dtype="int8", scale=1 / 255, zero_point=-128, classes=3):
    """Picture -> mean over the picture -> softmax over channels, widened to `classes` by a linear layer."""
    model = Model()
    if dtype == "float32":
        scale, weights = None, np.ones((classes, x[3]), np.float32)
    else:
        weights = np.ones((classes, x[3]), np.int8)
    model.tensor("x", dtype, x, scale, zero_point)
    model.constant("axes", np.array([1, 2], np.int32))
    model.constant("w", weights, None if dtype == "float32" else 0.01)
    model.tensor("mean", dtype, (1, x[3]), scale, zero_point)
    model.tensor("logits", dtype, (1, classes), None if dtype == "float32" else 0.1, 128 if dtype == "uint8" else 0)
    out = {"float32": (None, 0), "int8": (1 / 256, -128), "uint8": (1 / 256, 0)}[dtype]
    model.tensor("out", dtype, (1, classes), *out)
    model.operator("MEAN", ["x", "axes"], "mean")
    model.operator("FULLY_CONNECTED", ["mean", "w"], "logits")
    model.operator("SOFTMAX", "logits", "out", beta=1.0)
    return model


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.onnx", b"PK\x03\x04", "zip archive"),
        ("model.h5", b"\x89HDF\r\n\x1a\n", "Keras HDF5"),
        ("model.zip", b"PK\x03\x04", "zip archive"),
        ("weights.pkl", b"\x80\x02}q\x00.", "Python pickle.*torch.export"),
        ("model.pt", b"\x80\x05\x95\x0c", "Python pickle.*torch.export"),
        ("model.tflite", b"", "the file is empty"),
        ("model.tflite", b"\x10\0\0\0", "no TFLite model"),
        ("notes.txt", b"not a model at all", "no TFLite model"),
    ],
)
def test_other_files_are_refused_by_name(name, content, words, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConversionError, match=words):
        convert.tflite(path)


def test_edgert_model_is_not_converted_twice(model_files):
    with pytest.raises(ConversionError, match="converted already"):
        convert.tflite(model_files / "colours.bin")


def test_directory_fifo_and_missing_file_are_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "missing"):
        with pytest.raises(ConversionError, match=path.name):
            convert.tflite(path)


def test_all_unsupported_operators_are_listed_at_once(tmp_path):
    model = Model()
    model.tensor("x", "int8", (1, 4), 0.1, 0)
    for name, dtype in (("a", "int8"), ("b", "int8"), ("c", "uint32"), ("d", "int8"), ("out", "int8")):
        model.tensor(name, dtype, (1, 4), 1 / 128 if dtype == "int8" else None)
    model.operator("Frobnicate", "x", "a")
    model.operator("TANH", "a", "b")
    model.operator("CAST", "b", "c")
    model.operator("CUMSUM", "b", "d")
    model.operator("TANH", "d", "out")
    with pytest.raises(UnsupportedOpError) as caught:
        converted(model.file(["x"], ["out"]), tmp_path)
    text = str(caught.value)
    assert "3 operators are not supported" in text
    assert "operator 0 CUSTOM 'Frobnicate'" in text
    assert "operator 2 CAST: tensor 'c' is uint32" in text
    assert "operator 3 CUMSUM" in text
    assert "TANH" not in text


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: _one_op("TANH", "int16"), "int16"),
        (lambda: _one_op("TANH", "int8", is_variable=True), "variable"),
        (lambda: _one_op("ADD", "int8", y=True, fused_activation_function=4), "activation is TANH"),
    ],
)
def test_reason_is_given(build, reason, tmp_path):
    with pytest.raises((UnsupportedOpError, ConversionError), match=reason):
        converted(build().file(["x"], ["out"]), tmp_path)


def _one_op(op, dtype, y=False, is_variable=False, **options):
    model = Model()
    model.tensor("x", dtype, (1, 4), 0.1, 0)
    model.tensor("out", dtype, (1, 4), 0.1, 0, is_variable=is_variable)
    model.operator(op, ["x", "x"] if y else "x", "out", **options)
    return model


def test_written_model_is_the_graph(tmp_path):
    graph = convert.convert(_file(tmp_path), tmp_path / "model.bin")
    assert reader.read(str(tmp_path / "model.bin")).graph.metadata == graph.metadata
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.bin", "model.tflite"]


def test_same_source_gives_the_same_bytes(tmp_path):
    source = _file(tmp_path)
    for name in ("a.bin", "b.bin"):
        convert.convert(source, tmp_path / name)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_failed_conversion_leaves_no_file(tmp_path):
    source = _file(tmp_path)
    source.write_bytes(source.read_bytes()[:500])
    (tmp_path / "old.bin").write_bytes(b"old")
    for name in ("old.bin", "new.bin"):
        with pytest.raises(ConversionError):
            convert.convert(source, tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.tflite", "old.bin"]
    assert (tmp_path / "old.bin").read_bytes() == b"old"


def test_float_clamp_at_zero_survives_the_file(tmp_path):
    model = CASES["conv float relu"]()
    (tmp_path / "model.tflite").write_bytes(model.file(*ends(model)))
    convert.convert(tmp_path / "model.tflite", tmp_path / "model.bin")
    assert repr(reader.read(str(tmp_path / "model.bin")).graph.nodes[0].attrs["clamp_min"]) == "0.0"


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "mean", "std"),
    [
        ("int8", 1 / 255, -128, 0.0, 255.0),
        ("int8", 2 / 255, -1, 127.5, 127.5),
        ("uint8", 1 / 128, 128, 127.5, 127.5),
        ("int8", 1.0, -128, 0.0, 1.0),
        ("int8", 1.0, 0, 128.0, 1.0),
        ("float32", None, 0, 0.0, 255.0),
    ],
)
def test_preprocessing_follows_from_the_range_of_the_input(dtype, scale, zero_point, mean, std, tmp_path):
    graph = convert.tflite(_file(tmp_path, _classifier(dtype=dtype, scale=scale, zero_point=zero_point)))
    preprocess = graph.metadata.preprocess
    assert (preprocess.mean, preprocess.std, preprocess.channels) == ((mean,), (std,), "RGB")
    assert ("pixels / 255 assumed" in graph.metadata.report) == (dtype == "float32")


def test_input_of_an_unusual_range_or_shape_is_no_picture(tmp_path):
    assert convert.tflite(_file(tmp_path, _classifier(scale=0.58, zero_point=83))).metadata.preprocess is None
    spectrogram = _classifier(x=(1, 49, 10, 1), scale=1 / 255)
    assert convert.tflite(_file(tmp_path, spectrogram)).metadata.preprocess is None
    with pytest.raises(InputError, match="takes no picture"):
        convert.tflite(_file(tmp_path, spectrogram), mean=3)


def test_options_override_what_was_found(tmp_path):
    options = {"mean": (1, 2, 3), "std": 4, "channels": "BGR", "resize": "crop", "name": "net", "task": "detect"}
    graph = convert.tflite(_file(tmp_path), **options)
    preprocess = graph.metadata.preprocess
    assert (preprocess.mean, preprocess.std) == ((1.0, 2.0, 3.0), (4.0,))
    assert (preprocess.channels, preprocess.resize) == ("BGR", "crop")
    assert (graph.name, graph.metadata.task) == ("net", "detect")


@pytest.mark.parametrize(
    "options",
    [{"std": 0}, {"mean": (1, 2)}, {"mean": float("nan")}, {"channels": "GRAY"}, {"resize": "tile"}, {"task": "paint"}],
)
def test_options_that_do_not_fit_are_refused(options, tmp_path):
    with pytest.raises(InputError):
        convert.tflite(_file(tmp_path), **options)


def test_labels_come_from_a_file_or_a_list(tmp_path):
    (tmp_path / "labels.txt").write_text("red\r\ngreen\nblue sky\n\n", encoding="utf-8")
    for labels in (tmp_path / "labels.txt", ["red", "green", "blue sky"]):
        metadata = convert.tflite(_file(tmp_path), labels=labels).metadata
        assert (metadata.labels, metadata.task) == (("red", "green", "blue sky"), "classify")
    with pytest.raises(InputError, match=r"2 labels for an output of shape \(1, 3\)"):
        convert.tflite(_file(tmp_path), labels=["red", "green"])


def test_softmax_over_one_row_is_a_classifier_and_nothing_else_is(tmp_path):
    assert convert.tflite(_file(tmp_path)).metadata.task == "classify"
    assert convert.tflite(_file(tmp_path, outputs=["logits"])).metadata.task == ""
    assert convert.tflite(_file(tmp_path, outputs=["out", "logits"])).metadata.task == ""


def test_provenance_names_source_hash_and_converter(tmp_path):
    provenance = convert.tflite(_file(tmp_path)).metadata.provenance
    assert provenance["source"] == "model.tflite"
    assert len(provenance["source_sha256"]) == 64
    assert provenance["converter"].startswith("edgert ")


def test_golden_vectors_hold_on_the_tiers_of_this_machine(tmp_path):
    import edgert

    convert.convert(_file(tmp_path), tmp_path / "model.bin")
    ((inputs, outputs),) = reader.read(str(tmp_path / "model.bin")).graph.metadata.golden
    assert [bytes(out) for out in edgert.load(tmp_path / "model.bin").run_buffers(inputs)] == list(outputs)


def test_float_sums_have_no_golden_vectors(tmp_path):
    metadata = convert.tflite(_file(tmp_path, _classifier(dtype="float32"))).metadata
    assert metadata.golden == ()
    assert "float sums" in metadata.report


def test_verb_prints_a_summary(tmp_path, capsys):
    source = _file(tmp_path)
    assert main(["convert", str(source), "-o", str(tmp_path / "model.bin")]) == 0
    text = capsys.readouterr().out
    assert "model.bin: " in text
    assert "3 in the source, 3 nodes now" in text
    assert main(["convert", str(source), "-o", str(tmp_path / "model.bin"), "--json", "--mean", "1,2,3"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["operators"], summary["nodes"], summary["task"]) == (3, 3, "classify")
    assert summary["bytes"] == (tmp_path / "model.bin").stat().st_size


@pytest.mark.parametrize(("suffix", "code"), [("onnx", 3), ("tflite", 3)])
def test_verb_reports_a_bad_model_in_one_line(suffix, code, tmp_path, capsys):
    if suffix == "onnx":
        pytest.importorskip("onnx", reason="the package onnx is not installed")
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(b"nonsense")
    assert main(["convert", str(path), "-o", str(tmp_path / "model.bin")]) == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert not (tmp_path / "model.bin").exists()


def test_verb_does_not_replace_its_source(tmp_path, capsys):
    source = _file(tmp_path)
    before = source.read_bytes()
    assert main(["convert", str(source), "-o", str(source)]) == 1
    assert source.read_bytes() == before
    assert main(["convert", str(source), "-o", str(tmp_path / "m.bin"), "--mean", "grey"]) == 2
    assert "--mean" in capsys.readouterr().err
