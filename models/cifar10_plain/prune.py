"""Prunes the trained CIFAR-10 network to a size, a MAC count or a time, beside what pruning has to beat: the same
widths trained from scratch for as many epochs. Both learn from the unpruned network. Ctrl-C is safe at any time.

    python models/cifar10_plain/prune.py --target "0.06 ms"
    python models/cifar10_plain/prune.py --target "40 %" --epochs 30
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))  # at the end: an installed edgert comes first

from models.cifar10_plain.model import ResNet  # noqa: E402
from models.cifar10_plain.train import load  # noqa: E402
from models.common import compress, training  # noqa: E402

RECIPE = training.Recipe(epochs=30, lr=0.2)

if __name__ == "__main__":
    sys.exit(compress.prune(__doc__, ResNet, load, RECIPE, HERE))
