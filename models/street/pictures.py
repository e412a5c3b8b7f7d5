"""The pictures of street5.zip with their boxes, and how training sees them: joined, scaled, mirrored, recoloured."""

import io
import json
import zipfile
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from models.common import data

GREY = 114  # what surrounds a picture that does not fill its place; edgert's letterbox has the same
LAYOUTS = ((1, 1), (1, 2), (2, 1), (2, 2))  # rows and columns of pictures in one
CHANCES = (0.4, 0.15, 0.15, 0.3)
LEAST_SEEN, LEAST_SIDE = 0.3, 4  # of a box, else it is dropped: share of its area, pixels


@dataclass(frozen=True)
class Picture:
    """pixels (H, W, 3) uint8. boxes (M, 4) float32: left, top, right, bottom. labels (M,) int64."""

    pixels: torch.Tensor
    boxes: np.ndarray
    labels: np.ndarray


def load(split):
    """The pictures of a split, "train" or "val", as list of Picture."""
    with zipfile.ZipFile(data.data_root() / "detection" / "street5.zip") as archive:
        content = json.loads(archive.read(f"instances_{split}.json"))
        found = {picture["id"]: [] for picture in content["images"]}
        for a in content["annotations"]:
            left, top, width, height = a["bbox"]
            found[a["image_id"]].append((left, top, left + width, top + height, a["category_id"]))
        pictures = []
        for picture in content["images"]:
            with Image.open(io.BytesIO(archive.read(picture["file_name"]))) as opened:
                pixels = torch.from_numpy(np.array(opened.convert("RGB")))
            rows = np.array(found[picture["id"]], np.float32).reshape(-1, 5)
            pictures.append(Picture(pixels, rows[:, :4], rows[:, 4].astype(np.int64)))
    return pictures


def batch(pictures, indices, size, rng, joined=True):
    """(x (N, size, size, 3) uint8, list of boxes (M, 4), list of labels (M,)): one training picture per index.

    joined: whether others from `pictures` may stand beside it.
    """
    x = torch.full((len(indices), size, size, 3), GREY, dtype=torch.uint8)
    boxes, labels = [], []
    for canvas, index in zip(x, indices):
        rows, columns = LAYOUTS[rng.choice(len(LAYOUTS), p=CHANCES)] if joined else (1, 1)
        chosen = [index, *rng.integers(len(pictures), size=rows * columns - 1)]
        middle = np.round(size * rng.uniform(0.35, 0.65, 2)).astype(int)
        edges_y = (0, size) if rows == 1 else (0, middle[0], size)
        edges_x = (0, size) if columns == 1 else (0, middle[1], size)
        parts = []
        for at, number in enumerate(chosen):
            row, column = divmod(at, columns)
            place = edges_x[column], edges_y[row], edges_x[column + 1], edges_y[row + 1]
            parts.append(_paste(canvas, pictures[number], place, rng, joined))
        boxes.append(torch.from_numpy(np.concatenate([part[0] for part in parts])))
        labels.append(torch.from_numpy(np.concatenate([part[1] for part in parts])))
    return x, boxes, labels


def _paste(canvas, picture, place, rng, wide):
    """Draws a picture, scaled at random and mirrored half the time, into `place`; gives the boxes that remain."""
    corner, room = np.array(place[:2]), np.array(place[2:]) - place[:2]  # x, y; width, height
    whole = np.array(picture.pixels.shape[1::-1])
    fit = max if wide and rng.random() < 0.7 else min  # fill the place and lose the edges, or leave a border
    scale = fit(room / whole) * np.exp(rng.uniform(-0.4, 0.45))
    stretch = np.exp(rng.uniform(-0.12, 0.12))
    scales = np.array([scale * stretch, scale / stretch])
    seen = np.clip(np.ceil(room / scales), 2, whole).astype(int)
    start = (rng.random(2) * (whole - seen + 1)).astype(int)
    target = np.clip(np.round(seen * scales), 1, room).astype(int)
    offset = corner + (rng.random(2) * (room - target + 1)).astype(int)
    crop = picture.pixels[start[1] : start[1] + seen[1], start[0] : start[0] + seen[0]].permute(2, 0, 1)[None]
    crop = F.interpolate(crop, (int(target[1]), int(target[0])), mode="bilinear", antialias=True)[0].permute(1, 2, 0)
    mirrored = rng.random() < 0.5
    if mirrored:
        crop = crop.flip(1)
    canvas[offset[1] : offset[1] + target[1], offset[0] : offset[0] + target[0]] = crop
    return _moved(picture, start, seen, target, offset, mirrored)


def _moved(picture, start, seen, target, offset, mirrored):
    gain = np.tile(target / seen, 2).astype(np.float32)
    whole = (picture.boxes - np.tile(start, 2).astype(np.float32)) * gain
    if mirrored:
        whole[:, [0, 2]] = target[0] - whole[:, [2, 0]]
    cut = np.clip(whole, 0, np.tile(target, 2).astype(np.float32))
    sides = cut[:, 2:] - cut[:, :2]
    kept = sides.prod(1) >= LEAST_SEEN * (whole[:, 2:] - whole[:, :2]).prod(1)
    kept &= sides.min(1) >= LEAST_SIDE
    return cut[kept] + np.tile(offset, 2).astype(np.float32), picture.labels[kept]


def recoloured(x, rng):
    """Pictures x (N, H, W, 3) uint8 with random light, contrast, saturation and tint: (N, 3, H, W) in [-2, 2].

    What a value means is `training.normalise`: (pixel - 128) / 64.
    """
    n = len(x)

    def per_picture(low, high, channels=1):
        return torch.from_numpy(rng.uniform(low, high, (n, channels, 1, 1)).astype(np.float32))

    x = (x.permute(0, 3, 1, 2).float() - 128.0) / 64.0
    grey = x.mean(1, keepdim=True)
    x = torch.lerp(grey, x, per_picture(0.4, 1.5))
    x = x * (per_picture(0.6, 1.4) * per_picture(0.9, 1.1, 3)) + per_picture(-0.5, 0.5)
    return x.clamp_(-2.0, 2.0).contiguous(memory_format=torch.channels_last)
