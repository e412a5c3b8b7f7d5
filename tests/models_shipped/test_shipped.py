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
MAX_BYTES = {
    "cifar10/cifar10_int8.bin": 250_000,
    "cifar10/cifar10_1mb_int8.bin": 1_000_000,
    "cifar10_plain/cifar10_plain_int8.bin": 100_000,
    "street/street_int8.bin": 600_000,
}
THINGS = {
    "airplane.jpg": "airplane",
    "bird.jpg": "bird",
    "car.jpg": "automobile",
    "frog.jpg": "frog",
    "horse.jpg": "horse",
    "ship.png": "ship",
    "truck.jpg": "truck",
}
SEEN = {"bus.png": "bus", "car.jpg": "car", "truck.jpg": "truck"}  # by the street detector
CLASSIFIERS = [file for file in MAX_BYTES if file.startswith("cifar10")]
STREET = MODELS / "street" / "street_int8.bin"


def card(file):
    return (MODELS / file).with_name("card.md").read_text()


@pytest.mark.parametrize("file", MAX_BYTES)
def test_shipped_model_is_small_and_its_card_says_how_small(file):
    size = (MODELS / file).stat().st_size
    assert size <= MAX_BYTES[file]
    assert f"{size:,} bytes" in card(file)


@pytest.mark.parametrize("file", MAX_BYTES)
def test_shipped_model_is_intact(file):
    reader.verify(MODELS / file)


@pytest.mark.parametrize("tier", tiers.available())
@pytest.mark.parametrize("file", MAX_BYTES)
def test_shipped_model_reproduces_its_golden_vectors_in_every_tier(file, tier):
    model = edgert.load(MODELS / file, tier=tier)
    assert model.metadata.golden
    for inputs, outputs in model.metadata.golden:
        assert [bytes(y) for y in model.run_buffers(list(inputs))] == [bytes(y) for y in outputs]


@pytest.mark.parametrize("picture", THINGS)
@pytest.mark.parametrize("file", CLASSIFIERS)
def test_shipped_model_names_what_was_drawn(file, picture):
    best = edgert.load(MODELS / file).classify(MODELS / "pictures" / picture)[0]
    assert best.label == THINGS[picture]
    assert best.score > 0.5


@pytest.mark.parametrize("picture", SEEN)
def test_street_detector_finds_what_was_drawn(picture):
    best = edgert.load(STREET).detect(MODELS / "pictures" / picture)[0]
    assert best.label == SEEN[picture]
    left, top, right, bottom = best.box
    assert (right - left) * (bottom - top) > 0.3 * 192**2  # the vehicle fills most of its picture


def test_street_mean_average_precision_is_what_the_card_says():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    data = runpy.run_path(str(MODELS / "common" / "data.py"))
    if not (data["data_root"]() / "detection" / "street5.zip").is_file():
        pytest.skip("no detection/street5.zip in $EDGERT_DATA")
    from models.street import measure, pictures

    found, _ = measure.shipped(STREET, pictures.load("val"))
    stated = float(re.search(r"mAP@0.5, INT8 \| ([\d.]+) %", card("street/street_int8.bin"))[1]) / 100
    assert abs(found - stated) < 0.002  # another release of Pillow may resize a little differently


def test_pictures_are_small():
    assert sum(file.stat().st_size for file in (MODELS / "pictures").iterdir() if file.is_file()) < 300_000


@pytest.mark.parametrize("file", CLASSIFIERS)
def test_cifar10_accuracy_is_what_the_card_says(file):
    data = runpy.run_path(str(MODELS / "common" / "data.py"))
    if not (data["data_root"]() / "cifar10").is_dir():
        pytest.skip("no cifar10 folder in $EDGERT_DATA")
    images, labels = (array[:1000] for array in data["cifar10_test"]())
    model = edgert.load(MODELS / file)
    words = (images.astype(np.int16) - 128).astype(np.int8)
    hits = sum(model(word[None]).argmax() == label for word, label in zip(words, labels))
    size = f"{(MODELS / file).stat().st_size:,} bytes"
    row = next(line for line in card(file).splitlines() if f"`{Path(file).name}` | {size}" in line)
    stated = float(re.findall(r"([\d.]+) %", row)[-1]) / 100
    # 1,000 of the 10,000 images: one standard deviation is 0.9 points.
    assert abs(hits / 1000 - stated) < 0.03
