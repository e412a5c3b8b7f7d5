"""validate(): each promise the kernels rely on, broken one at a time, is one named error with the numbers in it."""

import pytest

from edgert import opset
from edgert.errors import ModelFormatError
from edgert.graph import TOKENS, Graph, Metadata, Node, Preprocess, Quant, Tensor
from edgert.kernels import reference

Q = Quant((0.5,), 3)
PER_CHANNEL = Quant((0.25, 0.5), 0, 0)


def small_graph():
    """x -> conv2d -> add with x's first two channels -> softmax."""
    tensors = (
        Tensor("x", "int8", (1, 4, 4, 2), Q),
        Tensor("weight", "int8", (2, 3, 3, 2), PER_CHANNEL, bytes(36)),
        Tensor("bias", "int32", (2,), None, bytes(8)),
        Tensor("conv", "int8", (1, 4, 4, 2), Q),
        Tensor("sum", "int8", (1, 4, 4, 2), Quant((1.0,), -1)),
        Tensor("out", "int8", (1, 4, 4, 2), Quant((0.00390625,), -128)),
    )
    pads = {"pad_top": 1, "pad_bottom": 1, "pad_left": 1, "pad_right": 1, "clamp_min": 3}
    nodes = (
        Node("conv2d", (0, 1, 2), (3,), pads, "stem"),
        Node("add", (3, 0), (4,), {}, "skip"),
        Node("softmax", (4,), (5,), {"beta": 1.0}, "head"),
    )
    return Graph("small", tensors, nodes, (0,), (5,))


def with_tensor(graph, index, **changes):
    tensors = list(graph.tensors)
    tensors[index] = tensors[index].replace(**changes)
    return graph.replace(tensors=tuple(tensors))


def with_node(graph, index, **changes):
    nodes = list(graph.nodes)
    nodes[index] = nodes[index].replace(**changes)
    return graph.replace(nodes=tuple(nodes))


def with_attrs(graph, index, **attrs):
    return with_node(graph, index, attrs={**graph.nodes[index].attrs, **attrs})


def test_a_good_graph_passes():
    opset.validate(small_graph())
    opset.validate(with_node(small_graph(), 0, inputs=(0, 1)))
    opset.validate(with_node(small_graph(), 0, inputs=(0, 1, -1)))


WRONG = {
    # tensors
    "two tensors of one name": (lambda g: with_tensor(g, 3, name="x"), r"tensor 3 'x' has no name of its own"),
    "no name": (lambda g: with_tensor(g, 3, name=""), r"tensor 3 '' has no name"),
    "unknown dtype": (lambda g: with_tensor(g, 0, dtype="int4"), r"tensor 0 'x' has unknown dtype 'int4'"),
    "rank above 6": (lambda g: with_tensor(g, 0, shape=(1,) * 7), r"'x' has shape .* more than 6 dimensions"),
    "dimension 0": (lambda g: with_tensor(g, 0, shape=(1, 0, 4, 2)), r"'x' has shape \(1, 0, 4, 2\).*not in 1\.\."),
    "negative dimension": (lambda g: with_tensor(g, 0, shape=(1, -4, 4, 2)), r"not in 1\.\."),
    "dimension of another type": (lambda g: with_tensor(g, 0, shape=(1, 4.0, 4, 2)), r"not in 1\.\."),
    "dimension 2**31": (lambda g: with_tensor(g, 0, shape=(1, 2**31, 4, 2)), r"not in 1\.\.2147483647"),
    "more bytes than allowed": (
        lambda g: with_tensor(g, 0, shape=(2**20, 2**20, 2)),
        r"2199023255552 bytes, more than",
    ),
    "data too short": (lambda g: with_tensor(g, 1, data=bytes(35)), r"'weight' has 35 bytes of data.*needs 36"),
    "data too long": (lambda g: with_tensor(g, 2, data=bytes(9)), r"'bias' has 9 bytes of data.*needs 8"),
    "constant state": (lambda g: with_tensor(g, 1, state=True), r"'weight' is a constant and a state"),
    "symbolic constant": (lambda g: with_tensor(g, 1, shape=(2, 3, 3, TOKENS)), r"'weight' has shape .*'tokens'"),
    "two symbolic dimensions": (lambda g: with_tensor(g, 0, shape=(1, TOKENS, TOKENS, 2)), r"'x' has shape .*'tokens'"),
    # quantisation
    "scale 0": (lambda g: with_tensor(g, 0, quant=Quant((0.0,))), r"'x' has scale 0\.0 at 0"),
    "negative scale": (lambda g: with_tensor(g, 0, quant=Quant((-0.5,))), r"'x' has scale -0\.5 at 0"),
    "NaN scale": (lambda g: with_tensor(g, 1, quant=Quant((0.5, float("nan")), 0, 0)), r"'weight' has scale nan at 1"),
    "infinite scale": (
        lambda g: with_tensor(g, 1, quant=Quant((0.5, float("inf")), 0, 0)),
        r"'weight' has scale inf at 1",
    ),
    "scale beyond float32": (lambda g: with_tensor(g, 0, quant=Quant((1e39,))), r"'x' has scale 1e\+39 at 0"),
    "scale not a float32": (lambda g: with_tensor(g, 0, quant=Quant((0.1,))), r"'x' has scale 0\.1 at 0"),
    "no scale": (lambda g: with_tensor(g, 0, quant=Quant(())), r"'x' has 0 scales"),
    "scales without axis": (lambda g: with_tensor(g, 0, quant=Quant((0.5, 0.5))), r"'x' has 2 scales and no axis"),
    "scales of another length": (lambda g: with_tensor(g, 1, quant=Quant((0.5,) * 3, 0, 0)), r"3 scales along axis 0"),
    "axis outside": (lambda g: with_tensor(g, 1, quant=Quant((0.5, 0.5), 0, 4)), r"scales along axis 4"),
    "zero point with axis": (lambda g: with_tensor(g, 1, quant=Quant((0.5, 0.5), 1, 0)), r"zero point 1, not 0"),
    "zero point outside": (
        lambda g: with_tensor(g, 0, quant=Quant((0.5,), 128)),
        r"'x' has zero point 128, outside int8",
    ),
    "zero point of another type": (
        lambda g: with_tensor(g, 0, quant=Quant((0.5,), 3.0)),
        r"zero point 3\.0, outside int8",
    ),
    "quantised float": (
        lambda g: g.replace(tensors=(*g.tensors, Tensor("extra", "float32", (1,), Q))),
        r"'extra' float32 tensors have no quantisation",
    ),
    "int8 without quantisation": (lambda g: with_tensor(g, 3, quant=None), r"'stem'.*'conv' has no quantisation"),
    "weights along another axis": (
        lambda g: with_tensor(g, 1, quant=Quant((0.5, 0.5), 0, 3)),
        r"'weight' is quantised along axis 3, not 0",
    ),
    "activation per channel": (
        lambda g: with_tensor(g, 0, quant=Quant((0.5, 0.5), 0, 3)),
        r"'x' is quantised along axis 3, needs one scale",
    ),
    "multiplier too large": (
        lambda g: with_tensor(g, 3, quant=Quant((2.0**-70,))),
        r"'stem'.*multiplier of 2\.951e\+20",
    ),
    # ends of the graph
    "no outputs": (lambda g: g.replace(outputs=()), r"the graph has no outputs"),
    "output index": (lambda g: g.replace(outputs=(6,)), r"outputs name tensor 6, there are 6"),
    "negative output": (lambda g: g.replace(outputs=(-1,)), r"outputs name tensor -1"),
    "input index": (lambda g: g.replace(inputs=(2**40,)), r"inputs name tensor 1099511627776"),
    "input twice": (lambda g: g.replace(inputs=(0, 0)), r"input tensor 'x' is a constant, a state or listed twice"),
    "constant input": (lambda g: g.replace(inputs=(0, 1)), r"input tensor 'weight' is a constant"),
    "output not computed": (lambda g: g.replace(outputs=(0,)), r"output tensor 'x' is not computed by any node"),
    # wiring
    "input nobody gives": (lambda g: g.replace(inputs=()), r"node 0 'stem' .*'x' is not there yet: nothing gives it"),
    "cycle": (lambda g: with_node(g, 0, inputs=(4, 1, 2)), r"'sum' is not there yet: node 1 gives it \(a cycle"),
    "own output as input": (lambda g: with_node(g, 1, inputs=(3, 4)), r"'sum' is not there yet: node 1 gives it"),
    "wrong order": (lambda g: g.replace(nodes=g.nodes[::-1]), r"node 0 'head' .*'sum' is not there yet: node 1"),
    "two producers": (lambda g: with_node(g, 1, outputs=(3,)), r"node 1 'skip' .*output 'conv' is also"),
    "output is an input": (lambda g: with_node(g, 1, outputs=(0,)), r"output 'x' is also an input"),
    "output is a constant": (lambda g: with_node(g, 1, outputs=(1,)), r"output 'weight' is also an input, a constant"),
    "tensor index": (lambda g: with_node(g, 1, inputs=(3, 6)), r"'skip' .*its inputs name tensor 6, there are 6"),
    "absent where needed": (lambda g: with_node(g, 1, inputs=(3, -1)), r"its inputs name tensor -1"),
    "output index of a node": (lambda g: with_node(g, 1, outputs=(-1,)), r"its outputs name tensor -1"),
    "too few inputs": (lambda g: with_node(g, 1, inputs=(3,)), r"has 1 inputs, takes 2 to 2"),
    "too many inputs": (lambda g: with_node(g, 1, inputs=(3, 0, 0)), r"has 3 inputs, takes 2 to 2"),
    "two outputs": (lambda g: with_node(g, 1, outputs=(4, 5)), r"has 2 outputs, gives 1"),
    "unknown op": (lambda g: with_node(g, 1, op="frobnicate"), r"node 1 'skip' .*op 'frobnicate' is unknown"),
    # attributes
    "unknown attribute": (
        lambda g: with_attrs(g, 1, axis=1),
        r"'skip' .*attribute 'axis' is unknown; it takes clamp_min",
    ),
    "attribute type": (lambda g: with_attrs(g, 0, stride_h=1.0), r"attribute 'stride_h' is 1\.0, needs a int"),
    "bool for int": (lambda g: with_attrs(g, 0, stride_h=True), r"attribute 'stride_h' is True, needs a int"),
    "stride 0": (lambda g: with_attrs(g, 0, stride_h=0), r"attribute 'stride_h' is 0, outside 1\.\."),
    "negative pad": (lambda g: with_attrs(g, 0, pad_top=-1), r"attribute 'pad_top' is -1, outside 0\.\."),
    "huge dilation": (lambda g: with_attrs(g, 0, dilation_w=2**63), r"attribute 'dilation_w' is 9223372036854775808"),
    "infinite beta": (lambda g: with_attrs(g, 2, beta=float("inf")), r"attribute 'beta' is inf, not a finite"),
    "negative beta": (lambda g: with_attrs(g, 2, beta=-1.0), r"beta is -1\.0, not a positive"),
    "missing attribute": (lambda g: with_node(g, 2, op="arg_max", attrs={}), r"attribute 'axis' is missing"),
    "clamp outside the type": (
        lambda g: with_attrs(g, 0, clamp_max=200),
        r"clamp_max is 200, needs an int in -128\.\.127",
    ),
    "clamp of another type": (lambda g: with_attrs(g, 0, clamp_max=6.0), r"clamp_max is 6\.0, needs an int"),
    "clamp crossed": (lambda g: with_attrs(g, 0, clamp_max=2), r"clamp_min 3 is above clamp_max 2"),
    # shapes and types
    "declared shape": (
        lambda g: with_attrs(g, 0, stride_h=2),
        r"output 'conv' is declared \(1, 4, 4, 2\), the op gives \(1, 2, 4, 2\)",
    ),
    "groups": (lambda g: with_attrs(g, 0, groups=2), r"in 2 groups does not fit the 2 channels"),
    "window beyond picture": (
        lambda g: with_attrs(g, 0, dilation_h=3),
        r"the window spans 7 but the padded height is 6",
    ),
    "bias length": (
        lambda g: with_tensor(g, 2, shape=(3,), data=bytes(12)),
        r"'stem'.*bias has shape \(3,\), needs \(2,\)",
    ),
    "computed weights": (
        lambda g: with_tensor(g, 1, data=None).replace(inputs=(0, 1)),
        r"'weight' must be a constant",
    ),
    "bias dtype": (lambda g: with_tensor(g, 2, dtype="int64", data=bytes(16)), r"'bias' is int64, needs int32"),
    "output dtype": (lambda g: with_tensor(g, 3, dtype="int16"), r"'conv' is int16, needs int8"),
    "broadcast": (lambda g: with_tensor(g, 0, shape=(1, 3, 4, 2)), r"padded|declared|broadcast"),
    # metadata
    "golden count": (
        lambda g: g.replace(metadata=Metadata(golden=(((), (bytes(32),)),))),
        r"golden vector 0: its inputs are 0 arrays, the graph has 1",
    ),
    "golden size": (
        lambda g: g.replace(metadata=Metadata(golden=(((bytes(32),), (bytes(31),)),))),
        r"golden vector 0: its outputs hold 31 bytes for 'out', which has 32",
    ),
    "preprocess std": (
        lambda g: g.replace(metadata=Metadata(preprocess=Preprocess(std=(0.0,)))),
        r"preprocessing std \(0\.0,\) has a zero",
    ),
    "preprocess mean": (
        lambda g: g.replace(metadata=Metadata(preprocess=Preprocess(mean=(float("nan"),)))),
        r"preprocessing mean \(nan,\) is not",
    ),
    "preprocess channels": (
        lambda g: g.replace(metadata=Metadata(preprocess=Preprocess("CMYK"))),
        r"preprocessing 'CMYK', 'stretch' is unknown",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_validate_refuses(wrong):
    change, message = WRONG[wrong]
    with pytest.raises(ModelFormatError, match=message):
        opset.validate(change(small_graph()))


def one_op(op, inputs, output, attrs=None):
    """A graph of one op. inputs, output: Tensor."""
    given = tuple(i for i, tensor in enumerate(inputs) if tensor.data is None)
    node = Node(op, tuple(range(len(inputs))), (len(inputs),), attrs or {}, "it")
    return Graph("one", (*inputs, output), (node,), given, (len(inputs),))


def i8(name, *shape, scale=0.5, zero_point=0, data=None):
    return Tensor(name, "int8", shape, Quant((scale,), zero_point), data)


def f32(name, *shape):
    return Tensor(name, "float32", shape)


def i32(name, *shape, words=None):
    data = None if words is None else b"".join([word.to_bytes(4, "little", signed=True) for word in words])
    return Tensor(name, "int32", shape, None, data)


WRONG_OPS = {
    "accumulator": (
        one_op("linear", [i8("x", 1, 65_794, zero_point=-128), i8("w", 1, 65_794, data=bytes(65_794))], i8("y", 1, 1)),
        r"a sum of 65794 products can reach 2147516160, int32 ends at 2147483647",
    ),
    "accumulator with weight zero point": (
        one_op(
            "linear",
            [i8("x", 1, 33_026, zero_point=127), i8("w", 1, 33_026, zero_point=127, data=bytes(33_026))],
            i8("y", 1, 1),
        ),
        r"a sum of 33026 products can reach 2147515650",
    ),
    "reduction": (
        one_op(
            "reduce", [i8("x", 8_421_505, zero_point=-128)], i8("y"), {"function": "mean", "axes": (0,), "keep_dims": 0}
        ),
        r"a sum of 8421505 products can reach",
    ),
    "quantisation of a copy": (
        one_op("transpose", [i8("x", 2, 3)], i8("y", 3, 2, scale=0.25), {"perm": (1, 0)}),
        r"words are copied, but 'x' has .* and 'y'",
    ),
    "integer arithmetic with quantisation": (
        one_op("add", [i32("a", 2), Tensor("b", "int32", (2,), Q)], i32("y", 2)),
        r"'b' is plain int32 here and has a quantisation",
    ),
    "int8 floor_div": (one_op("floor_div", [i8("a", 2), i8("b", 2)], i8("y", 2)), r"'a' is int8"),
    "int8 unary": (one_op("unary", [i8("x", 2)], i8("y", 2), {"function": "exp"}), r"'x' is int8, needs float32"),
    "unknown function": (
        one_op("unary", [f32("x", 2)], f32("y", 2), {"function": "gamma"}),
        r"attribute 'function' is 'gamma', not one of relu",
    ),
    "table size": (
        one_op("lookup", [i8("x", 2), i8("t", 255, data=bytes(255))], i8("y", 2)),
        r"shape \(255,\), not \(256,\)",
    ),
    "a table for each of too few channels": (
        one_op("lookup", [i8("x", 2, 3), i8("t", 2, 256, data=bytes(512))], i8("y", 2, 3)),
        r"shape \(2, 256\), not \(256,\) or \(3, 256\)",
    ),
    "computed table": (one_op("lookup", [i8("x", 2), i8("t", 256)], i8("y", 2)), r"the table 't' must be a constant"),
    "pool sees padding only": (
        one_op("max_pool2d", [i8("x", 1, 2, 2, 1)], i8("y", 1, 3, 1, 1), {"kh": 2, "kw": 2, "pad_top": 2}),
        r"a window of 2 starts at row -2 and sees padding only",
    ),
    "pool steps over the end": (
        one_op(
            "avg_pool2d", [i8("x", 1, 2, 2, 1)], i8("y", 1, 2, 1, 1), {"kh": 1, "kw": 2, "stride_h": 3, "pad_bottom": 2}
        ),
        r"a window of 1 starts at row 3",
    ),
    "transposed size": (
        one_op("transpose_conv2d", [i8("x", 1, 2, 2, 1), i8("w", 1, 2, 2, 1, data=bytes(4))], i8("y", 1, 4, 3, 1)),
        r"output height 4 is not in 3\.\.3",
    ),
    "slice outside": (
        one_op("slice", [i8("x", 5)], i8("y", 3), {"begin": (1,), "step": (2,)}),
        r"axis 0 of x \(5,\) is read from 1 to 5 in steps of 2",
    ),
    "slice step 0": (one_op("slice", [i8("x", 5)], i8("y", 3), {"begin": (1,), "step": (0,)}), r"in steps of 0"),
    "reflect beyond": (
        one_op("pad", [i8("x", 3)], i8("y", 6), {"before": (3,), "after": (0,), "mode": "reflect"}),
        r"cannot be padded \(reflect\) by \(3,\)",
    ),
    "pad value": (
        one_op("pad", [i8("x", 3)], i8("y", 4), {"before": (1,), "after": (0,), "value": 0.0}),
        r"value is 0\.0, needs an int",
    ),
    "elements": (one_op("reshape", [i8("x", 2, 3)], i8("y", 7)), r"x \(2, 3\) has 6 elements, the output \(7,\) 7"),
    "permutation": (
        one_op("transpose", [i8("x", 2, 3)], i8("y", 3, 2), {"perm": (1, 1)}),
        r"perm \(1, 1\) is no permutation",
    ),
    "axes order": (
        one_op("reduce", [f32("x", 2, 3)], f32("y"), {"function": "sum", "axes": (1, 0)}),
        r"axes \(1, 0\) are not ascending",
    ),
    "axis": (one_op("arg_max", [f32("x", 2, 3)], i32("y", 2), {"axis": 2}), r"axis 2 is outside x \(2, 3\)"),
    "arg_max dtype": (
        one_op("arg_max", [f32("x", 2, 3)], f32("y", 2), {"axis": 1}),
        r"takes no float32 'x' to float32 'y'",
    ),
    "constant index": (
        one_op("gather", [f32("x", 4), i32("i", 2, words=(0, 4))], f32("y", 2)),
        r"indices 'i' run from 0 to 4, axis 0 has 4",
    ),
    "negative constant index": (
        one_op("gather", [f32("x", 4), i32("i", 1, words=(-1,))], f32("y", 1)),
        r"run from -1 to -1",
    ),
    "gather_nd index": (
        one_op("gather_nd", [f32("x", 4, 2), i32("i", 1, 2, words=(3, 2))], f32("y", 1)),
        r"indices 'i' run from 2 to 2 in axis 1 of \(4, 2\)",
    ),
    "index dtype": (one_op("gather", [f32("x", 4), f32("i", 2)], f32("y", 2)), r"indices 'i' are float32"),
    "both resize rules": (
        one_op(
            "resize",
            [f32("x", 1, 2, 2, 1)],
            f32("y", 1, 4, 4, 1),
            {"mode": "bilinear", "align_corners": 1, "half_pixel_centers": 1},
        ),
        r"exclude each other",
    ),
    "block": (
        one_op("space_to_depth", [f32("x", 1, 3, 4, 1)], f32("y", 1, 1, 2, 4), {"block": 2}),
        r"not cut by block 2",
    ),
    "crops": (
        one_op(
            "batch_to_space",
            [f32("x", 4, 1, 1, 1)],
            f32("y", 1, 2, 2, 1),
            {"block": (2, 2), "before": (1, 0), "after": (1, 0)},
        ),
        r"leaves no whole picture",
    ),
    "dequantize without quantisation": (
        one_op("dequantize", [Tensor("x", "int8", (2,))], f32("y", 2)),
        r"int8 tensor 'x' has no quantisation",
    ),
}


@pytest.mark.parametrize("wrong", WRONG_OPS)
def test_validate_refuses_an_op_with(wrong):
    graph, message = WRONG_OPS[wrong]
    with pytest.raises(ModelFormatError, match=message) as error:
        opset.validate(graph)
    assert f"node 0 'it' ({graph.nodes[0].op}: '" in str(error.value)


def text_graph():
    tensors = (
        i8("x", TOKENS, 8),
        i8("w", 4, 8, data=bytes(32)),
        i8("y", TOKENS, 4),
    )
    return Graph("text", tensors, (Node("linear", (0, 1), (2,), {}, "it"),), (0,), (2,))


def test_the_symbolic_dimension_is_bound_everywhere():
    opset.validate(text_graph())
    bound = opset.bind_tokens(text_graph(), 7)
    assert [tensor.shape for tensor in bound.tensors] == [(7, 8), (4, 8), (7, 4)]
    opset.validate(bound)
    assert opset.bind_tokens(bound, 9) is bound
    with pytest.raises(ModelFormatError, match=r"declared \(5, 4\), the op gives \(3, 4\)"):
        opset.validate(with_tensor(text_graph(), 2, shape=(5, 4)))


def test_a_state_may_be_read_before_it_is_written():
    tensors = (i8("x", 4), i8("cache", 4).replace(state=True), i8("y", 4))
    graph = Graph(
        "s", tensors, (Node("add", (0, 1), (2,), {}, "read"), Node("add", (2, 0), (1,), {}, "write")), (0,), (2,)
    )
    opset.validate(graph)


def test_infer_shape_needs_no_graph():
    assert opset.infer_shape("conv2d", [(1, 5, 5, 3), (7, 3, 3, 3)], {"stride_h": 2}) == (1, 2, 3, 7)
    assert opset.infer_shape("concat", [(1, 2), (1, 3)], {"axis": 1}) == (1, 5)
    assert opset.infer_shape("reshape", [(2, 3)], {}, (6,)) == (6,)


def test_every_op_of_the_table_has_a_reference():
    assert set(opset.OPS) == set(reference.OPS)
