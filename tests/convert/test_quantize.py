"""Float graphs become int8 graphs that mean the same, and run in every tier as the simulation says."""

import float_nets as nets
import numpy as np
import pytest

import edgert
from edgert import opset
from edgert.convert import evaluate
from edgert.convert.quantize import batches, functions, observers, quantize
from edgert.convert.quantize.recipe import quant_of
from edgert.format import writer


def words_of(array, tensor):
    """float array -> the words of an int8 tensor."""
    scale, zero_point = tensor.quant.scale[0], tensor.quant.zero_point
    return np.clip(np.rint(array / np.float32(scale)) + zero_point, -128, 127).astype(np.int8)


def reals_of(array, tensor):
    if tensor.dtype == "float32":
        return array
    return (array.astype(np.float32) - tensor.quant.zero_point) * tensor.quant.scale[0]


def answers(int8, data):
    """The int8 graph's outputs for float samples, as real numbers: one array per output."""
    given = [tuple(words_of(a, int8.tensors[i]) for a, i in zip(sample, int8.inputs)) for sample in data]
    return [reals_of(out, int8.tensors[i]) for out, i in zip(batches.outputs(int8, given), int8.outputs)]


def sqnr_db(wanted, got):
    return 10 * np.log10((wanted**2).mean() / ((wanted - got) ** 2).mean())


@pytest.mark.parametrize("make", [nets.classifier, nets.copying, nets.silu_net])
@pytest.mark.parametrize("observer", list(observers.RANGES))
def test_an_int8_graph_means_what_the_float_one_means(make, observer):
    graph = make()
    int8, _ = quantize(graph, nets.inputs(graph, 48), observer=observer)
    opset.validate(int8)
    data = nets.inputs(graph, 16, seed=2)
    for wanted, got in zip(batches.outputs(graph, data), answers(int8, data)):
        assert sqnr_db(wanted, got) > (20 if observer in ("kl", "gain") else 27)


def test_nothing_is_left_in_float():
    for make in (nets.classifier, nets.copying, nets.silu_net):
        graph = make()
        int8, record = quantize(graph, nets.inputs(graph))
        assert {int8.tensors[i].dtype for node in int8.nodes for i in node.outputs} == {"int8"}
        assert not [step for step in record.steps if "float32" in step]


@pytest.mark.parametrize("make", [nets.classifier, nets.copying, nets.silu_net])
def test_kernels_give_exactly_what_the_simulation_says(make):
    graph = make()
    int8, _ = quantize(graph, nets.inputs(graph))
    model = edgert.load(writer.to_bytes(int8))
    data = [tuple(words_of(a, int8.tensors[i]) for a, i in zip(s, int8.inputs)) for s in nets.inputs(graph, 9, seed=3)]
    simulated = batches.outputs(int8, data)[0]
    assert all((model(*sample)[0] == out).all() for sample, out in zip(data, simulated))


@pytest.mark.parametrize("make", [nets.classifier, nets.copying, nets.silu_net])
def test_samples_side_by_side_answer_as_one_by_one(make):
    graph = make()
    data = nets.inputs(graph, 5)
    assert batches.widened(graph, 5) is not None
    together = batches.outputs(graph, data)[0]
    alone = np.concatenate([evaluate.graph(graph, sample)[0] for sample in data])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)  # BLAS may sum larger matrices in another order


def test_samples_that_a_node_would_mix_run_one_by_one():
    b = nets.builder()
    b.tensor("x", "float32", (1, 4, 6))
    b.tensor("turned", "float32", (4, 1, 6))
    b.node("transpose", "x", "turned", perm=(1, 0, 2))
    nets.linear(b, "turned", "out", 6, 3)
    b.tensors[-1] = b.tensors[-1].replace(shape=(4, 1, 3))
    graph = b.graph(["x"], ["out"])
    assert batches.widened(graph, 2) is None
    assert batches.outputs(graph, nets.inputs(graph, 3))[0].shape == (12, 1, 3)


def test_ops_that_move_words_share_one_scale():
    graph = nets.copying()
    int8, _ = quantize(graph, nets.inputs(graph))
    quant = {tensor.name: tensor.quant for tensor in int8.tensors}
    assert quant["a"] == quant["padded"] == quant["larger"] == quant["joined"] == quant["part"] == quant["b"]
    assert quant["last"] == quant["turned"] != quant["part"]


def test_a_silu_in_two_nodes_is_one_table():
    graph = nets.silu_net()
    int8, _ = quantize(graph, nets.inputs(graph))
    one, _ = quantize(nets.silu_net(alone=True), nets.inputs(graph))
    assert [node.op for node in int8.nodes] == ["conv2d", "lookup", "conv2d"] == [node.op for node in one.nodes]
    assert writer.to_bytes(one.replace(metadata=int8.metadata)) == writer.to_bytes(int8)


def test_a_function_of_two_tensors_is_none():
    b = nets.builder()
    b.tensor("x", "float32", (1, 4))
    b.tensor("y", "float32", (1, 4))
    b.tensor("gate", "float32", (1, 4))
    b.node("unary", "y", "gate", function="sigmoid")
    b.tensor("out", "float32", (1, 4))
    b.node("mul", ["x", "gate"], "out")
    graph = b.graph(["x", "y"], ["out"])
    assert list(functions.find(graph)) == [b.index["gate"]]
    int8, _ = quantize(graph, nets.inputs(graph))
    assert [node.op for node in int8.nodes] == ["lookup", "mul"]


def test_pictures_lose_nothing_on_their_way_into_words():
    graph = nets.classifier()
    int8, _ = quantize(graph, nets.inputs(graph, low=0.2, high=0.7))
    quant = int8.tensors[int8.inputs[0]].quant
    assert quant.zero_point == -128
    assert quant.scale[0] == np.float32(1 / 255)


def test_scores_end_in_steps_of_a_256th():
    graph = nets.classifier()
    int8, _ = quantize(graph, nets.inputs(graph))
    quant = int8.tensors[int8.outputs[0]].quant
    assert (quant.scale, quant.zero_point) == ((1 / 256,), -128)


def test_results_of_different_range_are_joined_in_float():
    b = nets.builder()
    b.tensor("x", "float32", (1, 8, 8, 3))
    nets.conv(b, "x", "boxes", 3, 4, 8, k=1)
    nets.conv(b, "x", "logits", 3, 2, 8, k=1)
    b.tensor("scores", "float32", (1, 8, 8, 2))
    b.node("unary", "logits", "scores", function="sigmoid")
    b.tensor("large", "float32", (1, 8, 8, 4))
    b.tensor("hundred", "float32", (1,), data=[100.0])
    b.node("mul", ["boxes", "hundred"], "large")
    b.tensor("out", "float32", (1, 8, 8, 6))
    b.node("concat", ["large", "scores"], "out", axis=3)
    graph = b.graph(["x"], ["out"])
    data = nets.inputs(graph)
    int8, record = quantize(graph, data)
    wanted, got = batches.outputs(graph, data)[0], answers(int8, data)[0]
    assert int8.tensors[int8.outputs[0]].dtype == "float32"
    assert sqnr_db(wanted[..., 4:], got[..., 4:]) > 30
    assert any("float32" in step for step in record.steps)
    coarse, _ = quantize(graph, data, outputs="int8")
    assert sqnr_db(wanted[..., 4:], answers(coarse, data)[0][..., 4:]) < 15


def test_what_has_no_int8_form_stays_in_float():
    b = nets.builder()
    b.tensor("x", "float32", (1, 6))
    nets.linear(b, "x", "first", 6, 8)
    b.tensor("log", "float32", (1, 8))
    b.node("log_softmax", "first", "log")
    nets.linear(b, "log", "out", 8, 3)
    graph = b.graph(["x"], ["out"])
    int8, record = quantize(graph, nets.inputs(graph, 300))
    assert [node.op for node in int8.nodes] == ["linear", "dequantize", "log_softmax", "quantize", "linear"]
    data = nets.inputs(graph, seed=2)
    assert sqnr_db(batches.outputs(graph, data)[0], answers(int8, data)[0]) > 25
    assert record.steps


def test_a_dead_channel_with_a_large_bias_does_not_overflow():
    b = nets.builder()
    b.tensor("x", "float32", (1, 4))
    b.tensor("weight", "float32", (2, 4), data=[[1, -1, 2, 0.5], [0, 0, 0, 1e-20]])
    b.tensor("bias", "float32", (2,), data=[0.0, 5.0])
    b.tensor("out", "float32", (1, 2))
    b.node("linear", ["x", "weight", "bias"], "out")
    graph = b.graph(["x"], ["out"])
    data = nets.inputs(graph)
    int8, _ = quantize(graph, data)
    np.testing.assert_allclose(answers(int8, data)[0][:, 1], 5.0, atol=0.05)


def test_the_same_data_gives_the_same_file():
    graph = nets.classifier()
    first, second = (writer.to_bytes(quantize(graph, nets.inputs(graph))[0]) for _ in range(2))
    assert first == second


def test_zero_is_always_a_word():
    for low, high in ((-1.0, 3.0), (0.5, 2.0), (-7.0, -2.0), (0.0, 0.0), (-1e-30, 1e-30)):
        quant = quant_of(low, high)
        assert -128 <= quant.zero_point <= 127
        assert quant.scale[0] > 0


def test_observers_cut_outliers_off():
    seen = observers.Observer()
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (100, 1000)).astype(np.float32)
    values[0, 0] = 1000.0
    seen.see(values)
    assert observers.minmax(seen)[1] == 1000.0
    assert observers.percentile(seen)[1] < 6
    for rule in (observers.mse, observers.kl):
        low, high = rule(seen)
        assert seen.low <= low < 0 < high < 1000


def test_an_observers_histogram_keeps_every_value_as_the_range_grows():
    seen = observers.Observer()
    for scale in (1e-3, 1.0, 50.0):
        seen.see(np.linspace(-scale, scale, 1000, dtype=np.float32).reshape(10, 100))
    values, counts = seen.values()
    assert counts.sum() == 3000
    assert abs(values).max() <= seen.limit
    assert (seen.low, seen.high) == (-50.0, 50.0)
