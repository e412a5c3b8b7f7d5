"""Trains the Shakespeare character model. Stopped with Ctrl-C, it goes on from its last checkpoint when run again.

In order:
    python models/shakespeare/train.py [--threads N] [--text FILE]
    edgert convert models/shakespeare/build/hf -o models/shakespeare/shakespeare_int8.bin
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))  # at the end: an installed edgert comes first

from models.common import checkpoint  # noqa: E402
from models.common.muon import Muon  # noqa: E402
from models.common.training import show_progress  # noqa: E402
from models.shakespeare.model import Llama  # noqa: E402


@dataclass(frozen=True)
class Recipe:
    """Constant learning rates up to `decay_from`, then linearly to 0. Sequences are short up to `short_until`."""

    steps: int = 1300
    decay_from: int = 760
    short_until: int = 950  # sequences of 128 tokens: attention costs half, and long ranges are learnt late
    batch_tokens: int = 4096
    lr: float = 0.03
    momentum: float = 0.95
    weight_decay: float = 0.1
    adam_lr: float = 0.004  # of embedding, norms and the last layer
    warmup: int = 50
    save_every: int = 100
    evaluate_every: int = 600
    seed: int = 0


def load(path):
    """The text as token numbers: training part, last tenth, and the sorted characters that the numbers stand for."""
    text = Path(path).read_text(encoding="utf-8")
    characters = sorted(set(text))
    numbers = {character: i for i, character in enumerate(characters)}
    tokens = torch.tensor([numbers[character] for character in text])
    cut = int(0.9 * len(tokens))
    return tokens[:cut], tokens[cut:], characters


@torch.no_grad()
def whole_loss(model, tokens, stride=128, batch=32):
    """Mean nats per character over all of `tokens` but the first, each from at least context - stride before it."""
    model.eval()
    context, total = model.config.context, 0.0
    starts = range(0, len(tokens) - 1, stride)
    for first in range(0, len(starts), batch):
        for start in starts[first : first + batch]:
            begin = max(0, start + stride - context)
            part = tokens[begin : min(start + stride, len(tokens) - 1) + 1]
            scores = model(part[None, :-1])[0]
            fresh = len(part) - 1 - (start - begin)
            total += float(F.cross_entropy(scores[-fresh:].float(), part[-fresh:], reduction="sum"))
    model.train()
    return total / (len(tokens) - 1)


class Run:
    """A training run that can stop after any step and go on from its checkpoint."""

    def __init__(self, model, recipe, path, bf16=True):
        self.model, self.recipe, self.checkpoint, self.bf16 = model, recipe, path, bf16
        inner = [p for name, p in model.named_parameters() if p.ndim > 1 and ".layers." in name]
        others = [p for p in model.parameters() if not any(p is w for w in inner)]
        self.muon = Muon(inner, recipe.lr, recipe.momentum, recipe.weight_decay)
        self.adam = torch.optim.Adam(others, recipe.adam_lr, betas=(0.9, 0.95))
        self.step = 0
        self.seconds = 0.0
        self.history = []  # (step, mean training loss since the last, seconds, loss over the whole validation part)

    def _parts(self):
        return {"model": self.model, "muon": self.muon, "adam": self.adam}

    def _figures(self):
        return {"step": self.step, "seconds": self.seconds, "history": self.history}

    def resume(self):
        """Goes on from the checkpoint, if there is one."""
        vars(self).update(checkpoint.resume(self.checkpoint, self._parts(), self._figures(), after="step"))

    def save(self):
        checkpoint.save(self.checkpoint, self._parts(), self._figures())

    def train(self, tokens, held_out):
        """All steps that are left."""
        recipe, total, started = self.recipe, 0.0, time.time()
        while self.step < recipe.steps:
            total += self._one_step(tokens)
            self.step += 1
            show_progress("training", self.step, recipe.steps)
            last = self.step == recipe.steps
            if self.step % recipe.save_every == 0 or last:
                self.seconds += time.time() - started
                score = self._score(held_out) if last or self.step % recipe.evaluate_every == 0 else None
                self._report(total / recipe.save_every, score)
                self.save()
                total, started = 0.0, time.time()

    def _one_step(self, tokens):
        """One batch, drawn by the seed and the step's number alone."""
        recipe, config = self.recipe, self.model.config
        length = config.context // 2 if self.step < recipe.short_until else config.context
        rng = np.random.default_rng((recipe.seed, self.step))
        starts = torch.from_numpy(rng.integers(0, len(tokens) - length, recipe.batch_tokens // length))
        batch = tokens[starts[:, None] + torch.arange(length + 1)]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            scores = self.model(batch[:, :-1])
        loss = F.cross_entropy(scores.float().flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        left = (recipe.steps - self.step) / (recipe.steps - recipe.decay_from)
        factor = min(1.0, (self.step + 1) / recipe.warmup, left)
        for optimizer, rate in ((self.muon, recipe.lr), (self.adam, recipe.adam_lr)):
            optimizer.param_groups[0]["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad()
        return float(loss.detach())

    def _score(self, held_out):
        """Loss over all of the validation part; in float32 after the last step, which is the figure of the card."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16 and self.step < self.recipe.steps):
            return whole_loss(self.model, held_out)

    def _report(self, loss, score):
        self.history.append((self.step, loss, self.seconds, score))
        line = f"step {self.step:5d}/{self.recipe.steps}  loss {loss:.4f}  {self.seconds:6.0f} s"
        print(line if score is None else f"{line}  whole validation part {score:.4f} nats", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("EDGERT_DATA") or HERE.parents[1] / "data")
    parser.add_argument("--text", type=Path, default=data / "text" / "tinyshakespeare.txt")
    parser.add_argument("--checkpoint", type=Path, default=HERE / "build" / "checkpoint.pt")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--fp32", action="store_true", help="no bf16: for a CPU without such instructions")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = Recipe()
    torch.manual_seed(recipe.seed)
    train, held_out, _ = load(args.text)
    run = Run(Llama(), recipe, args.checkpoint, bf16=not args.fp32)
    run.resume()
    try:
        run.train(train, held_out)
    except KeyboardInterrupt:
        run.save()
        print(f"stopped; run again to go on after step {run.step}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
