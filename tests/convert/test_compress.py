"""The recipes that prune and retrain: stopped in the middle they go on, and the file has the accuracy of training."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch_nets import prepared  # noqa: E402

from edgert.convert import qat  # noqa: E402
from edgert.format import writer  # noqa: E402
from edgert.graph import Metadata, Preprocess  # noqa: E402
from models.cifar10_plain.model import ResNet  # noqa: E402
from models.common import compress, restore, training  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

RECIPE = training.Recipe(epochs=2, batch=16, lr=0.01, bf16=False)
METADATA = Metadata("classify", tuple("abcdefghij"), Preprocess("RGB", "crop", (128.0,) * 3, (64.0,) * 3))


def network():
    return ResNet(stem=8, stages=((16, 1, 1), (16, 1, 2)))


def load():
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (48, 32, 32, 3)).astype(np.uint8), rng.integers(0, 10, 48)
    return images, labels, images[:16], labels[:16]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A recipe's folder with the int8 file of an untrained network in it."""
    monkeypatch.setattr(compress, "SCORED_BATCHES", 1)
    monkeypatch.setattr(compress, "NORM_IMAGES", 16)
    monkeypatch.setattr(compress, "CALIBRATION", 8)
    monkeypatch.setattr(sys, "argv", ["recipe", "--threads", "1"])
    monkeypatch.setattr(compress._Job, "_samples", samples)
    torch.manual_seed(0)
    x = training.normalise(torch.from_numpy(load()[0]))
    graph, _ = qat.prepare(prepared(network()), (x[:1],), x[:8]).to_graph()
    place = tmp_path / "net"
    place.mkdir()
    writer.write(_renamed(graph), place / "net_int8.bin")
    return place


def samples(job, count, seed=0):
    return training.normalise(job.data.x_train[:count]), job.data.y_train[:count]


def _renamed(graph):
    """Nodes named after the layers, as models/common/quantize names them."""
    nodes = [
        node.replace(name=graph.tensors[node.inputs[1]].name.removesuffix(".weight").removesuffix(".0"))
        if node.op in restore.STORED
        else node
        for node in graph.nodes
    ]
    return graph.replace(nodes=tuple(nodes))


def interrupted_at(monkeypatch, count):
    """Ctrl-C at the given batch."""
    seen = SimpleNamespace(count=0)

    def progress(text, done, total):
        seen.count += 1
        if seen.count == count:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "show_progress", progress)


def states(folder):
    files = sorted((folder / "build").glob("*.pt"))
    return {file.name: torch.load(file, weights_only=True)["model"] for file in files}


def test_a_shipped_file_gives_its_network_back(folder):
    x = training.normalise(torch.from_numpy(load()[0]))
    trained = restore.restored(network(), folder / "net_int8.bin", x)
    with torch.no_grad():
        folded = trained(x)
        statistics = trained.train()(x)  # with the statistics of these very images training changes nothing
    assert torch.allclose(folded, statistics, rtol=0.05, atol=0.05 * float(folded.std()))
    with pytest.raises(ValueError, match="is not one of this network"):
        restore.restored(ResNet(), folder / "net_int8.bin", x)


def test_pruning_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(folder, monkeypatch, capsys):
    arguments = ("text", network, load, RECIPE, folder)
    monkeypatch.setattr(sys, "argv", ["prune", "--threads", "1", "--parts", "2", "--target", "70 %", "--score", "norm"])
    monkeypatch.setattr(compress.pruning.costs, "latency_ms", lambda *args, **options: 1.0)
    interrupted_at(monkeypatch, 5)
    assert compress.prune(*arguments) == 1
    assert "run again to go on" in capsys.readouterr().err
    interrupted_at(monkeypatch, 0)
    assert compress.prune(*arguments) == 0
    assert capsys.readouterr().out.count("\n| ") == 4
    resumed = states(folder)
    assert sorted(resumed) == ["pruned_1_of_2.pt", "pruned_2_of_2.pt", "scratch.pt"]
    for file in (folder / "build").glob("*.pt"):
        file.unlink()
    assert compress.prune(*arguments) == 0
    for name, state in states(folder).items():
        assert all(torch.equal(tensor, resumed[name][key]) for key, tensor in state.items())


def test_training_in_int8_ends_in_a_file_of_the_same_accuracy(folder, monkeypatch, capsys):
    arguments = ("text", network, load, RECIPE, folder, METADATA)
    interrupted_at(monkeypatch, 2)
    assert compress.finetune(*arguments) == 1
    interrupted_at(monkeypatch, 0)
    assert compress.finetune(*arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    figure = {line[:30].strip(): line[30:] for line in lines}
    assert figure["int8 after training (QAT)"] == figure["in the shipped kernels"]
    assert (folder / "build" / "qat_int8.bin").exists()


def test_unequal_channels_change_nothing_in_float():
    torch.manual_seed(0)
    module, x = prepared(network()), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        before = module(x)
        compress.make_unequal(module, 8.0, 0)
        assert torch.allclose(module(x), before, rtol=1e-3, atol=1e-3)
