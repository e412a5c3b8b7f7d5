"""A study of the CIFAR-10 networks of models/cifar10: the 1 MB network in PyTorch, in float, against what ships of it.

    EDGERT_DATA=... python benchmarks/cifar10_study.py [--build DIR] [--json FILE] [--report docs/cifar10_study.md]

Needs the checkpoints of models/cifar10/train.py. Stages: distillation (the 250 KB network that was taught by it takes
its place), quantisation, compiled kernels, kept answers. Beside it, in the same turns: both networks in ONNX Runtime.
"""

import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import study
import torch

sys.path.append(str(Path(__file__).resolve().parents[1]))  # at the end: an installed edgert comes first

from edgert.convert import from_torch, optimize
from models.cifar10.model import Network
from models.common import data

TEACHER, STUDENT = "1mb", "250kb"
BUILD = Path(__file__).resolve().parents[1] / "models" / "cifar10" / "build"
EXAMPLE = (torch.zeros(1, 3, 32, 32),)
TARGET = {"accuracy": 92.0, "latency_ms": 0.3, "memory_mb": 60, "size_mb": 0.25}
PROBLEM = (
    "Classify CIFAR-10 pictures on one thread. The baseline is the 1 MB network of models/cifar10 in float32 and "
    "PyTorch eager. Distillation puts the 250 KB network in its place, trained from scratch on the baseline's answers."
)


def trained(build, size):
    """The network of a checkpoint, its norms inside its convolutions."""
    network = Network(size)
    network.load_state_dict(torch.load(build / f"{size}.pt", map_location="cpu", weights_only=True)["model"])
    return network.eval().fold()


def real(images):
    """uint8 pixels (N, H, W, C) -> what the networks take."""
    return (images.astype(np.float32) - 128.0) / 64.0


def distillation(student):
    graph = from_torch(student, EXAMPLE)
    return lambda candidate: (candidate.with_stage("distillation", network=student, graph=graph), None)


def peers(folder, networks):
    """The float networks in ONNX Runtime."""
    rows = []
    for size, network in networks.items():
        path = folder / f"{size}.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(network, EXAMPLE, path, dynamo=False)
        rows.append(optimize.Peer(f"ONNX Runtime, float32, {size}", "ONNX Runtime", str(path)))
    return rows


def main():
    parser = study.parser(__doc__)
    parser.add_argument("--build", type=Path, default=BUILD, help="folder of the checkpoints")
    args = parser.parse_args()
    if not os.environ.get("EDGERT_DATA"):
        parser.error("set EDGERT_DATA to the data folder")
    torch.set_num_threads(1)
    study.keep(run(args), args)
    return 0


def run(args):
    """The study's record."""
    networks = {size: trained(args.build, size) for size in (TEACHER, STUDENT)}
    x_train, _, x_test, y_test = *data.cifar10_train(), *data.cifar10_test()
    calibration = [image[None] for image in real(x_train[:512])]
    begin, _ = optimize.start(networks[TEACHER], EXAMPLE, optimize.Data(real(x_test), y_test))
    stages = {
        "distillation": distillation(networks[STUDENT]),
        "quantization": lambda c: optimize.apply_quantization(c, calibration, limit=None, measured=False),
        "acceleration": lambda c: optimize.apply_acceleration(c, measured=False),
        "caching": lambda c: optimize.apply_caching(c, 16, measured=False),
    }
    with tempfile.TemporaryDirectory() as name:
        return optimize.study(
            begin, stages, TARGET, title="CIFAR-10: from PyTorch in float to what ships", problem=PROBLEM,
            peers=peers(Path(name), networks), turns=args.turns, seed=0,
            progress=lambda line: print(line, file=sys.stderr, flush=True),
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
