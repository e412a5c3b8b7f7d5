"""Trains the street detector. Stopped with Ctrl-C, it goes on from its last epoch when run again.

In order:
    python models/street/train.py [--threads N]
    python models/street/prune.py
"""

import argparse
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))  # at the end: an installed edgert comes first

from models.common import checkpoint  # noqa: E402
from models.common.muon import Muon  # noqa: E402
from models.common.training import show_progress  # noqa: E402
from models.street import pictures  # noqa: E402
from models.street.loss import detection_loss  # noqa: E402
from models.street.measure import Validation  # noqa: E402
from models.street.model import SIZE, STRIDES, Detector  # noqa: E402
from models.street.teacher import Mimic, Teacher  # noqa: E402


@dataclass(frozen=True)
class Recipe:
    """sizes: (share of the epochs after which a size ends, side of the training pictures)."""

    epochs: int = 50
    batch: int = 32
    lr: float = 0.03  # of Muon, for the inner convolutions
    adam_lr: float = 0.002  # for everything else
    warmup: int = 200  # steps
    ema_decay: float = 0.998
    mimic: float = 4.0  # weight of YOLOX-Nano's maps
    mimic_until: float = 0.6  # share of the epochs; falls to 0 linearly
    single: float = 0.9  # share of the epochs after which pictures stand alone
    sizes: tuple = ((0.5, 160), (0.8, 192), (1.0, SIZE))
    seed: int = 0
    evaluate_every: int = 5


def weights_of(path):
    """The averaged weights in a checkpoint, as a state dict of the network."""
    state = torch.load(path, map_location="cpu", weights_only=True)["ema"]
    return {name.removeprefix("module."): part for name, part in state.items() if name.startswith("module.")}


class Run:
    """A training run that can stop after any epoch and go on from its checkpoint."""

    def __init__(self, model, recipe, path, mimic=None, loss=None):
        """mimic: a Mimic for the model's levels, or None. loss(outputs, x, boxes, labels): another loss."""
        self.model = model.to(memory_format=torch.channels_last)
        self.recipe, self.checkpoint, self.mimic = recipe, Path(path), mimic
        self.loss = loss or (lambda outputs, x, boxes, labels: detection_loss(outputs, STRIDES, boxes, labels))
        self.teacher = Teacher() if mimic else None
        ends = [p for head in model.heads for conv in (head.box, head.scores) for p in conv.parameters()]
        inner = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
        inner = [w for w in inner[1:] if not any(w is end for end in ends)]
        others = [p for p in model.parameters() if not any(p is w for w in inner)]
        others += list(mimic.parameters()) if mimic else []
        self.muon = Muon(inner, recipe.lr, 0.9, normalise=True)
        self.adam = torch.optim.AdamW(others, recipe.adam_lr, weight_decay=0.0)
        self.ema = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay), use_buffers=True)
        self.epoch, self.seconds, self.history = 0, 0.0, []

    def _parts(self):
        parts = {"model": self.model, "ema": self.ema, "muon": self.muon, "adam": self.adam}
        return parts | ({"mimic": self.mimic} if self.mimic else {})

    def _figures(self):
        return {"epoch": self.epoch, "seconds": self.seconds, "history": self.history}

    def resume(self):
        """Goes on from the checkpoint, if there is one."""
        vars(self).update(checkpoint.resume(self.checkpoint, self._parts(), self._figures(), after="epoch"))

    def averaged(self):
        """The network with the averaged weights: what is measured and shipped."""
        return self.ema.module.eval()

    def save(self):
        checkpoint.save(self.checkpoint, self._parts(), self._figures())

    def train(self, train, validation):
        """All epochs that are left. train: list of Picture; validation: a `measure.Validation`."""
        while self.epoch < self.recipe.epochs:
            started = time.time()
            loss = self._one_epoch(train)
            self.epoch += 1
            self.seconds += time.time() - started
            line = f"epoch {self.epoch:3d}/{self.recipe.epochs}  loss {loss:.4f}  {self.seconds:6.0f} s"
            if self.epoch % self.recipe.evaluate_every == 0 or self.epoch == self.recipe.epochs:
                score, each = validation(self.ema.module, bf16=True)
                self.history.append((self.epoch, score))
                line += f"  mAP {score:.4f}  " + " ".join(f"{value:.2f}" for value in each.values())
            print(line, flush=True)
            self.save()

    def _one_epoch(self, train):
        recipe = self.recipe
        rng = np.random.default_rng(recipe.seed * 10_000 + self.epoch)
        done = self.epoch / recipe.epochs
        size = next(size for end, size in recipe.sizes if done < end)
        order = rng.permutation(len(train))
        steps = len(order) // recipe.batch
        total = 0.0
        self.model.train()
        for i in range(steps):
            self._set_rates(self.epoch * steps + i, recipe.epochs * steps)
            chosen = order[i * recipe.batch : (i + 1) * recipe.batch]
            x, boxes, labels = pictures.batch(train, chosen, size, rng, done < recipe.single)
            total += self._step(pictures.recoloured(x, rng), boxes, labels, done)
            show_progress(f"epoch {self.epoch + 1}/{recipe.epochs}", i + 1, steps)
        return total / steps

    def _set_rates(self, step, steps):
        factor = min(1.0, (step + 1) / self.recipe.warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))
        self.muon.param_groups[0]["lr"] = self.recipe.lr * factor
        self.adam.param_groups[0]["lr"] = self.recipe.adam_lr * factor

    def _step(self, x, boxes, labels, done):
        weight = self.recipe.mimic * max(0.0, 1.0 - done / self.recipe.mimic_until) if self.mimic else 0.0
        with torch.autocast("cpu", torch.bfloat16):
            levels = self.model.levels(x)
            outputs = self.model.answers(levels)
        loss = self.loss(outputs, x, boxes, labels)
        if weight:
            loss = loss + weight * self.mimic(levels, self.teacher(x))
        self.muon.zero_grad()
        self.adam.zero_grad()
        loss.backward()
        self.muon.step()
        self.adam.step()
        self.ema.update_parameters(self.model)
        return float(loss.detach())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=HERE / "build", help="folder of the checkpoint")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--no-mimic", action="store_true", help="learn from the labels alone")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(Recipe.seed)
    model = Detector()
    mimic = None if args.no_mimic else Mimic((64, 96, 128))
    recipe = Recipe(epochs=args.epochs)
    print(asdict(recipe), file=sys.stderr)
    run = Run(model, recipe, args.build / "checkpoint.pt", mimic)
    run.resume()
    run.train(pictures.load("train"), Validation(pictures.load("val")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
