"""Turns the trained network into cifar10_plain_int8.bin beside this script and measures it on all test images.

In order:
    python models/cifar10_plain/train.py [--device cuda] [--threads N]
    python models/cifar10_plain/quantize.py
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))  # at the end: an installed edgert comes first

from edgert.graph import Metadata, Preprocess  # noqa: E402
from models.cifar10_plain.model import ResNet  # noqa: E402
from models.cifar10_plain.train import RECIPE, load  # noqa: E402
from models.common import commands, data  # noqa: E402

METADATA = Metadata(
    task="classify",
    labels=data.CIFAR10_CLASSES,
    preprocess=Preprocess("RGB", "crop", (128.0,) * 3, (64.0,) * 3),
)

if __name__ == "__main__":
    golden = [HERE.parent / "pictures" / "ship.png"]
    sys.exit(commands.quantize(__doc__, ResNet, load, RECIPE, HERE, METADATA, golden))
