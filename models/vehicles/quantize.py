"""Turns the trained street classifier into models/vehicles/vehicles_int8.bin and measures it on the validation crops.

In order:
    python models/vehicles/train.py [--device cuda] [--threads N]
    python models/vehicles/quantize.py
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))  # at the end: an installed edgert comes first

from edgert.graph import Metadata, Preprocess  # noqa: E402
from models.common import commands  # noqa: E402
from models.vehicles.crops import CLASSES, load  # noqa: E402
from models.vehicles.model import MobileNet  # noqa: E402
from models.vehicles.train import RECIPE  # noqa: E402

METADATA = Metadata(
    task="classify",
    labels=CLASSES,
    preprocess=Preprocess("RGB", "crop", (128.0,) * 3, (64.0,) * 3),
)

if __name__ == "__main__":
    golden = [HERE.parent / "pictures" / "bus.png"]
    sys.exit(commands.quantize(__doc__, MobileNet, load, RECIPE, HERE, METADATA, golden))
