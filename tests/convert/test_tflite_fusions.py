"""What conversion fuses, on graphs small enough to see why; and that it leaves alone what only looks alike."""

import numpy as np
from conversion import answers, converted, imported, ops
from operator_cases import CASES, ends
from tflite_file import Model

I32 = np.int32
SAME_QUANT = (0.05, -7)


def _fused(model, folder, inputs=("x",), outputs=("out",)):
    """The converted graph, after its answers were found equal to those of the graph before any fusion."""
    data = model.file(list(inputs), list(outputs))
    graph = converted(data, folder)
    for seed in range(3):
        for ours, plain in zip(answers(graph, seed), answers(imported(data), seed), strict=True):
            np.testing.assert_array_equal(ours, plain)
    return graph


def _with_conv(dtype="int8", x=(1, 6, 6, 2), out=(1, 6, 6, 3), name="conv", **options):
    """A model whose tensor `name` is a 3x3 convolution of "padded" (or of "x", if that is its input)."""
    rng = np.random.default_rng(0)
    model = Model()
    quant = () if dtype == "float32" else SAME_QUANT
    if dtype == "float32":
        model.constant("w", rng.normal(0, 1, (out[3], 3, 3, x[3])).astype(np.float32))
    else:
        model.constant("w", rng.integers(-127, 128, (out[3], 3, 3, x[3])).astype(np.int8), 0.01)
    model.tensor("x", dtype, x, *quant)
    model.tensor(name, dtype, out, *quant)
    return model, {"stride_h": 1, "stride_w": 1, **options}


def test_pad_goes_into_every_convolution_that_reads_it(tmp_path):
    model, options = _with_conv(out=(1, 6, 7, 3), padding=1)
    model.constant("pads", np.array([[0, 0], [1, 1], [2, 1], [0, 0]], I32))
    model.tensor("padded", "int8", (1, 8, 9, 2), *SAME_QUANT)
    model.tensor("out", "int8", (1, 6, 7, 3), *SAME_QUANT)
    model.operator("PAD", ["x", "pads"], "padded")
    model.operator("CONV_2D", ["padded", "w"], "conv", **options)
    model.operator("CONV_2D", ["padded", "w"], "out", **options)
    graph = _fused(model, tmp_path, outputs=("conv", "out"))
    assert ops(graph) == ["conv2d", "conv2d"]
    attrs = graph.nodes[0].attrs
    assert [attrs[f"pad_{side}"] for side in ("top", "bottom", "left", "right")] == [1, 1, 2, 1]


def test_pad_with_another_value_or_of_channels_stays(tmp_path):
    for k, (pads, value) in enumerate((([[0, 0], [1, 1], [1, 1], [0, 0]], 3), ([[0, 0], [1, 1], [1, 1], [1, 0]], -7))):
        channels = 2 + pads[3][0]
        model, options = _with_conv(x=(1, 6, 6, channels), padding=1)
        model.tensors[model.index["x"]][0]["shape"] = (1, 6, 6, 2)
        model.constant("pads", np.array(pads, I32))
        model.constant("value", np.int8(value), *SAME_QUANT)
        model.tensor("padded", "int8", (1, 8, 8, channels), *SAME_QUANT)
        model.operator("PADV2", ["x", "pads", "value"], "padded")
        model.operator("CONV_2D", ["padded", "w"], "conv", **options)
        folder = tmp_path / str(k)
        folder.mkdir()
        assert ops(_fused(model, folder, outputs=("conv",))) == ["pad", "conv2d"]


def test_space_to_batch_around_a_convolution_is_dilation(tmp_path):
    model, options = _with_conv("float32", x=(1, 7, 9, 2), out=(1, 7, 9, 3), name="out", padding=1)
    model.constant("block", np.array([2, 3], I32))
    model.constant("pads", np.array([[2, 3], [3, 3]], I32))
    model.constant("crops", np.array([[0, 1], [0, 0]], I32))
    model.tensor("split", "float32", (6, 6, 5, 2))
    model.tensor("conv", "float32", (6, 4, 3, 3))
    model.operator("SPACE_TO_BATCH_ND", ["x", "block", "pads"], "split")
    model.operator("CONV_2D", ["split", "w"], "conv", **options)
    model.operator("BATCH_TO_SPACE_ND", ["conv", "block", "crops"], "out")
    data = model.file(["x"], ["out"])
    graph = converted(data, tmp_path)
    assert ops(graph) == ["conv2d"]
    assert (graph.nodes[0].attrs["dilation_h"], graph.nodes[0].attrs["dilation_w"]) == (2, 3)
    np.testing.assert_allclose(answers(graph)[0], answers(imported(data))[0], atol=1e-4)  # sums in another order


def test_relu_becomes_the_clamp_of_its_producer(tmp_path):
    model, options = _with_conv(fused_activation_function=0)
    model.tensor("out", "int8", (1, 6, 6, 3), *SAME_QUANT)
    model.operator("CONV_2D", ["x", "w"], "conv", **options)
    model.operator("RELU6", "conv", "out")
    graph = _fused(model, tmp_path)
    assert ops(graph) == ["conv2d"]
    assert (graph.nodes[0].attrs["clamp_min"], graph.nodes[0].attrs["clamp_max"]) == (-7, 113)
    assert graph.tensors[graph.outputs[0]].name == "out"


def test_float_relu_becomes_a_clamp_too(tmp_path):
    model, options = _with_conv("float32")
    model.tensor("low", "float32", (1, 6, 6, 3))
    model.tensor("out", "float32", (1, 6, 6, 3))
    model.constant("ceiling", np.float32(2.5))
    model.operator("CONV_2D", ["x", "w"], "conv", **options)
    model.operator("RELU", "conv", "low")
    model.operator("MINIMUM", ["low", "ceiling"], "out")
    graph = _fused(model, tmp_path)
    assert [(node.op, node.attrs["clamp_min"], node.attrs["clamp_max"]) for node in graph.nodes] == [
        ("conv2d", 0.0, 2.5)
    ]


def test_relu_of_what_others_read_stays_a_lookup(tmp_path):
    model, options = _with_conv()
    model.tensor("out", "int8", (1, 6, 6, 3), *SAME_QUANT)
    model.operator("CONV_2D", ["x", "w"], "conv", **options)
    model.operator("RELU", "conv", "out")
    assert ops(_fused(model, tmp_path, outputs=("out", "conv"))) == ["conv2d", "lookup"]


def _chain(*steps, x=("int8", 0.1, 3)):
    """A model of operators in a row: (operator, dtype, scale, zero point, options)."""
    model, previous = Model(), "x"
    model.tensor("x", x[0], (4, 64), *x[1:])
    for k, (op, dtype, scale, zero_point, *options) in enumerate(steps):
        name = "out" if k == len(steps) - 1 else f"t{k}"
        model.tensor(name, dtype, (4, 64), scale, zero_point)
        model.operator(op, [previous, *(options[1:])], name, **(options[0] if options else {}))
        previous = name
    return model


def test_lookups_in_a_row_become_one(tmp_path):
    model = _chain(("LOGISTIC", "int8", 1 / 256, -128), ("QUANTIZE", "int8", 0.005, -100), ("TANH", "int8", 1 / 128, 0))
    assert ops(_fused(model, tmp_path)) == ["lookup"]


def test_a_lookup_that_others_read_is_not_doubled(tmp_path):
    model = _chain(("LOGISTIC", "int8", 1 / 256, -128), ("QUANTIZE", "int8", 0.005, -100))
    model.tensor("out1", "int8", (4, 64), 0.2, 0)
    model.operator("ADD", ["t0", "x"], "out1")
    assert ops(_fused(model, tmp_path, outputs=("out", "out1"))) == ["lookup", "lookup", "add"]


def test_requantisation_to_the_same_disappears(tmp_path):
    model = _chain(("QUANTIZE", "int8", 0.1, 3), ("TANH", "int8", 1 / 128, 0), ("QUANTIZE", "int8", 1 / 128, 0))
    graph = _fused(model, tmp_path)
    assert ops(graph) == ["lookup"]
    assert graph.tensors[graph.outputs[0]].name == "out"


def test_float_island_becomes_one_table(tmp_path):
    """dequantize -> sqrt -> * 3 -> relu6 -> quantize, the table built in float64."""
    model = _chain(
        ("DEQUANTIZE", "float32", None, 0), ("SQRT", "float32", None, 0), ("MUL", "float32", None, 0, {}, "three"),
        ("RELU6", "float32", None, 0), ("QUANTIZE", "int8", 0.03, -128), x=("int8", 0.1, -128),
    )  # fmt: skip
    model.constant("three", np.float32(3))
    graph = converted(model.file(["x"], ["out"]), tmp_path)
    assert ops(graph) == ["lookup"]
    real = np.float64(np.float32(0.1)) * (np.arange(-128, 128) + 128)
    table = np.rint(np.minimum(3 * np.sqrt(real), 6) / np.float64(np.float32(0.03))) - 128
    np.testing.assert_array_equal(
        np.frombuffer(graph.tensors[graph.nodes[0].inputs[1]].data, np.int8), table.clip(-128, 127)
    )


def test_float_product_of_two_becomes_the_integer_operator(tmp_path):
    model = Model()
    for name in ("x", "y"):
        model.tensor(name, "int8", (3, 5), 0.1, 3)
        model.tensor(f"real {name}", "float32", (3, 5))
        model.operator("DEQUANTIZE", name, f"real {name}")
    model.tensor("product", "float32", (3, 5))
    model.tensor("out", "int8", (3, 5), 0.7, -4)
    model.operator("MUL", ["real x", "real y"], "product")
    model.operator("QUANTIZE", "product", "out")
    data = model.file(["x", "y"], ["out"])
    graph = converted(data, tmp_path)
    assert ops(graph) == ["mul"]
    difference = answers(graph)[0].astype(int) - answers(imported(data))[0]
    assert np.abs(difference).max() <= 1


def test_pixels_cast_to_float_and_quantised_need_nothing(tmp_path):
    """MoveNet's start: uint8 pixels are already words of scale 1."""
    model = Model()
    model.tensor("x", "uint8", (1, 4))
    model.tensor("real", "float32", (1, 4))
    model.tensor("words", "int8", (1, 4), 1.0, -128)
    model.tensor("out", "int8", (1, 4), 1 / 128, 0)
    model.operator("CAST", "x", "real")
    model.operator("QUANTIZE", "real", "words")
    model.operator("TANH", "words", "out")
    graph = _fused(model, tmp_path)
    assert ops(graph) == ["lookup"]
    assert graph.tensors[graph.inputs[0]].quant.zero_point == -128


def test_square_written_as_a_product_is_a_lookup(tmp_path):
    model = Model()
    model.tensor("x", "int8", (2, 128), 0.1, 3)
    model.tensor("out", "int8", (2, 128), 1.1, -128)
    model.operator("MUL", ["x", "x"], "out")
    assert ops(_fused(model, tmp_path)) == ["lookup"]


def test_constant_that_stretches_the_result_stays(tmp_path):
    model = Model()
    model.tensor("x", "int8", (1, 3), 0.1, 3)
    model.constant("c", np.full((4, 1), 5, np.int8), 0.1, 0)
    model.tensor("out", "int8", (4, 3), 0.2, 0)
    model.operator("ADD", ["x", "c"], "out")
    assert ops(_fused(model, tmp_path)) == ["add"]


def test_reshapes_in_a_row_and_without_effect_go(tmp_path):
    model = Model()
    model.tensor("x", "int8", (2, 6), 0.1, 3)
    for name, shape in (("a", (12,)), ("b", (2, 6)), ("c", (3, 4))):
        model.tensor(name, "int8", shape, 0.1, 3)
        model.constant(f"{name} shape", np.array(shape, I32))
    model.tensor("out", "int8", (3, 4), 1 / 128, 0)
    for source, name in (("x", "a"), ("a", "b"), ("b", "c")):
        model.operator("RESHAPE", [source, f"{name} shape"], name)
    model.operator("TANH", "c", "out")
    assert ops(_fused(model, tmp_path)) == ["reshape", "lookup"]


def test_what_no_output_needs_is_dropped(tmp_path):
    model = _chain(("TANH", "int8", 1 / 128, 0))
    model.tensor("unused", "int8", (4, 64), 1 / 256, -128)
    model.operator("LOGISTIC", "x", "unused")
    graph = _fused(model, tmp_path)
    assert (ops(graph), len(graph.tensors)) == (["lookup"], 3)


def test_model_without_effect_keeps_a_node(tmp_path):
    """An output must be computed: it cannot be the input itself."""
    model = _chain(("QUANTIZE", "int8", 0.1, 3))
    assert ops(_fused(model, tmp_path)) == ["reshape"]


def test_fusions_are_counted_in_provenance(tmp_path):
    model = CASES["add scalar"]()
    graph = converted(model.file(*ends(model)), tmp_path)
    assert graph.metadata.provenance["fused"] == "1 x binary operator on one operand to lookup"
