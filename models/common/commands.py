"""The two commands that every recipe has: train.py and quantize.py in its folder are thin calls of these."""

import argparse
import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from . import training
from .layers import layers_of

NORM_IMAGES = 4096  # training images over which the averaged weights' batch norms are measured


def train(text, network, load, recipe, folder):
    """`python models/<name>/train.py`; returns the exit code.

    network(): a new torch module. load(): train images, labels, test images, labels as arrays.
    """
    parser = _parser(text, folder)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--fp32", action="store_true", help="no bf16: for a CPU without such instructions")
    args = parser.parse_args()
    torch.manual_seed(recipe.seed)
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = replace(recipe, bf16=recipe.bf16 and not args.fp32)
    run = training.Run(network().to(args.device), recipe, args.checkpoint)
    run.resume()
    try:
        run.train(training.Data(*(torch.from_numpy(array).to(args.device) for array in load())))
    except KeyboardInterrupt:
        print(f"stopped; run again to go on after epoch {run.epoch}", file=sys.stderr)
        return 1
    print(f"{run.epoch} epochs in {run.seconds:.0f} s: {args.checkpoint}")
    return 0


def quantize(text, network, load, recipe, folder, metadata, golden):
    """`python models/<name>/quantize.py`: checkpoint -> int8 file beside the script, and what it lost; exit code.

    metadata: of the file, to which golden vectors and provenance are added. golden: picture files whose answers are
    stored in it; drawn ones, so that no photograph gets into a shipped file.
    """
    from edgert.format import writer

    from .quantize import quantize as make_graph
    from .ship import accuracy, with_golden

    parser = _parser(text, folder)
    parser.add_argument("--calibration", type=int, default=512, help="how many training images (default 512)")
    parser.add_argument("--percentile", type=float, default=100.0, help="share of the values inside the range")
    parser.add_argument("--output", type=Path, default=folder / f"{folder.name}_int8.bin")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if not args.checkpoint.exists():
        print(f"{args.checkpoint} does not exist: run train.py first", file=sys.stderr)
        return 1
    run = training.Run(network(), recipe, args.checkpoint)
    run.resume()
    x_train, _, x_test, y_test = load()
    trained = run.averaged()
    training.refresh_norms(trained, _sample(x_train, NORM_IMAGES, recipe.seed))
    calibration = training.normalise(_sample(x_train, args.calibration, recipe.seed))
    metadata = metadata.replace(provenance=_provenance(args, recipe, folder))
    graph = make_graph(folder.name, layers_of(trained), calibration, args.percentile, metadata)
    graph = with_golden(graph, golden)
    writer.write(graph, args.output)
    exact = training.accuracy(trained, torch.from_numpy(x_test), torch.from_numpy(y_test))
    print(f"float  {100 * exact:.2f} %  ({len(x_test)} images, epoch {run.epoch}, {run.seconds:.0f} s of training)")
    print(f"int8   {100 * accuracy(args.output, x_test, y_test):.2f} %  {args.output.stat().st_size} bytes", flush=True)
    return 0


def _parser(text, folder):
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--checkpoint", type=Path, default=folder / "build" / "checkpoint.pt")
    return parser


def _sample(images, count, seed):
    """`count` of the images, drawn at random, as a tensor."""
    chosen = np.random.default_rng(seed).choice(len(images), min(count, len(images)), replace=False)
    return torch.from_numpy(images[np.sort(chosen)])


def _provenance(args, recipe, folder):
    return {
        "recipe": f"models/{folder.name}/train.py",
        "seed": str(recipe.seed),
        "epochs": str(recipe.epochs),
        "checkpoint_sha256": hashlib.sha256(args.checkpoint.read_bytes()).hexdigest(),
        "quantised_by": f"models/{folder.name}/quantize.py",
        "calibration": f"{args.calibration} training images, percentile {args.percentile:g}",
        "torch": torch.__version__,
    }
