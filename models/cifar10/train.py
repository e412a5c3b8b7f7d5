"""Trains CIFAR-10 networks of two sizes. Stopped with Ctrl-C, a run goes on from its last epoch when started again.

In order (the larger network teaches the others):
    python models/cifar10/train.py 1mb [--device cuda] [--threads N]
    python models/cifar10/teach.py
    python models/cifar10/train.py 250kb
    python models/cifar10/quantize.py 250kb
"""

import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))  # at the end: an installed edgert comes first

from models.cifar10 import fast  # noqa: E402
from models.cifar10.arguments import parser_of  # noqa: E402
from models.cifar10.model import Network  # noqa: E402
from models.common import data  # noqa: E402

RECIPES = {
    "1mb": fast.Recipe(epochs=24, batch=1000, lr=0.16, momentum=0.7),
    "250kb": fast.Recipe(epochs=28, batch=500, lr=0.12, momentum=0.8, distil=0.8),
}


def main():
    parser = parser_of(__doc__)
    parser.add_argument("size", choices=RECIPES)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--fp32", action="store_true", help="no bf16: for a CPU without such instructions")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = RECIPES[args.size]
    answers = args.build / "answers.pt"
    if recipe.distil and not answers.exists():
        print(f"{answers} does not exist: run teach.py first", file=sys.stderr)
        return 1
    torch.manual_seed(recipe.seed)
    arrays = [torch.from_numpy(array) for array in (*data.cifar10_train(), *data.cifar10_test())]
    network = Network(args.size).begin(fast.normalise(arrays[0][:5000])).to(args.device)
    run = fast.Run(network, recipe, args.build / f"{args.size}.pt", bf16=not args.fp32)
    run.resume()
    taught = torch.load(answers, weights_only=True) if recipe.distil else None
    try:
        run.train(*(array.to(args.device) for array in arrays), taught)
    except KeyboardInterrupt:
        print(f"stopped; run again to go on after epoch {run.epoch}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
