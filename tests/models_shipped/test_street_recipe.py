"""The street detector's recipe: boxes stay on their pictures, the loss knows a right answer, a stopped run goes on."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from models.street import distill, loss, measure, pictures, prune, train  # noqa: E402
from models.street.model import STRIDES, Detector  # noqa: E402

torch.set_num_threads(1)  # networks of this size are slower with more
RECIPE = replace(train.Recipe(), epochs=2, batch=2, warmup=1, sizes=((1.0, 64),), evaluate_every=2)


def picture(rng, labels=2):
    """Noise with a red rectangle for each label, which are apart."""
    pixels = rng.integers(0, 60, (90, 120, 3)).astype(np.uint8)
    boxes = []
    for k in range(labels):
        left, top = 10 + 55 * k, int(rng.integers(5, 40))
        pixels[top : top + 40, left : left + 45] = (250, 10, 10)
        boxes.append((left, top, left + 45, top + 40))
    return pictures.Picture(torch.from_numpy(pixels), np.array(boxes, np.float32), np.arange(labels))


def small(seed=0):
    torch.manual_seed(seed)
    return Detector(widths=(8, 8, 8, 16, 16), neck=(8, 8, 8), head=8)


def answers_for(boxes, labels, size):
    """Outputs of a detector that is sure of these boxes: every cell whose middle lies inside one gives it."""
    outputs = []
    for stride in STRIDES:
        cells = size // stride
        box, scores = torch.ones(1, 4, cells, cells), torch.full((1, 5, cells, cells), -12.0)
        for y in range(cells):
            for x in range(cells):
                for (left, top, right, bottom), label in zip(boxes, labels):
                    mx, my = (x + 0.5) * stride, (y + 0.5) * stride
                    if left < mx < right and top < my < bottom:
                        sides = (mx - left, my - top, right - mx, bottom - my)
                        box[0, :, y, x] = torch.tensor(sides) / stride
                        scores[0, label, y, x] = 3.0
        outputs += [box, scores]
    return outputs


def test_boxes_go_where_their_pictures_go():
    rng = np.random.default_rng(0)
    x, boxes, labels = pictures.batch([picture(rng) for _ in range(6)], range(6), 96, rng)
    assert x.shape == (6, 96, 96, 3)
    assert sum(map(len, boxes)) >= 6
    for image, own, names in zip(x, boxes, labels):
        assert len(own) == len(names)
        for left, top, right, bottom in own.tolist():
            assert 0 <= left < right <= 96
            assert 0 <= top < bottom <= 96
            inside = image[int(top) + 2 : int(bottom) - 2, int(left) + 2 : int(right) - 2].reshape(-1, 3).float()
            if len(inside):
                red = (inside[:, 0] > 180) & (inside[:, 1] < 80)
                assert red.float().mean() > 0.8


def test_a_right_answer_costs_less_than_a_wrong_one():
    boxes, labels = torch.tensor([[4.0, 6.0, 30.0, 34.0], [36.0, 20.0, 60.0, 62.0]]), torch.tensor([1, 3])
    right = answers_for(boxes.tolist(), labels.tolist(), 64)
    moved = answers_for((boxes + 6.0).tolist(), labels.tolist(), 64)
    other = answers_for(boxes.tolist(), [3, 1], 64)
    costs = [float(loss.detection_loss(one, STRIDES, [boxes], [labels])) for one in (right, moved, other)]
    assert costs[0] < 0.5 * min(costs[1:])
    nothing = loss.detection_loss(right, STRIDES, [torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.int64)])
    assert torch.isfinite(nothing)


def test_complete_overlap_is_at_most_the_plain_one():
    rng = np.random.default_rng(0)
    corner, side = rng.uniform(0, 50, (2, 64, 2)), rng.uniform(1, 30, (2, 64, 2))
    a, b = (torch.from_numpy(np.concatenate([c, c + s], 1)) for c, s in zip(corner, side))
    assert (loss.overlap(a, b, complete=True) <= loss.overlap(a, b) + 1e-9).all()
    assert torch.allclose(loss.overlap(a, a), torch.ones(64, dtype=torch.float64), atol=1e-6)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_a_stopped_run_gives_what_a_whole_one_gives(tmp_path):
    rng = np.random.default_rng(0)
    data = [picture(rng) for _ in range(4)]
    validation = measure.Validation(data, 64)
    whole = train.Run(small(), RECIPE, tmp_path / "whole.pt")
    whole.train(data, validation)
    assert [epoch for epoch, _ in whole.history] == [2]
    first = train.Run(small(), replace(RECIPE, epochs=2), tmp_path / "parts.pt")
    first._one_epoch(data)
    first.epoch = 1
    first.save()
    second = train.Run(small(), RECIPE, tmp_path / "parts.pt")
    second.resume()
    second.train(data, validation)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


def test_a_student_that_answers_as_its_teacher_has_nothing_to_learn_from_it():
    teacher = small().eval()
    distiller = distill.Distiller(teacher, STRIDES)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        same, other = teacher(x), small(1).eval()(x)
        entropy = distiller.against(same, same)
        assert float(distiller.against(other, same)) > float(entropy)


def test_a_cut_network_is_restored_with_its_widths():
    whole, cut = small(), Detector(widths=(8, 8, 8, 16, 8), neck=(8, 8, 8), head=8)
    state = cut.state_dict()
    restored = prune.network(state)
    assert sum(p.numel() for p in restored.parameters()) < sum(p.numel() for p in whole.parameters())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(restored(x), cut.eval()(x)):
            torch.testing.assert_close(a, b)  # convolutions of another memory format add up in another order
