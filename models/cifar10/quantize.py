"""Turns a trained network into its int8 file beside this script (SHIPPED) and measures it on the test pictures.

    python models/cifar10/quantize.py 250kb
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))  # at the end: an installed edgert comes first

from edgert.convert import from_torch  # noqa: E402
from edgert.convert.quantize import quantize  # noqa: E402
from edgert.format import writer  # noqa: E402
from edgert.graph import Preprocess  # noqa: E402
from models.cifar10.arguments import parser_of  # noqa: E402
from models.cifar10.model import Network  # noqa: E402
from models.common import data, training  # noqa: E402
from models.common.ship import accuracy, with_golden, with_softmax  # noqa: E402

CALIBRATION = 512  # training images
SHIPPED = {"250kb": "cifar10_int8.bin", "1mb": "cifar10_1mb_int8.bin"}


def main():
    parser = parser_of(__doc__)
    parser.add_argument("size", choices=SHIPPED)
    args = parser.parse_args()
    checkpoint, output = args.build / f"{args.size}.pt", HERE / SHIPPED[args.size]
    if not checkpoint.exists():
        print(f"{checkpoint} does not exist: run train.py {args.size} first", file=sys.stderr)
        return 1
    network = Network(args.size)
    network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["model"])
    network.eval()
    x_train, _, x_test, y_test = *data.cifar10_train(), *data.cifar10_test()
    exact = training.accuracy(network, torch.from_numpy(x_test), torch.from_numpy(y_test))
    graph = with_softmax(converted(network, x_train))
    graph = graph.replace(metadata=graph.metadata.replace(provenance=provenance(checkpoint, args.size)))
    writer.write(with_golden(graph, [HERE.parent / "pictures" / "ship.png"]), output)
    print(f"float  {100 * exact:.2f} %  ({len(x_test)} images)")
    print(f"int8   {100 * accuracy(output, x_test, y_test):.2f} %  {output.stat().st_size} bytes")
    return 0


def provenance(checkpoint, size):
    return {
        "recipe": f"models/cifar10/train.py {size}",
        "seed": "0",
        "checkpoint_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "quantised_by": "models/cifar10/quantize.py",
        "calibration": f"{CALIBRATION} training images",
        "torch": torch.__version__,
    }


def converted(network, x_train):
    """The int8 graph of a trained network; x_train (N, 32, 32, 3) uint8 to calibrate with."""
    graph = from_torch(network.fold(), (torch.zeros(1, 3, 32, 32),), name="cifar10")
    described = graph.metadata.replace(
        task="classify", labels=data.CIFAR10_CLASSES, preprocess=Preprocess("RGB", "crop", (128.0,) * 3, (64.0,) * 3)
    )
    chosen = np.random.default_rng(0).choice(len(x_train), min(CALIBRATION, len(x_train)), replace=False)
    pictures = (x_train[np.sort(chosen)].astype(np.float32) - 128.0) / 64.0
    return quantize(graph.replace(metadata=described), [picture[None] for picture in pictures], limit=None)[0]


if __name__ == "__main__":
    sys.exit(main())
