"""Turns the pruned street detector into models/street/street_int8.bin and measures it on all validation pictures.

It comes after train.py and prune.py of this folder:
    python models/street/quantize.py
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))  # at the end: an installed edgert comes first

from edgert import convert  # noqa: E402
from edgert.convert.quantize import quantize  # noqa: E402
from edgert.format import writer  # noqa: E402
from models.common import ship  # noqa: E402
from models.street import pictures  # noqa: E402
from models.street.measure import METADATA, Validation, shipped  # noqa: E402
from models.street.model import CLASSES, SIZE  # noqa: E402
from models.street.prune import network  # noqa: E402
from models.street.train import weights_of  # noqa: E402

CALIBRATION = 64  # training pictures


def float_graph(module):
    """The network as a float graph with its head, labels and preprocessing."""
    head, rule = METADATA.head, METADATA.preprocess
    return convert.from_torch(
        module, (torch.zeros(1, 3, SIZE, SIZE),), "street", head="yolo", labels=CLASSES, mean=rule.mean, std=rule.std,
        channels=rule.channels, resize=rule.resize, score=head.score_threshold, iou=head.iou_threshold,
    )  # fmt: skip


def calibration():
    """Training pictures as the float graph takes them, (1, H, W, 3)."""
    train = pictures.load("train")
    chosen = np.sort(np.random.default_rng(0).choice(len(train), CALIBRATION, replace=False))
    words = Validation([train[i] for i in chosen]).words
    return [(word[None].astype(np.float32) / 64.0,) for word in words.numpy()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=HERE / "build", help="folder of the checkpoints")
    parser.add_argument("--output", type=Path, default=HERE / "street_int8.bin", help="the file to write")
    args = parser.parse_args()
    module = network(weights_of(args.build / "pruned.pt"))
    validation = pictures.load("val")
    before, _ = Validation(validation)(module)
    graph, record = quantize(float_graph(module), calibration())
    graph = ship.with_golden(graph, [HERE.parent / "pictures" / "truck.jpg"])
    writer.write(graph, args.output)
    after, each = shipped(args.output, validation)
    print("\n".join(record.lines()))
    print(f"mAP@0.5: float {100 * before:.2f} %, int8 {100 * after:.2f} %")
    print("  ".join(f"{label} {100 * each[i]:.1f} %" for i, label in enumerate(CLASSES)))
    print(f"{args.output}: {args.output.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
