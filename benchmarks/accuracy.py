"""Accuracy of the known models on their whole test sets, with the fastest tier of this machine (or EDGERT_TIER).

    python benchmarks/accuracy.py [--data DIR] [--only NAME] [--json FILE]

Prints a Markdown table. Data folder: --data or EDGERT_DATA; what it lacks is left out of the table and named.
"""

import argparse
import csv
import io
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

import edgert
from edgert import convert
from edgert.format import writer

TINY, CORAL = "models/mlperf_tiny/", "models/coral/"
PICTURES = {
    "cat.png": "Egyptian cat",
    "bird.png": "chickadee",
    "grace_hopper.png": "military uniform",
    "parrot.jpg": "macaw",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("EDGERT_DATA"), help="the data folder")
    parser.add_argument("--only", help="only measures whose name contains this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    args = parser.parse_args()
    if args.data is None:
        parser.error("give --data, or set EDGERT_DATA")
    rows = []
    for name, (measure, *arguments) in MEASURES.items():
        if args.only and args.only not in name:
            continue
        try:
            rows.append({"measure": name, **measure(args.data, *arguments)})
        except FileNotFoundError as error:
            print(f"{name}: left out, {error.filename} is absent", file=sys.stderr)
    print("| measure | edgert | known | inputs | tier |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['measure']} | {row['result']} | {row['known']} | {row['inputs']:,} | {row['tier']} |")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


def load(data, name, **options):
    """The model, converted from the data folder and loaded; and the tiers that run it."""
    model = edgert.load(writer.to_bytes(convert.tflite(data / f"{name}.tflite", **options)))
    tiers = {tier for _, tier, *_ in model.session.plan.steps if tier != "none"}
    return model, ", ".join(sorted(tiers))


def percent(correct, total):
    return f"{100 * correct / total:.2f} %"


def cifar10(data, name, known):
    """Share of the 10,000 test images whose class is named."""
    model, tier = load(data, TINY + name)
    Image.MAX_IMAGE_PIXELS = None
    mosaic = np.asarray(Image.open(data / "cifar10/test.webp").convert("RGB"))
    images = mosaic.reshape(100, 32, 100, 32, 3).transpose(0, 2, 1, 3, 4).reshape(10_000, 32, 32, 3)
    labels = np.load(data / "cifar10/labels.npz")["test_labels"]
    words = (images ^ 0x80).view(np.int8)
    found = [np.frombuffer(model.run_buffers([word.tobytes()])[0], np.int8).argmax() for word in words]
    return {
        "result": percent((np.array(found) == labels).sum(), len(labels)),
        "known": known,
        "inputs": len(labels),
        "tier": tier,
    }


def keywords(data, known):
    """Share of the 1,000 official MLPerf Tiny inputs whose keyword is named."""
    model, tier = load(data, TINY + "kws_int8")
    with zipfile.ZipFile(data / "audio/kws01_int8_features.zip") as archive:
        rows = list(csv.reader(io.StringIO(archive.read("y_labels.csv").decode())))
        found = [np.frombuffer(model.run_buffers([archive.read(name)])[0], np.int8).argmax() for name, *_ in rows]
    correct = sum(index == int(row[2]) for index, row in zip(found, rows, strict=True))
    return {"result": percent(correct, len(rows)), "known": known, "inputs": len(rows), "tier": tier}


def pictures(data, name):
    """How many of four photographs are named as LiteRT names them."""
    model, tier = load(data, CORAL + name, labels=data / "labels/imagenet_labels.txt")
    found = [model.classify(str(data / "images" / picture))[0].label for picture in PICTURES]
    correct = sum(label == expected for label, expected in zip(found, PICTURES.values(), strict=True))
    return {"result": f"{correct} of 4", "known": "4 of 4", "inputs": 4, "tier": tier}


def keypoints(data):
    """Distance of MoveNet's 34 keypoint coordinates on squat.png from the published ones."""
    name = CORAL + "movenet_single_pose_lightning_ptq"
    model, tier = load(data, name)
    with (data / f"{name}_reference.csv").open() as file:
        expected = np.array([[float(row["keypoint_y"]), float(row["keypoint_x"])] for row in csv.DictReader(file)])
    picture = Image.open(data / "images/squat.png").convert("RGB").resize((192, 192), Image.Resampling.LANCZOS)
    found = model((np.asarray(picture)[None] ^ 0x80).view(np.int8))[0, 0, :, :2]
    error = np.abs(found - expected)
    result = f"mean {error.mean():.4f}, largest {error.max():.4f}, {(error <= 0.02).sum()} of {error.size} within 0.02"
    return {"result": result, "known": "LiteRT: 0.0088, 0.0216, 32", "inputs": 1, "tier": tier}


MEASURES = {
    "ResNet-8 int8, CIFAR-10": (cifar10, "resnet8_cifar10_int8", "86.97 %"),
    "larger ResNet int8, CIFAR-10": (cifar10, "resnet_large_cifar10_int8", "91.31 %"),
    "DS-CNN int8, keywords": (keywords, "90.2 %"),
    "MobileNetV2 uint8, photographs": (pictures, "mobilenet_v2_1.0_224_quant"),
    "MobileNetV2 int8, photographs": (pictures, "tf2_mobilenet_v2_1.0_224_ptq"),
    "MoveNet, keypoints on squat.png": (keypoints,),
}


if __name__ == "__main__":
    main()
