"""validate() on the ops that compare, choose and sum up: what each takes, broken one at a time."""

import pytest
from test_opset import f32, i8, one_op

from edgert import opset
from edgert.errors import ModelFormatError
from edgert.graph import Tensor


def plain(dtype, name, *shape):
    return Tensor(name, dtype, shape)


LESS = {"function": "less"}
GOOD = {
    "compare": one_op("compare", [f32("a", 2, 1), f32("b", 3)], plain("bool", "y", 2, 3), LESS),
    "compare integers": one_op("compare", [plain("int64", n, 2) for n in "ab"], plain("bool", "y", 2), LESS),
    "select": one_op("select", [plain("bool", "c", 2, 1), f32("a", 3), f32("b", 1, 1)], f32("y", 2, 3)),
    "select words": one_op("select", [plain("bool", "c", 2), i8("a", 2), i8("b", 2)], i8("y", 2)),
    "pow": one_op("pow", [f32("a", 2), f32("b", 1)], f32("y", 2)),
    "sum": one_op("cumulative_sum", [f32("x", 2, 3)], f32("y", 2, 3), {"axis": 1, "reverse": 1}),
}
BAD = {
    "compare gives bool": (
        one_op("compare", [f32("a", 2), f32("b", 2)], f32("y", 2), LESS),
        "'y' is float32, needs bool",
    ),
    "compare of two types": (
        one_op("compare", [f32("a", 2), plain("int32", "b", 2)], plain("bool", "y", 2), LESS),
        "'b' is int32, needs float32",
    ),
    "compare of words": (
        one_op("compare", [i8("a", 2), i8("b", 2)], plain("bool", "y", 2), LESS),
        "'a' is plain int8 here and has a quantisation",
    ),
    "compare without function": (one_op("compare", [f32("a", 2), f32("b", 2)], plain("bool", "y", 2)), "is missing"),
    "compare by another": (
        one_op("compare", [f32("a", 2), f32("b", 2)], plain("bool", "y", 2), {"function": "like"}),
        "not one of equal",
    ),
    "compare shapes": (one_op("compare", [f32("a", 2), f32("b", 3)], plain("bool", "y", 3), LESS), "do not broadcast"),
    "select by numbers": (one_op("select", [f32("c", 2), f32("a", 2), f32("b", 2)], f32("y", 2)), "needs bool"),
    "select of two types": (
        one_op("select", [plain("bool", "c", 2), f32("a", 2), plain("int64", "b", 2)], f32("y", 2)),
        "'b' is int64, needs float32",
    ),
    "select of two scales": (
        one_op("select", [plain("bool", "c", 2), i8("a", 2), i8("b", 2, scale=0.25)], i8("y", 2)),
        "words are copied",
    ),
    "select of two": (
        one_op("select", [plain("bool", "c", 2), f32("a", 2)], f32("y", 2)),
        "has 2 inputs, takes 3 to 3",
    ),
    "select shape": (
        one_op("select", [plain("bool", "c", 4), f32("a", 3), f32("b", 1)], f32("y", 4)),
        "do not broadcast",
    ),
    "pow of integers": (one_op("pow", [plain("int32", n, 2) for n in "ab"], plain("int32", "y", 2)), "needs float32"),
    "sum of words": (one_op("cumulative_sum", [i8("x", 2)], i8("y", 2), {"axis": 0}), "'x' is int8"),
    "sum axis": (one_op("cumulative_sum", [f32("x", 2)], f32("y", 2), {"axis": 1}), "axis 1 is outside"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_node_passes(name):
    opset.validate(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_a_bad_node_is_named(name):
    graph, words = BAD[name]
    with pytest.raises(ModelFormatError, match=words):
        opset.validate(graph)


def test_an_absent_input_of_three_is_refused():
    graph = GOOD["select"]
    with pytest.raises(ModelFormatError, match="its inputs name tensor -1"):
        opset.validate(graph.replace(nodes=(graph.nodes[0].replace(inputs=(0, 1, -1)),)))
