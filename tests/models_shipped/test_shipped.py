"""The models in models/ are what their cards say, on this machine's kernels."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import edgert
from edgert.format import reader
from edgert.kernels import tiers

MODELS = Path(__file__).resolve().parents[2] / "models"
MAX_BYTES = {"cifar10": 100_000, "street": 600_000}
DRAWN = {
    "cifar10": {
        "airplane.jpg": "airplane",
        "bird.jpg": "bird",
        "car.jpg": "automobile",
        "frog.jpg": "frog",
        "horse.jpg": "horse",
        "ship.png": "ship",
        "truck.jpg": "truck",
    },
}
SEEN = {"bus.png": "bus", "car.jpg": "car", "truck.jpg": "truck"}  # by the street detector
NAMES = sorted(MAX_BYTES)


def shipped(name):
    return MODELS / name / f"{name}_int8.bin"


def card(name):
    return (MODELS / name / "card.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_shipped_model_is_small_and_its_card_says_how_small(name):
    size = shipped(name).stat().st_size
    assert size <= MAX_BYTES[name]
    assert f"{size:,} bytes" in card(name)


@pytest.mark.parametrize("name", NAMES)
def test_shipped_model_is_intact(name):
    reader.verify(shipped(name))


@pytest.mark.parametrize("tier", tiers.available())
@pytest.mark.parametrize("name", NAMES)
def test_shipped_model_reproduces_its_golden_vectors_in_every_tier(name, tier):
    model = edgert.load(shipped(name), tier=tier)
    assert model.metadata.golden
    for inputs, outputs in model.metadata.golden:
        assert [bytes(y) for y in model.run_buffers(list(inputs))] == [bytes(y) for y in outputs]


@pytest.mark.parametrize(("name", "picture", "label"), [(n, p, DRAWN[n][p]) for n in DRAWN for p in DRAWN[n]])
def test_shipped_model_names_what_was_drawn(name, picture, label):
    best = edgert.load(shipped(name)).classify(MODELS / "pictures" / picture)[0]
    assert best.label == label
    assert best.score > 0.5


@pytest.mark.parametrize("picture", SEEN)
def test_street_detector_finds_what_was_drawn(picture):
    best = edgert.load(shipped("street")).detect(MODELS / "pictures" / picture)[0]
    assert best.label == SEEN[picture]
    left, top, right, bottom = best.box
    assert (right - left) * (bottom - top) > 0.3 * 192**2  # the vehicle fills most of its picture


def test_street_mean_average_precision_is_what_the_card_says():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    data = runpy.run_path(str(MODELS / "common" / "data.py"))
    if not (data["data_root"]() / "detection" / "street5.zip").is_file():
        pytest.skip("no detection/street5.zip in $EDGERT_DATA")
    from models.street import measure, pictures

    found, _ = measure.shipped(shipped("street"), pictures.load("val"))
    stated = float(re.search(r"mAP@0.5, INT8 \| ([\d.]+) %", card("street"))[1]) / 100
    assert abs(found - stated) < 0.002  # another release of Pillow may resize a little differently


def test_pictures_are_small():
    assert sum(file.stat().st_size for file in (MODELS / "pictures").iterdir() if file.is_file()) < 300_000


def test_cifar10_accuracy_is_what_the_card_says():
    data = runpy.run_path(str(MODELS / "common" / "data.py"))
    if not (data["data_root"]() / "cifar10").is_dir():
        pytest.skip("no cifar10 folder in $EDGERT_DATA")
    images, labels = (array[:1000] for array in data["cifar10_test"]())
    model = edgert.load(shipped("cifar10"))
    words = (images.astype(np.int16) - 128).astype(np.int8)
    hits = sum(model(word[None]).argmax() == label for word, label in zip(words, labels))
    stated = float(re.search(r"INT8 accuracy \| ([\d.]+) %", card("cifar10"))[1]) / 100
    # 1,000 of the 10,000 images: one standard deviation is 0.9 points.
    assert abs(hits / 1000 - stated) < 0.03
