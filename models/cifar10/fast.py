"""Training in a few epochs on a CPU: Muon, whitened stem, alternating mirror, distillation from stored answers.

What an epoch does depends only on the seed and its number: a run that was interrupted and resumed gives what an
uninterrupted one gives. Source of the recipe's shape: Jordan, 94% on CIFAR-10 in 3.29 seconds (2024).
"""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from models.common import checkpoint
from models.common.muon import Muon
from models.common.training import accuracy, normalise, pad_mirrored, refresh_norms, show_progress

MICRO = 125  # images at once: their activations stay near the caches, and batch norm sees as many
TRANSLATE = 3  # pixels, each way
VIEWS = 6  # different cuts of each picture: the teacher has answered for each once
NORM_IMAGES = 5000  # training images over which the norms are measured after the last step


@dataclass(frozen=True)
class Recipe:
    """lr: of Muon, falling linearly to 0. distil: weight of the teacher's answers against the labels."""

    epochs: int
    batch: int
    lr: float
    momentum: float
    adam_lr: float = 0.01  # of biases and the last layer, falling likewise
    label_smoothing: float = 0.1
    distil: float = 0.0
    temperature: float = 2.0
    seed: int = 0


def view(padded, index, number, mirrored):
    """Cut `number` of images `index` from padded (N, H + 2t, W + 2t, C); mirrored (n,) bool says which to mirror."""
    size = padded.shape[1] - 2 * TRANSLATE
    offsets = torch.randint(0, 2 * TRANSLATE + 1, (2, len(padded)), generator=torch.Generator().manual_seed(number))
    dy, dx = offsets[:, index]
    line = torch.arange(size)
    rows = dy[:, None] + line
    cols = dx[:, None] + torch.where(mirrored[:, None], size - 1 - line, line)
    places = index[:, None, None], rows[:, :, None], cols[:, None, :]
    return padded[tuple(place.to(padded.device) for place in places)]


def mirrored_in(epoch, count, seed):
    """Which of `count` images an epoch mirrors: a random half in one epoch, the other half in the next."""
    half = torch.rand(count, generator=torch.Generator().manual_seed(seed)) < 0.5
    return half ^ bool(epoch % 2)


@torch.no_grad()
def answers_of(teacher, x, progress=show_progress):
    """The teacher's scores for every view of images x (N, 32, 32, 3) uint8: (VIEWS, N, 10) float16.

    Each is the mean over the view and its mirror image: better answers, and one for both.
    """
    teacher.eval()
    padded = pad_mirrored(x, TRANSLATE)
    made = torch.empty(VIEWS, len(x), 10, dtype=torch.float16)
    for number in range(VIEWS):
        for index in torch.arange(len(x)).split(MICRO):
            flags = torch.zeros(len(index), dtype=torch.bool)
            pictures = torch.cat([normalise(view(padded, index, number, which)) for which in (flags, ~flags)])
            with torch.autocast(pictures.device.type, torch.bfloat16):
                scores = teacher(pictures).float()
            made[number, index] = scores.view(2, len(index), 10).mean(0).half().cpu()
            progress(f"view {number + 1}/{VIEWS}", int(index[-1]) + 1, len(x))
    return made


class Run:
    """A training run that can stop after any epoch and go on from its checkpoint."""

    def __init__(self, model, recipe, path, bf16=True):
        self.model = model.to(memory_format=torch.channels_last)
        self.recipe = recipe
        self.checkpoint = Path(path)
        self.bf16 = bf16
        inner = [m.weight for m in model.stages.modules() if isinstance(m, nn.Conv2d)]
        others = [p for p in model.parameters() if p.requires_grad and not any(p is w for w in inner)]
        self.muon = Muon(inner, recipe.lr, recipe.momentum, normalise=True)
        self.adam = torch.optim.Adam(others, recipe.adam_lr, betas=(0.9, 0.95))
        self.epoch = 0
        self.seconds = 0.0
        self.history = []  # (epoch, training loss, seconds, float accuracy on the test images)

    def _parts(self):
        return {"model": self.model, "muon": self.muon, "adam": self.adam}

    def _figures(self):
        return {"epoch": self.epoch, "seconds": self.seconds, "history": self.history}

    def resume(self):
        """Goes on from the checkpoint, if there is one."""
        vars(self).update(checkpoint.resume(self.checkpoint, self._parts(), self._figures(), after="epoch"))

    def save(self):
        checkpoint.save(self.checkpoint, self._parts(), self._figures())

    def train(self, x_train, y_train, x_test, y_test, answers=None, until=None):
        """All epochs that are left, or those up to `until`.

        answers (VIEWS, N, 10): the teacher's scores, where the recipe distils.
        """
        padded = pad_mirrored(x_train, TRANSLATE)
        while self.epoch < (until or self.recipe.epochs):
            started = time.time()
            loss = self._one_epoch(padded, y_train, answers)
            self.epoch += 1
            self.seconds += time.time() - started
            if self.epoch == self.recipe.epochs:
                refresh_norms(self.model, x_train[:NORM_IMAGES], MICRO)
            score = accuracy(self.model, x_test, y_test)
            self.history.append((self.epoch, loss, self.seconds, score))
            self.save()
            line = f"epoch {self.epoch:3d}/{self.recipe.epochs}  loss {loss:.4f}  {self.seconds:6.0f} s"
            print(f"{line}  test {100 * score:.2f} %", flush=True)

    def _one_epoch(self, padded, labels, answers):
        recipe = self.recipe
        order = torch.randperm(len(padded), generator=torch.Generator().manual_seed(recipe.seed * 10_000 + self.epoch))
        mirrored = mirrored_in(self.epoch, len(padded), recipe.seed)[order]
        batches = len(order) // recipe.batch
        total = 0.0
        self.model.train()
        for i in range(batches):
            left = 1.0 - (self.epoch * batches + i) / (recipe.epochs * batches)
            self.muon.param_groups[0]["lr"] = recipe.lr * left
            self.adam.param_groups[0]["lr"] = recipe.adam_lr * left
            for start in range(i * recipe.batch, (i + 1) * recipe.batch, MICRO):
                part = slice(start, start + MICRO)
                index = order[part]
                number = self.epoch % VIEWS
                x = normalise(view(padded, index, number, mirrored[part]))
                taught = answers[number, index].float().to(x.device) if answers is not None else None
                total += self._gradients(x, labels[index.to(labels.device)], taught)
            self._step()
            show_progress(f"epoch {self.epoch + 1}/{recipe.epochs}", i + 1, batches)
        return total * MICRO / (batches * recipe.batch)

    def _gradients(self, x, y, taught):
        recipe = self.recipe
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            scores = self.model(x).float()
        loss = F.cross_entropy(scores, y, label_smoothing=recipe.label_smoothing)
        if taught is not None:
            soft = F.softmax(taught / recipe.temperature, 1)
            apart = F.kl_div(F.log_softmax(scores / recipe.temperature, 1), soft, reduction="batchmean")
            loss = (1 - recipe.distil) * loss + recipe.distil * recipe.temperature**2 * apart
        (loss * (MICRO / recipe.batch)).backward()
        return float(loss.detach())

    def _step(self):
        for optimizer in (self.muon, self.adam):
            optimizer.step()
            optimizer.zero_grad()
