"""The recipe of the CIFAR-10 networks on a handful of random pictures: it resumes, folds and teaches."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
sys.path.append(str(Path(__file__).resolve().parents[2]))

from models.cifar10 import fast, prune  # noqa: E402
from models.cifar10.model import Network  # noqa: E402

RECIPE = fast.Recipe(epochs=2, batch=125, lr=0.1, momentum=0.8)


@pytest.fixture(scope="module")
def arrays():
    """250 pictures to train with and 125 to test with, and their labels."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (375, 32, 32, 3), generator=generator, dtype=torch.uint8)
    y = torch.randint(0, 10, (375,), generator=generator)
    return x[:250], y[:250], x[250:], y[250:]


def trained(arrays, folder, stop_after=None, recipe=RECIPE, answers=None):
    """A network after a run that was stopped and started again, or not."""
    for epochs in (stop_after, recipe.epochs):
        torch.manual_seed(recipe.seed)
        run = fast.Run(Network("250kb").begin(fast.normalise(arrays[0])), recipe, folder / "run.pt")
        run.resume()
        if epochs:
            run.train(*arrays, answers, until=epochs)
    return run


def test_a_run_that_was_stopped_gives_what_an_unbroken_one_gives(arrays, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, stopped = trained(arrays, tmp_path / "a"), trained(arrays, tmp_path / "b", stop_after=1)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, stopped.model.state_dict()[name]), name
    assert [entry[0] for entry in stopped.history] == [1, 2]


def test_folding_the_norms_changes_no_answer(arrays, tmp_path):
    network = trained(arrays, tmp_path).model.eval()
    x = fast.normalise(arrays[2][:8])
    with torch.no_grad():
        before = network(x)
        assert torch.allclose(network.fold()(x), before, atol=1e-4)  # float sums in another order


def test_the_teacher_answers_every_view_once_and_a_student_learns_from_it(arrays, tmp_path):
    network = trained(arrays, tmp_path).model
    answers = fast.answers_of(network, arrays[0], progress=lambda *_: None)
    assert answers.shape == (fast.VIEWS, 250, 10)
    (tmp_path / "student").mkdir()
    recipe = fast.Recipe(epochs=1, batch=125, lr=0.1, momentum=0.8, distil=0.8)
    student = trained(arrays, tmp_path / "student", recipe=recipe, answers=answers)
    assert student.epoch == 1
    assert student.history[0][1] > 0


def test_pruning_ends_beside_the_same_widths_from_scratch(arrays, tmp_path, monkeypatch):
    monkeypatch.setattr(prune, "SCORED", (2, 25))
    torch.manual_seed(0)
    torch.save({"model": Network("250kb").begin(fast.normalise(arrays[0])).state_dict()}, tmp_path / "250kb.pt")
    arrays = [torch.cat([array, array]) for array in arrays[:2]] + list(arrays[2:])
    args = SimpleNamespace(build=tmp_path, target="88 KB", epochs=1, parts=1)
    rows = prune.both(args, tmp_path / "250kb.pt", arrays, torch.zeros(fast.VIEWS, 500, 10))
    sizes = [sum(p.numel() for p in network.parameters()) for _, network in rows]
    assert sizes[0] > 2 * sizes[1]
    assert sizes[1] == sizes[2]
    made = sorted(file.name for file in tmp_path.glob("*.pt"))
    assert made == ["250kb.pt", "pruned_1_of_1.pt", "scratch.pt"]
