"""Square 64 x 64 crops around the boxes of street5.zip, and of places where no box is.

A training box is cut several times with random margin, offset, brightness and contrast, a validation box once. Boxes
whose short side is below 16 pixels are left out: there is too little to see.
"""

import io
import json
import zipfile

import numpy as np
from PIL import Image

from models.common import data

CLASSES = ("bus", "car", "motorbike", "person", "truck", "background")
SIZE = 64
MIN_SIDE = 16
MARGIN = 1.2  # side of the square in lengths of the box's longer side


def load(copies=6):
    """Crops (N, 64, 64, 3) uint8 and labels (N,) int64: of the train split (each box `copies` times), of val (once)."""
    with zipfile.ZipFile(data.data_root() / "detection" / "street5.zip") as archive:
        return *_split(archive, "train", copies), *_split(archive, "val", 0)


def _split(archive, split, copies):
    """copies: random crops of each box; 0: the one plain crop."""
    rng = np.random.default_rng(0)
    crops, labels = [], []
    for pixels, boxes in _pictures(archive, split):
        for box, label in [*boxes, *_empty_places(pixels, boxes, rng)]:
            if min(box[2:]) >= MIN_SIDE:
                crops += [_crop(pixels, box, rng if copies else None) for _ in range(max(copies, 1))]
                labels += [label] * max(copies, 1)
    return np.stack(crops), np.array(labels, np.int64)


def _pictures(archive, split):
    """Each picture (H, W, 3) uint8 with its [((x, y, w, h), label), ...]."""
    annotations = json.loads(archive.read(f"instances_{split}.json"))
    boxes = {picture["id"]: [] for picture in annotations["images"]}
    for annotation in annotations["annotations"]:
        boxes[annotation["image_id"]].append((annotation["bbox"], annotation["category_id"]))
    for picture in annotations["images"]:
        with Image.open(io.BytesIO(archive.read(picture["file_name"]))) as opened:
            yield np.asarray(opened.convert("RGB")), boxes[picture["id"]]


def _empty_places(pixels, boxes, rng):
    """At most one square that touches no box: an example of the class `background`."""
    height, width = pixels.shape[:2]
    for _ in range(4):
        side = rng.uniform(32, max(33, 0.6 * min(height, width)))
        x, y = rng.uniform(0, max(1, width - side)), rng.uniform(0, max(1, height - side))
        if not any(x < bx + bw and bx < x + side and y < by + bh and by < y + side for (bx, by, bw, bh), _ in boxes):
            return [((x, y, side, side), CLASSES.index("background"))]
    return []


def _crop(pixels, box, rng):
    """The square around `box`, resized; with `rng` its place, size and light vary."""
    x, y, w, h = box
    side, center_x, center_y, gain, offset = MARGIN * max(w, h), x + w / 2, y + h / 2, 1.0, 0.0
    if rng is not None:
        side *= rng.uniform(0.75, 1.25)
        center_x += rng.uniform(-0.1, 0.1) * max(w, h)
        center_y += rng.uniform(-0.1, 0.1) * max(w, h)
        gain, offset = rng.uniform(0.7, 1.3), rng.uniform(-30, 30)
    rows = _span(center_y, side, pixels.shape[0])
    cols = _span(center_x, side, pixels.shape[1])
    small = Image.fromarray(pixels[rows][:, cols]).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.clip((np.asarray(small, np.float32) - 128.0) * gain + 128.0 + offset, 0, 255).astype(np.uint8)


def _span(center, side, limit):
    """Indices of the pixels from center - side / 2 to center + side / 2; beyond the picture its edge is repeated."""
    start = round(center - side / 2)
    return np.clip(np.arange(start, start + max(1, round(side))), 0, limit - 1)
