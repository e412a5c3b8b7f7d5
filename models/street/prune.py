"""Prunes the trained street detector, and trains the same small network from scratch beside it, for the same epochs.

In order:
    python models/street/train.py [--threads N]
    python models/street/prune.py [--threads N]
    python models/street/quantize.py
"""

import argparse
import copy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))  # at the end: an installed edgert comes first

from edgert.convert import prune as pruning  # noqa: E402
from models.common.compress import figures  # noqa: E402
from models.street import pictures  # noqa: E402
from models.street.distill import Distiller  # noqa: E402
from models.street.loss import detection_loss  # noqa: E402
from models.street.measure import Validation  # noqa: E402
from models.street.model import SIZE, STRIDES, Detector  # noqa: E402
from models.street.train import Recipe, Run, weights_of  # noqa: E402

SCORED_BATCHES, SCORED_PICTURES = 12, 16  # for the importance of channels
TARGET = "410 KB"  # of weights; with its golden vectors the file has 600 KB
RECIPE = replace(
    Recipe(), epochs=14, lr=0.02, adam_lr=0.001, warmup=40, ema_decay=0.995, sizes=((0.4, 192), (1.0, SIZE)), mimic=0.0,
    seed=1,
)  # fmt: skip
EXAMPLE = (torch.zeros(1, 3, SIZE, SIZE),)


def losses(module, train):
    """The loss on some batches of training pictures, for the importance of channels."""
    module.eval()
    for seed in range(SCORED_BATCHES):
        rng = np.random.default_rng(seed)
        chosen = rng.choice(len(train), SCORED_PICTURES, replace=False)
        x, boxes, labels = pictures.batch(train, chosen, SIZE, rng)
        yield detection_loss(module(pictures.recoloured(x, rng)), STRIDES, boxes, labels)


def network(state):
    """A Detector of the widths and with the contents of a state dict."""
    module = Detector()
    pruning.reshape(module, state)
    module.load_state_dict(state)
    return module.eval()


def _cut(teacher, args, train):
    """The trained network without its least important channels; chosen once, so that a stopped run can go on."""
    path, module = args.build / "cut.pt", copy.deepcopy(teacher)
    if not path.exists():
        pruning.prune(module, EXAMPLE, args.target, losses=lambda: losses(module, train), parts=1)
        torch.save(module.state_dict(), path)
    return network(torch.load(path, map_location="cpu", weights_only=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=HERE / "build", help="folder of the checkpoints")
    parser.add_argument("--target", default=TARGET, help=f"'0.5 ms' here, '60 MMAC' or '410 KB' (default: {TARGET})")
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    parser.add_argument("--scratch", action="store_true", help="also train the same widths from scratch")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(RECIPE.seed)
    train, validation = pictures.load("train"), Validation(pictures.load("val"))
    teacher, recipe = network(weights_of(args.build / "checkpoint.pt")), replace(RECIPE, epochs=args.epochs)
    distiller = Distiller(copy.deepcopy(teacher), STRIDES)

    def finetuned(module, name):
        run = Run(module, recipe, args.build / f"{name}.pt", loss=distiller)
        run.resume()
        run.train(train, validation)
        return run.averaged()

    start = _cut(teacher, args, train)
    rows = [("as trained", teacher), (f"pruned to {args.target}", finetuned(start, "pruned"))]
    if args.scratch:
        fresh = Detector()
        pruning.reshape(fresh, start.state_dict())
        for head in fresh.heads:
            head.start()
        rows.append(("the same widths from scratch, distilled too", finetuned(fresh, "scratch")))
    print("| network | parameters | MMAC | ms here | mAP@0.5 |\n|---|---|---|---|---|")
    for name, module in rows:
        print(f"| {name} | {figures(module, EXAMPLE)} | {100 * validation(module)[0]:.2f} % |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
