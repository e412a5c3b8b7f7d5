"""Structured pruning: what is cut belongs together, costs what is said, and leaves the rest as it was."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch_nets import Fn, MobileBlock, Neck, Shuffle, prepared  # noqa: E402

from edgert.convert import prune  # noqa: E402
from edgert.convert.prune import costs  # noqa: E402
from edgert.convert.prune.channels import Channels  # noqa: E402
from edgert.convert.prune.costs import Costs  # noqa: E402
from edgert.convert.prune.cut import cut  # noqa: E402
from edgert.errors import ConversionError, InputError  # noqa: E402
from models.cifar10_plain.model import ResNet  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

NETS = [
    ("resnet", ResNet(stem=8, stages=((8, 1, 1), (16, 2, 2))), (1, 3, 12, 12), [8, 8, 16, 16, 16]),
    ("mobile", MobileBlock(), (1, 8, 7, 9), [6, 24]),
    ("neck", Neck(), (1, 3, 16, 24), [8, 8, 16]),
    ("flat", nn.Sequential(nn.Conv2d(3, 16, 3), nn.Flatten(), nn.Linear(576, 8), nn.Linear(8, 4)),
     (1, 3, 8, 8), [8, 16]),
    ("joined", Fn(lambda a, b, c, x: c(torch.cat([a(x), b(x), a(x)], 1)), *(nn.Conv2d(i, 8, 1) for i in (3, 3, 24))),
     (1, 3, 8, 8), [8, 8]),
    ("others", nn.Sequential(nn.Conv2d(3, 8, 1), nn.PReLU(8), nn.ConvTranspose2d(8, 16, 2, 2), nn.BatchNorm2d(16),
                             nn.ReLU(), nn.Conv2d(16, 32, 3, groups=16), nn.Conv2d(32, 2, 1)), (1, 3, 8, 8), [8, 16]),
    ("shuffle", Shuffle(), (1, 8, 5, 6), []),
    ("grouped", nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=2)), (1, 3, 8, 8), []),
]  # fmt: skip


def masked(module, found, kept):
    """A copy in which the channels that would go give zeros instead."""
    module = copy.deepcopy(module)
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    for (name, axis), classes in found.slots.items():
        gone = torch.from_numpy(np.where(classes >= 0, ~kept[classes], False))
        if not name.endswith("running_var") and not (name.endswith("weight") and axis == 1):
            tensors[name].data[gone] = 0
    return module


def answers(module, x):
    with torch.no_grad():
        y = module(x)
    return y if isinstance(y, tuple) else (y,)


@pytest.mark.parametrize("name, module, shape, groups", NETS)
def test_what_is_cut_is_what_could_have_been_zero(name, module, shape, groups):
    module, x = prepared(module), torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = Channels(module, (x,))
    assert sorted(len(group) for group in found.groups()) == groups
    kept, rng = np.ones(len(found.removable), bool), np.random.default_rng(0)
    for group in found.groups():
        kept[rng.choice(group, len(group) // 3, replace=False)] = False
    smaller = copy.deepcopy(module)
    cut(smaller, found, kept)
    for got, want in zip(answers(smaller, x), answers(masked(module, found, kept), x), strict=True):
        assert torch.allclose(got, want, atol=1e-5)  # sums over fewer zeros, in another order
    anew = Channels(smaller, (x,))
    everything = np.ones(len(anew.removable), bool)
    assert Costs(anew).macs(everything) == Costs(found).macs(kept)
    assert Costs(anew).bytes(everything) == Costs(found).bytes(kept)


def test_costs_are_those_of_the_graph():
    from edgert import convert, macs

    module, x = prepared(ResNet()), torch.zeros(1, 3, 32, 32)
    found = Channels(module, (x,))
    graph = convert.from_torch(module, (x,))
    total = sum(macs.node_macs(node, graph.tensors) for node in graph.nodes if node.op in ("conv2d", "linear"))
    assert Costs(found).macs(np.ones(len(found.removable), bool)) == total


def test_depthwise_layers_know_their_groups_afterwards():
    module = prepared(MobileBlock())
    prune.prune(module, (torch.zeros(1, 8, 7, 9),), "60 %", score="norm", parts=1, multiple=4)
    depthwise = module.body[3]
    assert depthwise.groups == depthwise.in_channels == depthwise.out_channels == module.body[4].num_features < 24


@pytest.mark.parametrize(
    "score, target, kind, limit",
    [("norm", "50%", "macs", 0.5), ("gain", "30 KB", "bytes", 30_000), ("taylor", "8 MMAC", "macs", 8e6)],
)
def test_targets_are_met_in_whole_multiples_of_channels(score, target, kind, limit):
    torch.manual_seed(0)
    module, x = prepared(ResNet()), torch.randn(4, 3, 32, 32)
    calls = []
    states = prune.prune(
        module, (x[:1],), target, score=score, parts=2, losses=lambda: [F.cross_entropy(module(x), torch.arange(4))],
        finetune=lambda network, part, parts: calls.append((network is module, part, parts)),
    )  # fmt: skip
    assert calls == [(True, 1, 2), (True, 2, 2)]
    assert states[0][kind] > states[1][kind] > states[2][kind]
    goal = limit * states[0]["macs"] if limit < 1 else limit
    assert 0.6 * goal < states[-1][kind] <= goal
    assert all(part.out_channels % 8 == 0 for part in module.modules() if isinstance(part, nn.Conv2d))
    assert states[-1]["parameters"] == sum(p.numel() for p in module.parameters())


def test_channels_that_matter_less_go_first():
    torch.manual_seed(0)
    module = prepared(nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Conv2d(16, 2, 1)))
    small = torch.randperm(16)[:8]
    for tensor in (module[1].weight.data, module[1].bias.data, module[0].weight.data):
        tensor[small] *= 1e-3
    wanted = torch.tensor([i for i in range(16) if i not in small])
    for score, frozen in (("norm", False), ("gain", False), ("taylor", False), ("taylor", True)):
        trial, batches = copy.deepcopy(module), torch.randn(8, 4, 3, 6, 6)
        trial[1].weight.requires_grad_(not frozen)
        losses = lambda t=trial, b=batches: (t(x).square().sum() for x in b)  # noqa: E731
        prune.prune(trial, (batches[0, :1],), "50%", score=score, parts=1, losses=losses)
        assert torch.equal(trial[1].weight, module[1].weight[wanted])
        assert trial[1].weight.requires_grad is not frozen


def test_a_latency_is_reached_in_our_own_kernels():
    network = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 4, 3))
    module, x = prepared(network), (torch.zeros(1, 3, 24, 24),)
    whole = costs.latency_ms(module, x)
    states = prune.prune(module, x, f"{0.7 * whole:.4f} ms", score="norm", parts=1)
    assert states[-1]["macs"] < states[0]["macs"]
    assert states[-1]["ms"] < whole


@pytest.mark.parametrize("target", ["", "fast", "5", "-3 MMAC", "0 ms", "3 parsecs", "1e999 MB"])
def test_targets_that_say_nothing_are_refused(target):
    with pytest.raises(InputError, match=r"is none of '0\.5 ms'"):
        prune.prune(nn.Conv2d(3, 4, 1), (torch.zeros(1, 3, 4, 4),), target)


def test_targets_out_of_reach_are_refused_with_the_least_there_is():
    with pytest.raises(InputError, match="cannot get to 1,000 macs: with one multiple of every layer left it is"):
        prune.prune(prepared(ResNet()), (torch.zeros(1, 3, 32, 32),), "1 kMAC", score="norm", parts=1)


def test_code_that_counts_on_a_number_of_channels_is_refused():
    module = Fn(lambda a, b, x: b(a(x).reshape(1, 16 * 64)), nn.Conv2d(3, 16, 1), nn.Linear(1024, 2))
    with pytest.raises(ConversionError, match="has a number of channels written into it"):
        prune.prune(module, (torch.zeros(1, 3, 8, 8),), "50%", score="norm")


def test_scores_need_what_they_are_made_of():
    with pytest.raises(InputError, match="needs losses"):
        prune.prune(nn.Conv2d(3, 4, 1), (torch.zeros(1, 3, 4, 4),), "50%")
    with pytest.raises(InputError, match="score 'random' is none of"):
        prune.prune(nn.Conv2d(3, 4, 1), (torch.zeros(1, 3, 4, 4),), "50%", score="random")


def test_distillation_draws_the_student_to_the_teacher_and_leaves_the_teacher_alone():
    torch.manual_seed(0)
    teacher, student, x, y = nn.Linear(4, 3), nn.Linear(4, 3), torch.randn(64, 4), torch.randint(0, 3, (64,))
    before, loss_of = teacher.weight.clone(), prune.Distiller(teacher, temperature=2.0, weight=1.0)
    optimizer = torch.optim.Adam(student.parameters(), 0.05)
    for _ in range(100):
        loss = loss_of(student(x), x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.02
    assert torch.equal(teacher.weight, before)
    assert teacher.weight.grad is None
    scores = student(x)
    plain = prune.Distiller(teacher, weight=0.0)(scores, x, y)
    assert torch.allclose(plain, F.cross_entropy(scores, y))
