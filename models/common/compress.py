"""The two commands that make a trained network smaller: prune.py and qat.py in its folder are thin calls of these.

Both go on from where they were stopped: every epoch ends with a checkpoint in --build.
"""

import argparse
import copy
import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from edgert.convert import prune as pruning
from edgert.convert import qat

from . import training
from .restore import restored

SCORED_BATCHES = 16  # for the importance of channels, of 128 images each
CALIBRATION = 256  # images
NORM_IMAGES = 512
TEMPERATURE, WEIGHT = 4.0, 0.9  # of distillation


def prune(text, network, load, recipe, folder):
    """`python models/<name>/prune.py`: prunes to --target, and trains the same widths from scratch beside it."""
    parser = _parser(text, folder)
    parser.add_argument("--target", default="50 %", help="'0.5 ms' here, '3 MMAC', '100 KB' or '50 %%' of the MACs")
    parser.add_argument("--parts", type=int, default=3, help="cuts, each with a third of the epochs (default 3)")
    parser.add_argument("--score", default="taylor", choices=("taylor", "gain", "norm"))
    args = parser.parse_args()
    job = _Job(args, network, load, recipe)
    try:
        rows = job.prune()
    except KeyboardInterrupt:
        return _stopped()
    print("| network | parameters | MMAC | ms here | float accuracy |\n|---|---|---|---|---|")
    for name, module, accuracy in rows:
        print(f"| {name} | {figures(module, job.example)} | {100 * accuracy:.2f} % |")
    return 0


def finetune(text, network, load, recipe, folder, metadata):
    """`python models/<name>/qat.py`: trains through int8 arithmetic, writes the int8 file, says what it gained."""
    parser = _parser(text, folder)
    parser.add_argument("--output", type=Path, help="the file to write (default: BUILD/qat_int8.bin)")
    unequal = "first multiply channels by 1/F to F, and undo it behind them, to see what PTQ loses by it"
    parser.add_argument("--unequal", type=float, default=1.0, metavar="F", help=unequal)
    args = parser.parse_args()
    job = _Job(args, network, load, recipe)
    make_unequal(job.trained, args.unequal, recipe.seed)
    try:
        rows, graph = job.finetune(metadata)
    except KeyboardInterrupt:
        return _stopped()
    from edgert.format import writer

    from .ship import accuracy

    output = args.output or args.build / "qat_int8.bin"
    writer.write(graph, output)
    rows.append(("in the shipped kernels", accuracy(output, *job.arrays[2:])))
    for name, value in rows:
        print(f"{name:30} {100 * value:.2f} %")
    print(f"{output}: {output.stat().st_size:,} bytes")
    return 0


def _parser(text, folder):
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=folder / "build" / "checkpoint.pt", help="of train.py")
    parser.add_argument("--shipped", type=Path, default=folder / f"{folder.name}_int8.bin",
                        help="whose weights are taken where there is no checkpoint")  # fmt: skip
    parser.add_argument("--build", type=Path, default=folder / "build", help="folder for checkpoints")
    parser.add_argument("--epochs", type=int, help="in all (default: of the script)")
    parser.add_argument("--images", type=int, help="use the first so many only, for a quick look")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    return parser


def _stopped():
    print("stopped; run again to go on after the last finished epoch", file=sys.stderr)
    return 1


def figures(module, example):
    """Parameters, millions of multiply-adds and the time of one answer here, as cells of a table."""
    found = pruning.channels.Channels(module, example)
    macs = pruning.Costs(found).macs(np.ones(len(found.removable), bool))
    return f"{pruning.costs.parameters(module):,} | {macs / 1e6:.2f} | {pruning.costs.latency_ms(module, example):.3f}"


class _Job:
    """A trained network, the data, and the runs that make it smaller."""

    def __init__(self, args, network, load, recipe):
        if args.threads:
            torch.set_num_threads(args.threads)
        torch.manual_seed(recipe.seed)
        self.args, self.network = args, network
        self.recipe = replace(recipe, epochs=args.epochs or recipe.epochs)
        self.arrays = [array[: args.images] for array in load()]
        self.data = training.Data(*map(torch.from_numpy, self.arrays))
        self.example = (torch.zeros_like(training.normalise(self.data.x_train[:1])),)
        if args.checkpoint.exists():
            run = training.Run(network(), recipe, args.checkpoint)
            run.resume()
            self.trained = run.averaged()
        elif not args.shipped.exists():
            sys.exit(f"neither {args.checkpoint} nor {args.shipped} exists: run train.py first")
        else:
            print(f"no {args.checkpoint}: goes on from the weights of {args.shipped}", file=sys.stderr)
            self.trained = restored(network(), args.shipped, self._samples(NORM_IMAGES)[0])
        self.distilled = pruning.Distiller(copy.deepcopy(self.trained), TEMPERATURE, WEIGHT, recipe.label_smoothing)

    def accuracy(self, module):
        return training.accuracy(module, self.data.x_test, self.data.y_test)

    def _run(self, module, name, epochs, **changes):
        """Trains `module` against the teacher for `epochs`; gives the network of averaged weights."""
        steps = epochs * (len(self.data.x_train) // self.recipe.batch)
        decay = max(0.0, min(self.recipe.ema_decay, 1.0 - 10.0 / max(steps, 1)))  # the last tenth of a short run
        recipe = replace(self.recipe, epochs=epochs, evaluate_every=max(epochs, 1), ema_decay=decay, **changes)
        run = training.Run(module, recipe, self.args.build / f"{name}.pt", self.distilled)
        if isinstance(module, qat.QatNetwork):  # Adam: channels of any size learn at the same pace
            run.optimizer = torch.optim.Adam(module.trained(), recipe.lr)
        run.resume()
        run.train(self.data)
        return run.averaged()

    def _samples(self, count, seed=0):
        chosen = np.sort(np.random.default_rng(seed).choice(len(self.data.x_train), count, replace=False))
        return training.normalise(self.data.x_train[chosen]), self.data.y_train[chosen]

    def prune(self):
        """[(what, module, accuracy)]: the trained network, the pruned one, its widths trained from scratch."""
        args, module = self.args, copy.deepcopy(self.trained)

        def losses():
            module.eval()
            for seed in range(SCORED_BATCHES):
                x, y = self._samples(128, seed)
                yield F.cross_entropy(module(x), y)

        def trained_on(network, part, parts):
            name = f"pruned_{part}_of_{parts}"
            saved = args.build / f"{name}.pt"
            if saved.exists():  # a latency is never measured twice alike: what was cut is what counts
                pruning.reshape(network, torch.load(saved, map_location="cpu", weights_only=True)["model"])
            share = self.recipe.epochs * part // parts - self.recipe.epochs * (part - 1) // parts
            averaged = self._run(network, name, share, lr=self.recipe.lr / 4)
            network.load_state_dict(averaged.state_dict())

        pruning.prune(module, self.example, args.target, losses=losses, finetune=trained_on,
                      score=args.score, parts=args.parts)  # fmt: skip
        torch.manual_seed(self.recipe.seed)
        fresh = self.network()
        pruning.reshape(fresh, module.state_dict())
        fresh = self._run(fresh, "scratch", self.recipe.epochs)
        names = "as trained", f"pruned to {args.target}", "the same widths from scratch, distilled too"
        return [(n, m, self.accuracy(m)) for n, m in zip(names, (self.trained, module, fresh))]

    def finetune(self, metadata):
        """([(what, accuracy)], the int8 Graph with a softmax behind it)."""
        module = copy.deepcopy(self.trained)
        calibration, _ = self._samples(CALIBRATION)
        network = qat.prepare(module, (calibration[:1],), calibration, mean=128.0, std=64.0)
        network.bf16 = self.recipe.bf16
        rows = [("float", self.accuracy(self.trained)), ("int8 after calibration (PTQ)", self.accuracy(network))]
        network = self._run(network, "qat", self.recipe.epochs, bf16=False)
        rows.append(("int8 after training (QAT)", self.accuracy(network)))
        graph, _ = network.to_graph()
        metadata = metadata.replace(provenance=_provenance(self.args, self.recipe))
        from .ship import with_softmax

        return rows, with_softmax(graph).replace(metadata=metadata)


@torch.no_grad()
def make_unequal(network, factor, seed):
    """Multiplies the channels between the two convolutions of each block by random factors in 1/factor..factor.

    The second convolution undoes it, so in float nothing changes; but one int8 scale for all channels no longer fits.
    """
    generator = torch.Generator().manual_seed(seed)
    for block in network.modules():
        if hasattr(block, "first") and hasattr(block, "second"):
            (conv, norm), (following, _) = block.first, block.second
            gains = factor ** (2.0 * torch.rand(conv.out_channels, generator=generator) - 1.0)
            norm.weight.mul_(gains)
            norm.bias.mul_(gains)
            following.weight.div_(gains[:, None, None])


def _provenance(args, recipe):
    source = args.checkpoint if args.checkpoint.exists() else args.shipped
    return {
        "quantised": f"in training (QAT), {recipe.epochs} epochs against the float network",
        "from_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "seed": str(recipe.seed),
        "torch": torch.__version__,
    }
