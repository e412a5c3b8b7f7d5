"""The data sets of the recipes, read from `$EDGERT_DATA` (unset: data/ in the repository)."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def data_root():
    """The folder with cifar10/ and detection/; it may be missing."""
    return Path(os.environ.get("EDGERT_DATA") or Path(__file__).resolve().parents[2] / "data")


def cifar10_test():
    """The CIFAR-10 test set: images (10000, 32, 32, 3) uint8, labels (10000,) int64."""
    folder = data_root() / "cifar10"
    return _mosaic(folder / "test.webp"), np.load(folder / "labels.npz")["test_labels"].astype(np.int64)


def cifar10_train():
    """The CIFAR-10 training set: images (50000, 32, 32, 3) uint8, labels (50000,) int64."""
    folder = data_root() / "cifar10"
    images = np.concatenate([_mosaic(folder / f"train_{i}.webp") for i in range(1, 6)])
    return images, np.load(folder / "labels.npz")["train_labels"].astype(np.int64)


def _mosaic(path):
    """A lossless picture of 100 x 100 tiles of 32 x 32 pixels, row by row -> (10000, 32, 32, 3) uint8."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return pixels.reshape(100, 32, 100, 32, 3).transpose(0, 2, 1, 3, 4).reshape(10_000, 32, 32, 3)
