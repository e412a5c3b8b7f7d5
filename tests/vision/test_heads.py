"""What a head may claim: where candidates lie in each layout of the outputs, and everything that is refused."""

import pytest
import tiny

from edgert import heads, opset
from edgert.errors import ModelFormatError
from edgert.graph import TOKENS, Head, Quant, Tensor

PICTURE = [(1, 64, 96, 3)]
FACES = {"anchors": (8.0, 8.0, 16.0, 16.0, 32.0, 32.0, 64.0, 64.0), "anchor_counts": (2, 2)}


def output(*shape, dtype="float32", quant=None):
    return Tensor(f"out{shape}", dtype, shape, quant)


def layout(head, *shapes):
    return heads.layout(head, PICTURE, [output(*shape) for shape in shapes])


@pytest.mark.parametrize(
    ("shape", "row", "column"),
    [((1, 24, 85), 85, 1), ((24, 85), 85, 1), ((1, 4, 6, 85), 85, 1), ((1, 85, 24), 1, 24), ((1, 85, 4, 6), 1, 24)],
)
def test_one_output_may_have_its_columns_first_or_last(shape, row, column):
    found = layout(Head("fastestdet", ("object box class",), strides=(16,)), shape)
    [group] = found.groups
    assert (group.rows, found.classes, found.grids) == (24, 80, ((4, 6),))
    views = [(view.offset, view.row, view.column) for view in (group.object, group.box, group.classes)]
    assert views == [(0, row, column), (column, row, column), (5 * column, row, column)]


def test_levels_may_share_an_output_or_have_their_own():
    shared = layout(Head("yolox", ("box object class",), strides=(16, 32)), (1, 30, 85))
    assert [(group.rows, group.box.offset) for group in shared.groups] == [(24, 0), (6, 24 * 85)]
    parts = ("box", "object:sigmoid", "class:sigmoid") * 2
    own = layout(Head("yolox", parts, strides=(16, 32)),
                 (1, 4, 6, 4), (1, 4, 6, 1), (1, 4, 6, 80), (1, 2, 3, 4), (1, 2, 3, 1), (1, 2, 3, 80))  # fmt: skip
    assert [(g.rows, g.box.output, g.object.output, g.classes.output) for g in own.groups] == [
        (24, 0, 1, 2),
        (6, 3, 4, 5),
    ]
    assert own.groups[1].classes.activation == "sigmoid"


def test_anchors_may_lie_in_columns_or_in_rows():
    columns = layout(Head("yolo_fastestv2", ("box object class",), strides=(16, 32), **FACES), (30, 8 + 2 + 5))
    assert columns.classes == 5  # shared between the anchors of a cell
    assert [(g.box.offset, g.object.offset, g.classes.offset) for g in columns.groups[:2]] == [(0, 8, 10), (4, 9, 10)]
    rows = layout(Head("ssd", ("class", "box"), strides=(16, 32), **FACES), (1, 60, 2), (1, 60, 4))
    assert [(g.rows, g.box.offset, g.box.row) for g in rows.groups] == [
        (24, 0, 8), (24, 4, 8), (6, 192, 8), (6, 196, 8)
    ]  # fmt: skip
    own = layout(Head("ssd", ("class", "class", "box", "box"), strides=(16, 32), **FACES),
                 (1, 4, 6, 4), (1, 2, 3, 4), (1, 4, 6, 8), (1, 2, 3, 8))  # fmt: skip
    assert own.classes == 2
    assert [(g.classes.offset, g.box.offset) for g in own.groups] == [(0, 0), (2, 4), (0, 0), (2, 4)]


def test_bins_widen_the_box():
    found = layout(Head("yolo", ("box class:sigmoid",), strides=(16,), bins=16), (1, 4, 6, 64 + 3))
    assert (found.classes, found.groups[0].classes.offset) == (3, 64)


GOOD = Head("yolo", ("box class:sigmoid",), strides=(16,))
REFUSED = {
    "kind": "kind 'retina'",
    "box_order": "box order 'wxyz'",
    "strides": "strides",
    "no strides": "needs strides",
    "columns": "are not box, object and class",
    "twice": "are not box, object and class",
    "activation": "known activations",
    "empty": "without columns",
    "too few": "describes 0 outputs",
    "no class": "class columns",
    "no box": "0 of 1 groups have box columns",
    "nan": "not a number",
    "infinite": "not a number",
    "scales": "3 scales",
    "threshold": "not between 0 and 1",
    "bins": "bins is 65",
    "bins of another": "only kind 'yolo' has bins",
    "max_boxes": "max_boxes is 0",
    "background": "background is 2",
    "anchors": "has no anchors",
    "counts": "2 anchor counts for 1 strides",
    "many": "anchor counts",
    "ssd": "anchor numbers",
    "rows": "fits neither all levels nor level 0",
}
CHANGES = {
    "kind": {"kind": "retina"},
    "box_order": {"box_order": "wxyz"},
    "strides": {"strides": (0,)},
    "no strides": {"strides": ()},
    "columns": {"columns": ("box score",)},
    "twice": {"columns": ("box box class",)},
    "activation": {"columns": ("box:softmax class",)},
    "empty": {"columns": ("",)},
    "too few": {"columns": ()},
    "no class": {"columns": ("box",)},
    "no box": {"columns": ("class",)},
    "nan": {"iou_threshold": float("nan")},
    "infinite": {"scales": (float("inf"), 1.0, 1.0, 1.0)},
    "scales": {"scales": (1.0, 1.0, 1.0)},
    "threshold": {"score_threshold": 1.5},
    "bins": {"bins": 65},
    "bins of another": {"kind": "yolox", "bins": 2},
    "max_boxes": {"max_boxes": 0},
    "background": {"background": 2},
    "anchors": {"anchors": (1.0, 2.0)},
    "counts": {"anchor_counts": (1, 1)},
    "many": {"anchor_counts": (65,)},
    "ssd": {"kind": "ssd", "anchors": (1.0, 2.0), "strides": ()},
    "rows": {"strides": (8,)},
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_head_that_does_not_fit_is_refused(what):
    columns = 4 if what == "no class" else 7
    words = "columns a row" if what == "no class" else REFUSED[what]
    with pytest.raises(ModelFormatError, match=words):
        layout(GOOD.replace(**CHANGES[what]), (1, 4, 6, columns + (what == "no class")))


def test_outputs_of_other_types_are_refused():
    for tensor in (
        output(1, 4, 6, 7, dtype="int32"),
        output(1, 4, 6, 7, dtype="int8"),
        output(1, 4, 6, 7, dtype="int8", quant=Quant((0.5,) * 7, 0, 3)),
        output(1, TOKENS, 7),
        output(),
    ):
        with pytest.raises(ModelFormatError, match="head: output"):
            heads.layout(GOOD, PICTURE, [tensor])


def test_a_head_needs_one_picture():
    for shapes in ([], [(1, 4, 6, 3)] * 2, [(1, 10)], [(1, TOKENS, 6, 3)]):
        with pytest.raises(ModelFormatError, match="not one picture"):
            heads.layout(GOOD, shapes, [output(1, 4, 6, 7)])


def test_two_outputs_may_not_have_the_same_columns():
    with pytest.raises(ModelFormatError, match="two outputs have the box columns of level 0"):
        layout(GOOD.replace(columns=("box class", "box class")), (1, 4, 6, 7), (1, 4, 6, 7))


def test_levels_must_agree_on_the_number_of_classes():
    head = Head("yolo", ("box class", "box class"), strides=(16, 32))
    with pytest.raises(ModelFormatError, match=r"different numbers of classes: \[3, 4\]"):
        layout(head, (1, 4, 6, 7), (1, 2, 3, 8))


def test_validate_checks_the_head():
    graph = tiny.colour_detector(strides=(8,))
    with pytest.raises(ModelFormatError, match="head: output 'cells'"):
        opset.validate(graph)
