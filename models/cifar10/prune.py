"""Prunes the 250 KB network to the weights of a 100 KB file, beside what pruning has to beat: the same widths trained
from scratch for as many epochs. Both learn from the 1 MB network's answers. Ctrl-C is safe at any time.

    python models/cifar10/prune.py [--target "88 KB"] [--epochs 8]
"""

import copy
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))  # at the end: an installed edgert comes first

from edgert.convert import prune as pruning  # noqa: E402
from models.cifar10 import fast  # noqa: E402
from models.cifar10.arguments import parser_of  # noqa: E402
from models.cifar10.model import Network  # noqa: E402
from models.common import compress, data  # noqa: E402
from models.common.training import accuracy, normalise  # noqa: E402

SIZE = "250kb"
EXAMPLE = (torch.zeros(1, 3, 32, 32),)
SCORED = 16, 125  # batches over which the importance of channels is measured, images in each
FINETUNE_LR, SCRATCH_LR = 0.06, 0.12


def main():
    parser = parser_of(__doc__)
    parser.add_argument("--target", default="88 KB", help="'0.5 ms' here, '3 MMAC', '100 KB' or '50 %%' of the MACs")
    parser.add_argument("--epochs", type=int, default=8, help="in all, of each of the two (default 8)")
    parser.add_argument("--parts", type=int, default=2, help="cuts, each with its share of the epochs (default 2)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    checkpoint, answers = args.build / f"{SIZE}.pt", args.build / "answers.pt"
    for file, script in ((answers, "teach.py"), (checkpoint, f"train.py {SIZE}")):
        if not file.exists():
            print(f"{file} does not exist: run {script} first", file=sys.stderr)
            return 1
    arrays = [torch.from_numpy(array) for array in (*data.cifar10_train(), *data.cifar10_test())]
    try:
        rows = both(args, checkpoint, arrays, torch.load(answers, weights_only=True))
    except KeyboardInterrupt:
        print("stopped; run again to go on after the last finished epoch", file=sys.stderr)
        return 1
    print("| network | parameters | MMAC | ms here | float accuracy |\n|---|---|---|---|---|")
    for name, module in rows:
        print(f"| {name} | {compress.figures(module, EXAMPLE)} | {100 * accuracy(module, *arrays[2:]):.2f} % |")
    return 0


def both(args, checkpoint, arrays, answers):
    """[(what, network)]: as trained, pruned, its widths from scratch. arrays: images, labels of training, of test."""
    trained = Network(SIZE).to(memory_format=torch.channels_last)
    trained.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["model"])
    x, y = arrays[:2]

    def losses(network):
        network.eval()
        for part in torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).split(SCORED[1])[: SCORED[0]]:
            yield F.cross_entropy(network(normalise(x[part])), y[part])

    def run(network, name, epochs, lr, seed=0):
        recipe = fast.Recipe(epochs=epochs, batch=500, lr=lr, momentum=0.8, distil=0.8, seed=seed)
        job = fast.Run(network, recipe, args.build / f"{name}.pt")
        job.resume()
        job.train(*arrays, answers)

    def finetune(network, part, parts):
        name = f"pruned_{part}_of_{parts}"
        saved = args.build / f"{name}.pt"
        if saved.exists():  # a latency is never measured twice alike: what was cut is what counts
            pruning.reshape(network, torch.load(saved, map_location="cpu", weights_only=True)["model"])
        run(network, name, args.epochs * part // parts - args.epochs * (part - 1) // parts, FINETUNE_LR, part)

    pruned = copy.deepcopy(trained)
    pruning.prune(pruned, EXAMPLE, args.target, losses=lambda: losses(pruned), finetune=finetune,
                  parts=args.parts)  # fmt: skip
    fresh = Network(SIZE)
    pruning.reshape(fresh, pruned.state_dict())
    run(fresh.begin(normalise(x[:5000])), "scratch", args.epochs, SCRATCH_LR)
    return [("as trained", trained), (f"pruned to {args.target}", pruned), ("the same widths from scratch", fresh)]


if __name__ == "__main__":
    sys.exit(main())
