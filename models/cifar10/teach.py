"""Asks the trained 1 MB network about six cuts of every training picture, once: what the smaller ones learn from.

    python models/cifar10/teach.py [--threads N]
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


def main():
    args = parser_of(__doc__).parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    checkpoint = args.build / "1mb.pt"
    if not checkpoint.exists():
        print(f"{checkpoint} does not exist: run train.py 1mb first", file=sys.stderr)
        return 1
    teacher = Network("1mb").to(memory_format=torch.channels_last)
    teacher.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["model"])
    images, labels = data.cifar10_train()
    answers = fast.answers_of(teacher, torch.from_numpy(images))
    torch.save(answers, args.build / "answers.pt")
    right = (answers.float().argmax(2) == torch.from_numpy(labels)).float().mean()
    print(f"{args.build / 'answers.pt'}: right for {100 * float(right):.2f} % of the training views")
    return 0


if __name__ == "__main__":
    sys.exit(main())
