"""Trains the CIFAR-10 network. Stopped with Ctrl-C, it goes on from its last epoch when run again.

In order:
    python models/cifar10_plain/train.py [--device cuda] [--threads N]
    python models/cifar10_plain/quantize.py
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))  # at the end: an installed edgert comes first

from models.cifar10_plain.model import ResNet  # noqa: E402
from models.common import commands, data, training  # noqa: E402

RECIPE = training.Recipe(epochs=40)


def load():
    """Images (N, 32, 32, 3) uint8 and labels (N,) int64: of training, of test."""
    return *data.cifar10_train(), *data.cifar10_test()


if __name__ == "__main__":
    sys.exit(commands.train(__doc__, ResNet, load, RECIPE, HERE))
