"""Graphs of language models that no kernel may meet, each refused with a name."""

import re

import pytest

from edgert import opset
from edgert.errors import ModelFormatError
from edgert.graph import TOKENS, Graph, Node, Quant, Tensor


def f32(name, *shape, data=False):
    tensor = Tensor(name, "float32", shape)
    return tensor.replace(data=bytes(tensor.nbytes)) if data else tensor


def constant(name, dtype, *shape):
    tensor = Tensor(name, dtype, shape)
    return tensor.replace(data=bytes(tensor.nbytes))


def cache(name, dtype, *shape):
    return Tensor(name, dtype, shape, state=True)


POSITION, TOKEN_IDS = Tensor("position", "int32", (1,)), Tensor("tokens", "int32", (TOKENS,))
LINEAR = (f32("x", TOKENS, 64), constant("w", "int8", 8, 64), f32("s", 8, data=True))
INT4 = (f32("x", TOKENS, 64), constant("w", "uint8", 8, 32), f32("s", 8, data=True), None, constant("g", "int8", 8, 2))
KEYS, VALUES = cache("k", "int8", 2, 9, 12), cache("v", "int8", 2, 9, 12)
HEADS = f32("q", TOKENS, 4, 8)


def one_op(op, inputs, output, attrs=None):
    present = [tensor for tensor in inputs if tensor is not None]
    place = iter(range(len(present)))
    indices = tuple(-1 if tensor is None else next(place) for tensor in inputs)
    given = tuple(i for i, t in enumerate(present) if t.data is None and not t.state)
    node = Node(op, indices, (len(present),), attrs or {}, "it")
    return Graph("g", (*present, output), (node,), given, (len(present),))


def changed(inputs, index, tensor):
    return (*inputs[:index], tensor, *inputs[index + 1 :])


OUT = f32("y", TOKENS, 8)
ATTEND = {"scale": 0.5}
WRONG = {
    "depth that differs": ("dynamic_linear", changed(LINEAR, 0, f32("x", TOKENS, 63)), OUT, {}, "63 columns"),
    "weights of no row each": (
        "dynamic_linear",
        changed(LINEAR, 1, constant("w", "int8", 64)),
        OUT,
        {},
        "2 dimensions",
    ),
    "too few scales": ("dynamic_linear", changed(LINEAR, 2, f32("s", 7, data=True)), OUT, {}, "scale has shape (7,)"),
    "computed weights": (
        "dynamic_linear",
        changed(LINEAR, 1, Tensor("w", "int8", (8, 64))),
        OUT,
        {},
        "'w' must be a c",
    ),
    "computed scales": ("dynamic_linear", changed(LINEAR, 2, f32("s", 8)), OUT, {}, "'s' must be a constant"),
    "no scale": ("dynamic_linear", (*LINEAR[:2], None), OUT, {}, "name tensor -1"),
    "weights with a Quant": (
        "dynamic_linear",
        changed(LINEAR, 1, LINEAR[1].replace(quant=Quant((1.0,)))),
        OUT,
        {},
        "quantisation of its own",
    ),
    "int8 activations": (
        "dynamic_linear",
        changed(LINEAR, 0, Tensor("x", "int8", (TOKENS, 64))),
        OUT,
        {},
        "plain float32",
    ),
    "a sum beyond int32": (
        "dynamic_linear",
        (f32("x", TOKENS, 133_001), constant("w", "int8", 1, 133_001), f32("s", 1, data=True)),
        f32("y", TOKENS, 1),
        {},
        "133001 products can leave int32",
    ),
    "an int4 sum beyond int32": (
        "dynamic_linear",
        (
            f32("x", TOKENS, 16_544),
            constant("w", "uint8", 1, 8_272),
            f32("s", 1, data=True),
            None,
            constant("g", "int8", 1, 517),
        ),
        f32("y", TOKENS, 1),
        {},
        "16544 products can leave int32",
    ),
    "half a group": ("dynamic_linear", changed(INT4, 1, constant("w", "uint8", 8, 24)), OUT, {}, "groups of 32"),
    "too few groups": (
        "dynamic_linear",
        changed(INT4, 4, constant("g", "int8", 8, 1)),
        OUT,
        {},
        "group_scale has shape",
    ),
    "int4 words as int8": ("dynamic_linear", changed(INT4, 1, constant("w", "int8", 8, 32)), OUT, {}, "plain uint8"),
    "a bias of another size": ("dynamic_linear", (*LINEAR, f32("b", 7, data=True)), OUT, {}, "bias has shape (7,)"),
    "float token ids": ("embedding", (f32("t", 3), f32("w", 5, 8, data=True)), f32("y", 3, 8), {}, "plain int32"),
    "an int8 table without scales": (
        "embedding",
        (TOKEN_IDS, constant("w", "int8", 5, 8)),
        OUT,
        {},
        "'w' is int8, needs plain float32",
    ),
    "a norm of another width": ("rms_norm", (f32("x", 3, 8), f32("w", 7, data=True)), f32("y", 3, 8), {}, "(7,)"),
    "an epsilon of infinity": (
        "rms_norm",
        (f32("x", 3, 8), f32("w", 8, data=True)),
        f32("y", 3, 8),
        {"epsilon": float("inf")},
        "epsilon",
    ),
    "an unknown gate": ("gate", (f32("x", 3),), f32("y", 3), {"function": "swish"}, "not one of silu"),
    "gates of two shapes": ("gate", (f32("x", 3), f32("z", 4)), f32("y", 3), {"function": "silu"}, "second operand"),
    "an odd rope table": ("rope", (HEADS, f32("t", 9, 7, data=True), POSITION), HEADS, {}, "7 columns"),
    "a rope table wider than a head": ("rope", (HEADS, f32("t", 9, 10, data=True), POSITION), HEADS, {}, "10 columns"),
    "two positions": (
        "rope",
        (HEADS, f32("t", 9, 8, data=True), Tensor("p", "int32", (2,))),
        HEADS,
        {},
        "position has",
    ),
    "a cache that is no state": (
        "cache_append",
        (f32("x", TOKENS, 2, 8), POSITION),
        f32("c", 2, 9, 8),
        {},
        "not a state",
    ),
    "a cache of other heads": (
        "cache_append",
        (f32("x", TOKENS, 3, 8), POSITION),
        cache("c", "float32", 2, 9, 8),
        {},
        "does not fit",
    ),
    "an int8 cache without room for scales": (
        "cache_append",
        (f32("x", TOKENS, 2, 8), POSITION),
        cache("c", "int8", 2, 9, 8),
        {},
        "int8 (heads, context, 12)",
    ),
    "an int16 cache": (
        "cache_append",
        (f32("x", TOKENS, 2, 8), POSITION),
        cache("c", "int16", 2, 9, 8),
        {},
        "heads of 8 numbers take float32",
    ),
    "heads that are not shared evenly": (
        "attention",
        (f32("q", TOKENS, 3, 8), KEYS, VALUES, POSITION),
        f32("y", TOKENS, 3, 8),
        ATTEND,
        "3 heads are not",
    ),
    "heads of 6 numbers": (
        "attention",
        (f32("q", TOKENS, 2, 6), cache("k", "float32", 2, 9, 6), cache("v", "float32", 2, 9, 6), POSITION),
        f32("y", TOKENS, 2, 6),
        ATTEND,
        "multiple of 4",
    ),
    "caches of two lengths": (
        "attention",
        (HEADS, KEYS, cache("v", "int8", 2, 8, 12), POSITION),
        HEADS,
        ATTEND,
        "cache of values has shape",
    ),
    "caches of two types": (
        "attention",
        (HEADS, KEYS, cache("v", "float32", 2, 9, 12), POSITION),
        HEADS,
        ATTEND,
        "needs plain int8",
    ),
    "keys that are computed": (
        "attention",
        (HEADS, f32("k", 2, 9, 8), f32("v", 2, 9, 8), POSITION),
        HEADS,
        ATTEND,
        "'k' is not a state",
    ),
    "no scale of scores": ("attention", (HEADS, KEYS, VALUES, POSITION), HEADS, {}, "'scale' is missing"),
    "a window below zero": (
        "attention",
        (HEADS, KEYS, VALUES, POSITION),
        HEADS,
        {"scale": 1.0, "window": -1},
        "window",
    ),
    "a last row of three dimensions": ("last_row", (HEADS,), f32("y", 1, 4, 8), {}, "2 dimensions"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_validate_refuses(wrong):
    op, inputs, output, attrs, message = WRONG[wrong]
    output = output.replace(name="y")
    with pytest.raises(ModelFormatError, match=re.escape(message)):
        opset.validate(one_op(op, inputs, output, attrs))


def test_what_is_refused_above_is_right_otherwise():
    opset.validate(one_op("dynamic_linear", LINEAR, OUT))
    opset.validate(one_op("dynamic_linear", INT4, OUT))
    opset.validate(one_op("attention", (HEADS, KEYS, VALUES, POSITION), f32("y", TOKENS, 4, 8), ATTEND))


def test_all_rows_need_a_head_that_works_on_rows():
    tensors = (f32("x", TOKENS, 8), f32("last", 1, 8), f32("y", 8))
    nodes = (Node("last_row", (0,), (1,), {}, "last"), Node("reshape", (1,), (2,), {}, "flat"))
    with pytest.raises(ModelFormatError, match="'y' follows the last row and is not one row"):
        opset.with_all_rows(Graph("g", tensors, nodes, (0,), (2,)))
