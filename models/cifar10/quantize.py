"""Turns the trained CIFAR-10 network into models/cifar10/cifar10_int8.bin and measures it on all test images.

In order:
    python models/cifar10/train.py [--device cuda] [--threads N]
    python models/cifar10/quantize.py
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))  # at the end: an installed edgert comes first

from edgert.graph import Metadata, Preprocess  # noqa: E402
from models.cifar10.model import ResNet  # noqa: E402
from models.cifar10.train import RECIPE, load  # noqa: E402
from models.common import commands, data  # noqa: E402

METADATA = Metadata(
    task="classify",
    labels=data.CIFAR10_CLASSES,
    preprocess=Preprocess("RGB", "crop", (128.0,) * 3, (64.0,) * 3),
)

if __name__ == "__main__":
    golden = [HERE.parent / "pictures" / "ship.png"]
    sys.exit(commands.quantize(__doc__, ResNet, load, RECIPE, HERE, METADATA, golden))
