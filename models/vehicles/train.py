"""Trains the street classifier. Stopped with Ctrl-C, it goes on from its last epoch when run again.

In order:
    python models/vehicles/train.py [--device cuda] [--threads N]
    python models/vehicles/quantize.py
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))  # at the end: an installed edgert comes first

from models.common import commands, training  # noqa: E402
from models.vehicles.crops import load  # noqa: E402
from models.vehicles.model import MobileNet  # noqa: E402

RECIPE = training.Recipe(
    epochs=12, batch=64, lr=0.15, weight_decay=5e-4, label_smoothing=0.1, bf16=False, evaluate_every=4
)

if __name__ == "__main__":
    sys.exit(commands.train(__doc__, MobileNet, load, RECIPE, HERE))
