"""Trains the CIFAR-10 network a little further through int8 arithmetic, and writes the int8 file. Ctrl-C is safe.

    python models/cifar10_plain/qat.py
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))  # at the end: an installed edgert comes first

from models.cifar10_plain.model import ResNet  # noqa: E402
from models.cifar10_plain.quantize import METADATA  # noqa: E402
from models.cifar10_plain.train import load  # noqa: E402
from models.common import compress, training  # noqa: E402

# Short, with small steps: the weights are good, only their rounding is to be learned.
RECIPE = training.Recipe(epochs=3, lr=1e-4, warmup=0.1, ema_decay=0.99)

if __name__ == "__main__":
    sys.exit(compress.finetune(__doc__, ResNet, load, RECIPE, HERE, METADATA))
