"""A study of edgert.convert.optimize: MLPerf Tiny's ResNet-8, from PyTorch in float to what ships, stage by stage.

    EDGERT_DATA=... python benchmarks/resnet8_study.py [--json FILE] [--report docs/resnet8_study.md]

The baseline is the network in PyTorch, with the float weights of MLPerf's TFLite file. Beside it, in the same turns:
the two TFLite files in LiteRT, and our int8 graph as ONNX in ONNX Runtime. benchmarks/README.md says what to install.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import study
import torch
import torch.nn.functional as F
from torch import nn

sys.path.append(str(Path(__file__).resolve().parents[1]))  # at the end: an installed edgert comes first

from edgert import convert
from edgert.convert import optimize
from models.common import data, training

SEED = 0
FINETUNE_IMAGES, BATCH, LEARNING_RATE = 20_000, 100, 2e-5  # Adam; norms are folded and pixels are 0..255, so small
TARGET = {"accuracy": 85.0, "latency_ms": 0.2, "memory_mb": 60, "size_mb": 0.1}
PROBLEM = (
    "Classify CIFAR-10 pictures with MLPerf Tiny's ResNet-8 on one thread. The pruned variants lose a tenth of the "
    f"multiply-adds and are trained again on {FINETUNE_IMAGES:,} pictures, once: a short training, and said here "
    "so that nobody takes the figure for all that pruning can do."
)


class ResNet8(nn.Module):
    """MLPerf Tiny's network on pictures of pixels 0..255, with the convolutions padded as TensorFlow pads them."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.first, self.second = nn.ModuleList(), nn.ModuleList()
        self.shortcut = nn.ModuleList([nn.Identity()])
        for c_in, width in ((16, 16), (16, 32), (32, 64)):
            stride = 1 if c_in == width else 2
            self.first.append(nn.Conv2d(c_in, width, 3, stride, padding=1 if stride == 1 else 0))
            self.second.append(nn.Conv2d(width, width, 3, padding=1))
            if stride == 2:
                self.shortcut.append(nn.Conv2d(c_in, width, 1, stride))
        self.head = nn.Linear(64, 10)

    def forward(self, x):  # x (N, 3, 32, 32)
        x = F.relu(self.stem(x))
        for first, second, shortcut in zip(self.first, self.second, self.shortcut, strict=True):
            padded = F.pad(x, (0, 1, 0, 1)) if first.stride[0] == 2 else x
            x = F.relu(second(F.relu(first(padded))) + shortcut(x))
        return self.head(x.mean((2, 3)))

    def layers(self):
        """In the order of the TFLite file."""
        yield self.stem
        for i in range(3):
            yield from (self.first[i], self.second[i])
            if i:
                yield self.shortcut[i]
        yield self.head


def resnet8(path):
    """The network with the weights of the float TFLite file."""
    graph, _ = convert.load(path)
    network = ResNet8()
    weighted = [node for node in graph.nodes if node.op in ("conv2d", "linear")]
    for layer, node in zip(network.layers(), weighted, strict=True):
        weight, bias = (_array(graph.tensors[i]) for i in node.inputs[1:3])
        if weight.ndim == 4:  # OHWI -> OIHW
            weight = weight.transpose(0, 3, 1, 2)
        layer.weight.data.copy_(torch.from_numpy(weight))
        layer.bias.data.copy_(torch.from_numpy(bias))
    return network.eval()


def _array(tensor):
    return np.frombuffer(tensor.data, np.float32).reshape(tensor.shape).copy()


def batches(x, y, seed):
    """Shuffled batches of pixels (N, 3, 32, 32) float32, half of them mirrored, and their labels."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    for number, index in enumerate(order.split(BATCH)):
        pixels = x[index].permute(0, 3, 1, 2).float()
        yield (pixels.flip(3) if number % 2 else pixels), y[index]


def tuning(x, y):
    """`losses` and `finetune` for pruning, on images x (N, 32, 32, 3) uint8 with labels y."""

    def losses(network):
        for _, (pixels, labels) in zip(range(4), batches(x, y, SEED), strict=False):
            yield F.cross_entropy(network(pixels), labels)

    def finetune(network, part, parts):
        network.train()
        steps = -(-len(x) // BATCH)
        optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
        for step, (pixels, labels) in enumerate(batches(x, y, SEED + part)):
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / steps)
            optimizer.zero_grad()
            F.cross_entropy(network(pixels), labels).backward()
            optimizer.step()
            training.show_progress(f"training part {part}/{parts}", step + 1, steps)
        network.eval()

    return losses, finetune


def peers(folder, tiny, graph):
    """MLPerf's own files in LiteRT, and our int8 graph in ONNX Runtime."""
    from peer_onnx import to_onnx

    onnx = folder / "resnet8.onnx"
    onnx.write_bytes(to_onnx(graph))
    quant = graph.tensors[graph.inputs[0]].quant
    return [
        optimize.Peer("LiteRT, float32 (MLPerf's file)", "LiteRT", str(tiny / "resnet8_cifar10_float.tflite")),
        optimize.Peer("LiteRT, int8 (MLPerf's file)", "LiteRT", str(tiny / "resnet8_cifar10_int8.tflite")),
        optimize.Peer("ONNX Runtime, int8", "ONNX Runtime", str(onnx), (quant.scale[0], quant.zero_point)),
    ]


def main():
    parser = study.parser(__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("EDGERT_DATA"), help="the data folder")
    parser.add_argument("--prune", default="90 %", help="what is left of the multiply-adds")
    args = parser.parse_args()
    if args.data is None:
        parser.error("give --data, or set EDGERT_DATA")
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    study.keep(run(Path(args.data), args), args)
    return 0


def run(root, args):
    """The study's record."""
    tiny = root / "models" / "mlperf_tiny"
    x_train, y_train, x_test, y_test = *data.cifar10_train(), *data.cifar10_test()
    calibration = [image[None].astype(np.float32) for image in x_train[:200]]
    few = torch.from_numpy(x_train[:FINETUNE_IMAGES]), torch.from_numpy(y_train[:FINETUNE_IMAGES])
    losses, finetune = tuning(*few)
    test = optimize.Data(x_test, y_test)
    begin, _ = optimize.start(resnet8(tiny / "resnet8_cifar10_float.tflite"), (torch.zeros(1, 3, 32, 32),), test)
    options = {"losses": losses, "finetune": finetune, "parts": 1, "measured": False}
    stages = {
        "pruning": lambda c: optimize.apply_pruning(c, args.prune, **options),
        "quantization": lambda c: optimize.apply_quantization(c, calibration, measured=False),
        "acceleration": lambda c: optimize.apply_acceleration(c, measured=False),
        "caching": lambda c: optimize.apply_caching(c, 16, measured=False),
    }
    with tempfile.TemporaryDirectory() as name:
        beside = peers(Path(name), tiny, stages["quantization"](begin)[0].graph)
        return optimize.study(
            begin, stages, TARGET, title="CIFAR-10 with ResNet-8, optimised in four stages", problem=PROBLEM,
            peers=beside, turns=args.turns, seed=SEED, progress=lambda line: print(line, file=sys.stderr, flush=True),
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
