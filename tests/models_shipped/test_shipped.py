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
    "vehicles/vehicles_int8.bin": 120_000,
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
TRAFFIC = {"bus.png": "bus", "car.jpg": "car", "motorbike.jpg": "motorbike", "truck.jpg": "truck"}
DRAWN = [
    (file, picture, label)
    for file in MAX_BYTES
    for picture, label in (TRAFFIC if file.startswith("vehicles") else THINGS).items()
]


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


@pytest.mark.parametrize(("file", "picture", "label"), DRAWN)
def test_shipped_model_names_what_was_drawn(file, picture, label):
    best = edgert.load(MODELS / file).classify(MODELS / "pictures" / picture)[0]
    assert best.label == label
    assert best.score > 0.5


def test_pictures_are_small():
    assert sum(file.stat().st_size for file in (MODELS / "pictures").iterdir() if file.is_file()) < 300_000


@pytest.mark.parametrize("file", [file for file in MAX_BYTES if file.startswith("cifar10")])
def test_cifar10_accuracy_is_what_the_card_says(file):
    data = runpy.run_path(str(MODELS / "common" / "data.py"))
    if not (data["data_root"]() / "cifar10").is_dir():
        pytest.skip("no cifar10 folder in $EDGERT_DATA")
    images, labels = (array[:1000] for array in data["cifar10_test"]())
    model = edgert.load(MODELS / file)
    words = (images.astype(np.int16) - 128).astype(np.int8)
    hits = sum(model(word[None]).argmax() == label for word, label in zip(words, labels))
    row = next(line for line in card(file).splitlines() if f"`{Path(file).name}`" in line)
    stated = float(re.findall(r"([\d.]+) %", row)[-1]) / 100
    # 1,000 of the 10,000 images: one standard deviation is 0.9 points.
    assert abs(hits / 1000 - stated) < 0.03
