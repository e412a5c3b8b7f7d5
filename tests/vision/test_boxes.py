"""Decoding: the native kernel against the reference, the reference against formulas written out for single boxes."""

import math
import random

import numpy as np
import pytest
import tiny
from PIL import Image

import edgert
from edgert.errors import InputError
from edgert.format import writer
from edgert.graph import Head, Quant, Tensor
from edgert.kernels.reference import boxes as reference
from edgert.vision import boxes
from edgert.vision.detect import Place

INPUT = Tensor("image", "float32", (1, 64, 96, 3))
ANCHORS = (8.0, 12.0, 16.0, 20.0, 32.0, 30.0, 64.0, 50.0)
CASES = {
    "yolo": (Head("yolo", ("box class:sigmoid",) * 2, strides=(8, 16)), [(1, 8, 12, 9), (1, 4, 6, 9)]),
    "yolo with bins": (Head("yolo", ("box class:sigmoid",), strides=(16,), bins=16), [(1, 24, 67)]),
    "yolox": (Head("yolox", ("box object:sigmoid class:sigmoid",), strides=(8, 16)), [(1, 120, 85)]),
    "fastestdet": (Head("fastestdet", ("object:sigmoid", "box", "class:softmax"), strides=(16,)),
                   [(1, 4, 6, 1), (1, 4, 6, 4), (1, 4, 6, 80)]),
    "columns first": (Head("fastestdet", ("object box class",), strides=(16,)), [(1, 85, 4, 6)]),
    "yolo_fastestv2": (Head("yolo_fastestv2", ("box:sigmoid object:sigmoid class:softmax",), strides=(16, 32),
                            anchors=ANCHORS, anchor_counts=(2, 2)), [(30, 8 + 2 + 20)]),
    "ssd": (Head("ssd", ("class:softmax", "box"), strides=(16, 32), anchors=ANCHORS, anchor_counts=(2, 2),
                 scales=(0.1, 0.1, 0.2, 0.25), background=1), [(1, 60, 4), (1, 60, 4)]),
    "explicit anchors": (Head("ssd", ("box", "class:sigmoid"), anchors=(0.5, 0.25, 0.3, 0.4) * 50, box_order="yxhw",
                              scales=(0.1, 0.1, 0.2, 0.2), background=1), [(1, 50, 4), (1, 50, 91)]),
    "boxes": (Head("boxes", ("box", "class"), box_order="xyxy", scales=(96.0, 64.0, 96.0, 64.0)),
              [(1, 100, 4), (1, 100, 1)]),
}  # fmt: skip


def outputs(shapes, dtype):
    quant = Quant((float(np.float32(0.05)),), 3) if dtype == "int8" else None
    return [Tensor(f"o{i}", dtype, shape, quant) for i, shape in enumerate(shapes)]


def answers(rng, shapes, dtype):
    if dtype == "int8":
        return [rng.integers(-128, 128, shape, np.int8) for shape in shapes]
    return [rng.normal(0, 2, shape).astype(np.float32) for shape in shapes]


def both(monkeypatch, head, tensors):
    native = pytest.importorskip("edgert.kernels.native.boxes")
    monkeypatch.setattr(boxes, "_implementation", lambda: native.BoxDecoder)
    fast = boxes.decoder(head, INPUT, tensors)
    monkeypatch.setattr(boxes, "_implementation", lambda: reference.BoxDecoder)
    return fast, boxes.decoder(head, INPUT, tensors)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("case", CASES)
def test_the_native_kernel_gives_the_references_boxes(monkeypatch, case, dtype):
    head, shapes = CASES[case]
    fast, slow = both(monkeypatch, head, outputs(shapes, dtype))
    rng = np.random.default_rng(0)
    seen = 0
    for score, iou in ((0.0, 0.45), (0.3, 0.45), (0.3, 0.0), (0.5, 1.0)):
        arrays = answers(rng, shapes, dtype)
        got, wanted = fast(arrays, score, iou), slow(arrays, score, iou)
        assert [box[5] for box in got] == [box[5] for box in wanted]
        # int8: tables make all but a softmax's sum exact; floats: exp() differs between libraries in the last bit
        np.testing.assert_allclose(np.array(got), np.array(wanted), rtol=2e-6, atol=2e-5)
        seen += len(got)
    assert seen > 20


def test_floats_that_are_no_numbers_are_dropped(monkeypatch):
    head, shapes = CASES["yolox"]
    fast, slow = both(monkeypatch, head, outputs(shapes, "float32"))
    array = np.full(shapes[0], np.nan, np.float32)
    assert fast([array], 0.1, 0.5) == slow([array], 0.1, 0.5) == []
    array[0, 5] = [1, 1, 1, 1, 4, *[np.nan] * 40, 5, *[np.inf] * 39]
    array[0, 6] = [np.inf, 1, 1, 1, *[4] * 81]
    got, wanted = fast([array], 0.1, 0.5), slow([array], 0.1, 0.5)
    assert [box[5] for box in got] == [box[5] for box in wanted] == [41]


def test_a_native_decoder_refuses_buffers_of_another_size():
    head, shapes = CASES["yolox"]
    decode = boxes.decoder(head, INPUT, outputs(shapes, "int8"))
    if "native" not in type(decode).__module__:
        pytest.skip("nothing is compiled here")
    for buffers in ([], [b""], [bytes(120 * 85 - 1)], [bytes(120 * 85)] * 2):
        with pytest.raises(ValueError, match="output"):
            decode(buffers, 0.5, 0.5)


def one(head, shape, cell, numbers):
    """The only box when one row of the output says something."""
    array = np.full(shape, -30, np.float32)
    array.reshape(-1, shape[-1])[cell] = numbers
    [box] = boxes.decoder(head, INPUT, outputs([shape], "float32"))([array], 0.25, 0.45)
    return box


def test_each_kind_follows_its_formula():
    def sigmoid(t):
        return 1 / (1 + math.exp(-t))

    cell, gx, gy = 9, 3, 1  # of a grid of 6 x 4 cells of 16 pixels
    yolo = one(Head("yolo", ("box class:sigmoid",), strides=(16,)), (1, 24, 6), cell, [1, 0.5, 2, 0.75, -3, 2])
    assert yolo[:4] == pytest.approx(((gx + 0.5 - 1) * 16, (gy + 0.5 - 0.5) * 16, (gx + 2.5) * 16, (gy + 1.25) * 16))
    assert (yolo[4], yolo[5]) == (pytest.approx(sigmoid(2)), 1)
    yolox = one(Head("yolox", ("box object:sigmoid class:sigmoid",), strides=(16,)), (1, 24, 6), cell,
                [0.25, 0.5, 0.1, -0.2, 3, 1])  # fmt: skip
    centre = ((gx + 0.25) * 16, (gy + 0.5) * 16)
    assert middle(yolox) == pytest.approx((*centre, 16 * math.exp(0.1), 16 * math.exp(-0.2)))
    assert yolox[4] == pytest.approx(sigmoid(3) * sigmoid(1))
    fastest = one(Head("fastestdet", ("object:sigmoid box class:softmax",), strides=(16,)), (1, 24, 7), cell,
                  [2, 0.5, -0.5, -1, -2, 1, 0])  # fmt: skip
    centre = ((gx + math.tanh(0.5)) * 16, (gy - math.tanh(0.5)) * 16)
    assert middle(fastest) == pytest.approx((*centre, 96 * sigmoid(-1), 64 * sigmoid(-2)))
    assert fastest[4] == pytest.approx(sigmoid(2) ** 0.6 * sigmoid(1) ** 0.4)


def test_the_anchors_of_a_cell_follow_their_formulas():
    cell, gx, gy = 9, 3, 1
    two = {"strides": (16,), "anchors": (8.0, 12.0, 40.0, 20.0), "anchor_counts": (2,)}
    v2 = Head("yolo_fastestv2", ("box object class",), **two)
    box = one(v2, (24, 12), cell, [0] * 4 + [0.25, 0.5, 0.75, 0.5] + [0, 0.9] + [0.5, 0.7])
    assert middle(box) == pytest.approx(((gx + 0.0) * 16, (gy + 0.5) * 16, 40 * 1.5**2, 20 * 1.0))
    assert (box[4], box[5]) == (pytest.approx(0.9 * 0.7), 1)
    ssd = Head("ssd", ("box class:softmax",), scales=(0.1, 0.1, 0.2, 0.2), background=1, **two)
    array = np.zeros((1, 48, 6), np.float32)
    array[0, :, 4] = 20  # background
    array[0, 2 * cell + 1] = [1, -1, 0.5, -0.5, 0, 3]
    [box] = boxes.decoder(ssd, INPUT, outputs([(1, 48, 6)], "float32"))([array], 0.25, 0.45)
    centre = ((gx + 0.5) * 16 + 0.1 * 40, (gy + 0.5) * 16 - 0.1 * 20)
    assert middle(box) == pytest.approx((*centre, 40 * math.exp(0.1), 20 * math.exp(-0.1)))
    assert (box[4], box[5]) == (pytest.approx(1 / (1 + math.exp(-3))), 0)


def middle(box):
    x1, y1, x2, y2 = box[:4]
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def test_suppression_equals_the_obvious_loop():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (300, 2))
    found = np.concatenate([corners, corners + rng.uniform(1, 20, (300, 2))], axis=1).astype(np.float32)
    scores, labels = rng.choice(np.linspace(0.1, 1, 40), 300).astype(np.float32), rng.integers(0, 4, 300)
    wanted = []
    for i in sorted(range(300), key=lambda i: (-scores[i], i)):
        if all(labels[i] != labels[j] or overlap(found[i], found[j]) <= 0.3 for j in wanted):
            wanted.append(i)
    assert reference.suppress(found, scores, labels, np.float32(0.3), 1000).tolist() == wanted
    assert reference.suppress(found, scores, labels, np.float32(0.3), 5).tolist() == wanted[:5]


def overlap(a, b):
    from edgert.vision.metrics import intersection_over_union

    return intersection_over_union(a.tolist(), b.tolist())


def test_a_model_names_and_places_what_it_sees(tmp_path):
    path = tmp_path / "cells.bin"
    writer.write(tiny.colour_detector(), path)
    model = edgert.load(path, threads=1)
    picture = Image.new("RGB", (48, 16))  # letterboxed to 24 x 8 with 4 rows of grey above and below
    picture.paste((255, 0, 0), (8, 0, 16, 8))
    [found] = model.detect(picture)
    assert isinstance(found, edgert.Detection)
    assert (found.label, found.index, found.box) == ("red", 0, (8, 0, 16, 8))
    assert found.score == pytest.approx(1 / (1 + math.exp(-6.5)))  # the edge row is mixed with what lies beyond
    assert repr(found) == "Detection(label='red', score=0.9985, box=(8.0, 0.0, 16.0, 8.0), index=0)"
    assert model.detect(Image.new("RGB", (48, 40))) == []


def test_boxes_are_in_pixels_of_the_original_picture(tmp_path):
    path = tmp_path / "cells.bin"
    writer.write(tiny.colour_detector(), path)
    model = edgert.load(path, threads=1)
    for factor in (1, 10, 40):
        picture = Image.new("RGB", (24 * factor, 16 * factor))
        picture.paste((0, 255, 0), (8 * factor, 4 * factor, 12 * factor, 8 * factor))
        [found] = model.detect(picture)
        assert (found.label, found.index) == ("green", 1)
        assert found.box == pytest.approx([side * factor for side in (8, 4, 12, 8)])
        name = tmp_path / "large.jpg"
        picture.save(name, quality=95)  # decoded at an eighth of its size, if that is large enough
        [found] = model.detect(name)
        assert found.box == pytest.approx([side * factor for side in (8, 4, 12, 8)], abs=0.01 * factor)


def test_thresholds_can_be_given(tmp_path):
    path = tmp_path / "cells.bin"
    writer.write(tiny.colour_detector(), path)
    model = edgert.load(path, threads=1)
    picture = Image.new("RGB", (24, 16), (160, 0, 0))
    assert len(model.detect(picture, score=0.01)) == 24
    assert model.detect(picture, score=0.99) == []


def test_a_classifier_does_not_detect(model_files):
    with pytest.raises(InputError, match="does not detect"):
        edgert.load(model_files / "colours.bin").detect(Image.new("RGB", (8, 8)))


def test_a_place_leads_back_to_the_picture():
    place = Place(((640, 480), (80, 0, 560, 480), (0, 0, 48, 48)))
    assert place.to_picture(0, 0, 48, 48) == (80, 0, 560, 480)
    assert place.to_picture(-100, 12, 24, 1000) == (0, 120, 320, 480)


def test_decoding_any_bytes_is_safe():
    rng = random.Random(0)
    for head, shapes in CASES.values():
        for dtype in ("int8", "float32"):
            tensors = outputs(shapes, dtype)
            decode = boxes.decoder(head, INPUT, tensors)
            for _ in range(5):
                for box in decode([rng.randbytes(tensor.nbytes) for tensor in tensors], 0.1, 0.5):
                    assert box[2] > box[0]
                    assert box[3] > box[1]
