"""The names a user sees, what they cost to import, and the faces of Model."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tiny
from PIL import Image

import edgert
from edgert.errors import InputError, ModelFormatError
from edgert.format import writer

PUBLIC = [
    "CameraError",
    "Class",
    "ConversionError",
    "CustomOpError",
    "DeployError",
    "Detection",
    "EdgertError",
    "InputError",
    "Model",
    "ModelFormatError",
    "TierError",
    "UnsupportedOpError",
    "__version__",
    "load",
    "op",
]


def python(code, *args):
    """What a fresh interpreter prints for `code`, as JSON."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, check=True, env=environment
    )
    return json.loads(result.stdout)


def test_the_public_names_are_these():
    assert sorted(edgert.__all__) == sorted(PUBLIC)
    for name in PUBLIC:
        assert getattr(edgert, name) is not None
        assert name in dir(edgert)
    assert edgert.__version__ == "0.1.0"
    with pytest.raises(AttributeError, match="no attribute 'fly'"):
        _ = edgert.fly


def test_import_edgert_loads_nothing_else():
    loaded = python(
        "import sys, json; before = set(sys.modules); import edgert; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    assert loaded == ["edgert"]


HEAVY = ("numpy", "flatbuffers", "torch", "onnx", "numba", "PIL", "picamera2", "starlette", "edgert.convert")
SLOW_TO_IMPORT = ("dataclasses", "enum", "typing", "re", "pathlib", "hashlib", "collections", "functools", "inspect")


@pytest.mark.skipif(os.environ.get("EDGERT_TIER") in ("jit", "reference"), reason="this tier needs NumPy")
def test_load_and_run_buffers_import_nothing_heavy(model_files):
    loaded = python(
        """
import sys
before = set(sys.modules)
import edgert
model = edgert.load(sys.argv[1])
if all(step[1] != "reference" for step in model.session.plan.steps):
    model.rank(model.run_buffers([bytes(192)])[0])
    loaded = sorted(set(sys.modules) - before)
else:
    loaded = None
import json
print(json.dumps(loaded))
""",
        model_files / "colours.bin",
    )
    if loaded is None:
        pytest.skip("no compiled kernels in this installation")
    assert not [name for name in loaded if name.startswith(HEAVY)]
    assert not [name for name in loaded if name in SLOW_TO_IMPORT]


@pytest.mark.skipif(os.environ.get("EDGERT_TIER") in ("jit", "reference"), reason="this tier needs NumPy")
def test_the_command_run_imports_no_numpy(model_files, colour_pictures):
    loaded = python(
        """
import io, sys
from edgert.cli.main import main
sys.stdout = io.StringIO()
assert main(["run", sys.argv[1], "--image", sys.argv[2]]) == 0
native = "reference" not in sys.stdout.getvalue()
sys.stdout = sys.__stdout__
loaded = sorted(sys.modules)
import json
print(json.dumps(loaded if native else None))
""",
        model_files / "colours.bin",
        colour_pictures / "red.png",
    )
    if loaded is None:
        pytest.skip("no compiled kernels in this installation")
    heavy = [name for name in HEAVY if name != "PIL"]
    assert not [name for name in loaded if name.startswith(tuple(heavy))]
    assert not {"dataclasses", "shutil", "json", "hashlib"} & set(loaded)


def test_help_imports_no_verb():
    loaded = python(
        """
import io, sys
from edgert.cli.main import main
sys.stdout = io.StringIO()
main(["--help"])
sys.stdout = sys.__stdout__
loaded = sorted(sys.modules)
import json
print(json.dumps(loaded))
"""
    )
    assert [name for name in loaded if name.startswith("edgert")] == [
        "edgert",
        "edgert.cli",
        "edgert.cli.main",
        "edgert.errors",
    ]
    assert "shutil" not in loaded


@pytest.fixture
def model(model_files):
    return edgert.load(model_files / "colours.bin")


def test_inputs_and_outputs_tell_name_shape_dtype_and_scale(model):
    [given], [made] = model.inputs, model.outputs
    assert (given.name, given.shape, given.dtype) == ("image", (1, 8, 8, 3), "int8")
    assert (made.name, made.shape, made.dtype, made.quant.zero_point) == ("probabilities", (1, 3), "int8", -128)
    assert model.metadata.labels == tiny.COLOURS


def test_a_model_comes_from_a_path_or_from_bytes(model_files):
    data = (model_files / "colours.bin").read_bytes()
    given = [np.zeros((1, 8, 8, 3), np.int8)]
    answers = [
        edgert.load(source)(*given) for source in (model_files / "colours.bin", str(model_files / "colours.bin"), data)
    ]
    assert all((answer == answers[0]).all() for answer in answers)


def test_calling_a_model_takes_and_gives_arrays(model, model_files):
    made = model(np.zeros((1, 8, 8, 3), np.int8))
    assert (made.shape, made.dtype) == ((1, 3), np.int8)
    two = edgert.load(model_files / "two_heads.bin")
    total, magnitude = two(np.array([[1, 2, 3, 4]], np.int8), np.full((1, 4), 5, np.int8))
    assert (total == [[0, 1, 2, 2]]).all()  # halves round to even
    np.testing.assert_allclose(magnitude, [[0, 0.2, 0.4, 0.4]], rtol=1e-6)


def test_run_buffers_and_call_agree(model):
    x = np.random.default_rng(0).integers(-128, 128, (1, 8, 8, 3), np.int8)
    assert bytes(model.run_buffers([x.tobytes()])[0]) == model(x).tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_do_not_change_the_answer(model_files, threads):
    x = np.random.default_rng(0).integers(-128, 128, (1, 6, 6, 8), np.int8)
    expected = edgert.load(model_files / "residual.bin", tier="reference")(x)
    np.testing.assert_array_equal(edgert.load(model_files / "residual.bin", threads=threads)(x), expected)


@pytest.mark.parametrize("colour", tiny.COLOURS)
def test_classify_names_the_picture(model, colour_pictures, colour):
    path = colour_pictures / f"{colour}.png"
    with Image.open(path) as picture:
        for image in (path, str(path), path.read_bytes(), picture, np.asarray(picture)):
            best, *rest = model.classify(image)
            assert (best.label, best.index) == (colour, tiny.COLOURS.index(colour))
            assert best.score > 0.99
            assert len(rest) == 2


def test_a_class_reads_as_a_tuple_and_by_name(model, colour_pictures):
    [best] = model.classify(colour_pictures / "red.png", top=1)
    label, score, index = best
    assert (label, score, index) == (best.label, best.score, best.index) == ("red", 0.99609375, 0)
    assert repr(best) == "Class(label='red', score=0.9961, index=0)"


def test_top_limits_and_none_gives_all(model, colour_pictures):
    assert len(model.classify(colour_pictures / "red.png", top=2)) == 2
    assert len(model.classify(colour_pictures / "red.png", top=None)) == 3
    with pytest.raises(InputError, match="top is 0"):
        model.classify(colour_pictures / "red.png", top=0)


def test_equal_scores_keep_the_order_of_the_classes(model):
    assert [answer.index for answer in model.rank(bytes([5, 9, 9]))] == [1, 2, 0]


def test_classes_without_a_label_are_numbered():
    graph = tiny.colour_classifier()
    unlabelled = edgert.load(writer.to_bytes(graph.replace(metadata=graph.metadata.replace(labels=()))))
    assert unlabelled.classify(np.zeros((8, 8, 3), np.uint8))[0].label.startswith("class ")


def test_channel_order_reaches_the_model():
    swapped = edgert.load(writer.to_bytes(tiny.colour_classifier(channels="BGR")))
    assert swapped.classify(Image.new("RGB", (8, 8), (255, 0, 0)))[0].label == "blue"


def test_what_does_not_classify_says_so(model_files):
    two = edgert.load(model_files / "two_heads.bin")
    with pytest.raises(InputError, match=r"outputs are \(1, 4\), \(1, 4\), not one row of scores"):
        two.classify("any.png")
    graph = tiny.colour_classifier()
    detector = edgert.load(writer.to_bytes(graph.replace(metadata=graph.metadata.replace(task="detect"))))
    with pytest.raises(InputError, match="task is 'detect'"):
        detector.classify("any.png")


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((8, 8, 3), np.int8),
        np.zeros((1, 8, 8, 3), np.float32),
        np.zeros((1, 8, 8, 4), np.int8),
        np.zeros(192, np.int8),
        "cat.jpg",
        None,
    ],
)
def test_arrays_that_do_not_fit_are_input_errors(model, x):
    with pytest.raises(InputError, match="image"):
        model(x)


@pytest.mark.parametrize("buffers", [[], [bytes(191)], [bytes(192), b""], [b""], ["text"], [None]])
def test_buffers_that_do_not_fit_are_input_errors(model, buffers):
    with pytest.raises(InputError):
        model.run_buffers(buffers)


def test_a_missing_or_broken_model_is_a_model_format_error(tmp_path):
    (tmp_path / "empty.bin").write_bytes(b"")
    for source in (tmp_path / "absent.bin", tmp_path / "empty.bin", tmp_path, b"not a model"):
        with pytest.raises(ModelFormatError):
            edgert.load(source)
