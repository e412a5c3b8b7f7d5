"""Labelled pictures for detectors: a folder with COCO's `instances*.json` and the pictures that it names."""

import json
import os

from edgert.errors import InputError


def read(folder, labels):
    """[(path of a picture, its truth)] of all `instances*.json` in `folder`, by picture.

    labels: the model's; categories are matched by name, by number where no name fits. truth: as
    `metrics.mean_average_precision` takes it, (class index, (left, top, right, bottom) in pixels, is a crowd).
    Raises: InputError.
    """
    names = sorted(name for name in os.listdir(folder) if name.startswith("instances") and name.endswith(".json"))
    if not names:
        raise InputError(f"{folder}: no instances*.json in it: a detector is measured on boxes in COCO's format")
    found = {}
    for name in names:
        found.update(_read(folder, os.path.join(folder, name), labels))
    return sorted(found.items())


def _read(folder, path, labels):
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        pictures = {picture["id"]: os.path.join(folder, picture["file_name"]) for picture in content["images"]}
        index = _indices(content["categories"], labels, path)
        truth = {name: [] for name in pictures.values()}
        for box in content["annotations"]:
            left, top, width, height = map(float, box["bbox"])
            corners = left, top, left + width, top + height
            truth[pictures[box["image_id"]]].append((index[box["category_id"]], corners, bool(box.get("iscrowd", 0))))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not COCO's format ({type(error).__name__}: {error})") from None
    return truth


def _indices(categories, labels, path):
    """Category id -> class index."""
    places = {label.casefold(): i for i, label in enumerate(labels)}
    by_name = {c["id"]: places.get(str(c["name"]).casefold()) for c in categories}
    if None not in by_name.values():
        return by_name
    ids = sorted(by_name)
    if labels and any(value is not None for value in by_name.values()) and len(categories) != len(labels):
        missing = [str(c["name"]) for c in categories if by_name[c["id"]] is None]
        raise InputError(f"{path}: {', '.join(missing[:5])} are no classes of the model")
    return {number: place for place, number in enumerate(ids)}
