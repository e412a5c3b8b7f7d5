"""The training loop that every recipe here shares: one-cycle SGD, EMA of the weights, bf16, checkpoint and resume.

The whole data set is one uint8 tensor on the device; a batch is made by indexing it, so augmentation costs a gather.
What an epoch does depends only on the seed and its number: a run that was interrupted and resumed gives what an
uninterrupted one gives.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.common import checkpoint


@dataclass(frozen=True)
class Recipe:
    """The numbers of a run. lr is the peak, reached after `warmup` of the steps; from there it falls to 0 linearly."""

    epochs: int
    batch: int = 128
    lr: float = 0.25
    momentum: float = 0.9
    weight_decay: float = 3e-4  # of weights; norms and biases are not decayed
    label_smoothing: float = 0.05
    warmup: float = 0.2
    ema_decay: float = 0.999
    translate: int = 4  # pixels, each way, the border mirrored
    seed: int = 0
    bf16: bool = True  # measured per network: on a CPU it speeds up dense convolutions and slows down depthwise ones
    evaluate_every: int = 5


@dataclass(frozen=True)
class Data:
    """x_* (N, H, W, C) uint8, y_* (N,) int64, all on the training device; the test images are only ever measured."""

    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor


def normalise(x):
    """uint8 pixels (N, H, W, C) -> float (N, C, H, W) in channels_last order: (pixel - 128) / 64.

    With these numbers the int8 input word is `pixel - 128` exactly and the network's zero padding is the word 0: the
    first layer loses nothing to quantisation.
    """
    return ((x.permute(0, 3, 1, 2).float() - 128.0) / 64.0).contiguous(memory_format=torch.channels_last)


def augmented(x, index, translate, generator):
    """Images `index` of x (N, H + 2t, W + 2t, C), each cut at a random offset and mirrored with probability 1/2."""
    n, h, w = len(index), x.shape[1] - 2 * translate, x.shape[2] - 2 * translate
    dy, dx = torch.randint(0, 2 * translate + 1, (2, n), generator=generator).to(x.device)
    flip = (torch.rand(n, generator=generator) < 0.5).to(x.device)
    rows = dy[:, None] + torch.arange(h, device=x.device)
    cols = torch.arange(w, device=x.device).expand(n, w)
    cols = dx[:, None] + torch.where(flip[:, None], w - 1 - cols, cols)
    return x[index[:, None, None].to(x.device), rows[:, :, None], cols[:, None, :]]


def pad_mirrored(x, border):
    """x (N, H, W, C) uint8 with `border` mirrored pixels on each side."""

    def index(n):
        return torch.arange(-border, n + border, device=x.device).abs().sub(n - 1).abs().neg().add(n - 1)

    return x[:, index(x.shape[1])][:, :, index(x.shape[2])]


@torch.no_grad()
def accuracy(model, x, y, batch=500):
    """Fraction of images x (N, H, W, C) uint8 that the float network gives the label y."""
    model.eval()
    answers = torch.cat([model(normalise(part)).argmax(1) for part in x.split(batch)])
    return int((answers == y).sum()) / len(x)


@torch.no_grad()
def refresh_norms(model, x, batch=256):
    """Measures the batch norms' mean and variance anew over images x (N, H, W, C) uint8.

    The average of the weights of many steps is a network of its own, and the average of those steps' statistics is not
    its statistics: depthwise networks lose points by it.
    """
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    for part in x.split(batch):
        model(normalise(part))
    model.eval()


def learning_rate(recipe, step, steps):
    """One cycle: up from 0 to recipe.lr, then down to 0."""
    progress = step / steps
    if progress < recipe.warmup:
        return recipe.lr * progress / recipe.warmup
    return recipe.lr * (1.0 - progress) / (1.0 - recipe.warmup)


def make_optimizer(model, recipe):
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=True)


class Run:
    """A training run that can stop after any epoch and go on from its checkpoint."""

    def __init__(self, model, recipe, path, loss=None):
        """loss(scores, x, y): what is trained for, else cross entropy. x are normalised images."""
        self.loss = loss or self._cross_entropy
        self.model = model.to(memory_format=torch.channels_last)
        self.recipe = recipe
        self.checkpoint = Path(path)
        self.optimizer = make_optimizer(self.model, recipe)
        self.ema = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay), use_buffers=True)
        self.epoch = 0
        self.seconds = 0.0
        self.history = []  # (epoch, float accuracy of the EMA weights)

    def _parts(self):
        return {"model": self.model, "ema": self.ema, "optimizer": self.optimizer}

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

    def train(self, data):
        """All epochs that are left."""
        padded = pad_mirrored(data.x_train, self.recipe.translate)
        while self.epoch < self.recipe.epochs:
            started = time.time()
            loss = self._one_epoch(padded, data.y_train)
            self.epoch += 1
            self.seconds += time.time() - started
            self._report(loss, data)
            self.save()

    def _one_epoch(self, padded, labels):
        recipe = self.recipe
        generator = torch.Generator().manual_seed(recipe.seed * 10_000 + self.epoch)
        order = torch.randperm(len(padded), generator=generator)
        batches = len(order) // recipe.batch
        total = torch.zeros((), device=padded.device)
        self.model.train()
        for i in range(batches):
            rate = learning_rate(recipe, self.epoch * batches + i, recipe.epochs * batches)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            index = order[i * recipe.batch : (i + 1) * recipe.batch]
            x = normalise(augmented(padded, index, recipe.translate, generator))
            total += self._step(x, labels[index.to(labels.device)])
            show_progress(f"epoch {self.epoch + 1}/{recipe.epochs}", i + 1, batches)
        return float(total) / batches

    def _step(self, x, y):
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.recipe.bf16):
            scores = self.model(x)
        loss = self.loss(scores.float(), x, y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.ema.update_parameters(self.model)
        return loss.detach()

    def _cross_entropy(self, scores, x, y):
        return F.cross_entropy(scores, y, label_smoothing=self.recipe.label_smoothing)

    def _report(self, loss, data):
        line = f"epoch {self.epoch:3d}/{self.recipe.epochs}  loss {loss:.4f}  {self.seconds:6.0f} s"
        if self.epoch % self.recipe.evaluate_every == 0 or self.epoch == self.recipe.epochs:
            score = accuracy(self.ema.module, data.x_test, data.y_test)
            self.history.append((self.epoch, score))
            line += f"  test {100 * score:.2f} %"
        print(line, flush=True)


def show_progress(text, done, total):
    """A bar on stderr, when that is a terminal."""
    if sys.stderr.isatty():
        filled = 30 * done // total
        end = "\r" if done < total else "\r" + " " * 70 + "\r"
        print(f"{text} [{'#' * filled}{'.' * (30 - filled)}] {done}/{total}", end=end, file=sys.stderr, flush=True)
