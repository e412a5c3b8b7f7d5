"""Channels with a scale of their own around an activation: the same real numbers, and int8 words for all of them."""

import float_nets as nets
import numpy as np
import pytest
from test_quantize import answers, sqnr_db, words_of

import edgert
from edgert.convert import tables
from edgert.convert.quantize import batches, budget, calibrate, channels, quantize, samples
from edgert.convert.quantize.recipe import Recipe
from edgert.format import writer


def loud_and_quiet(read_twice=False, ratio=1e3):
    """conv -> SiLU -> depthwise -> conv, where the channels of the first answer differ in range by `ratio`.

    read_twice: an add reads the SiLU too, so that what it gives must stay as it is.
    """
    b = nets.builder("loud")
    b.tensor("x", "float32", (1, 8, 8, 4))
    nets.conv(b, "x", "first", 4, 8, 8)
    spread = np.logspace(0, np.log10(ratio), 8) * 30 / ratio
    for name, factor in (("first.weight", spread.reshape(8, 1, 1, 1)), ("first.bias", spread)):
        at = b.index[name]
        values = np.frombuffer(b.tensors[at].data, np.float32).reshape(b.tensors[at].shape) * factor
        b.tensors[at] = b.tensors[at].replace(data=values.astype(np.float32).tobytes())
    for name in ("gate", "active", "depth", "sum"):
        b.tensor(name, "float32", (1, 8, 8, 8))
    b.node("unary", "first", "gate", function="sigmoid")
    b.node("mul", ["first", "gate"], "active")
    b.tensor("depth.weight", "float32", (3, 3, 8), data=b.rng.normal(0, 0.5, (3, 3, 8)) / spread)
    pads = dict.fromkeys(("pad_top", "pad_bottom", "pad_left", "pad_right"), 1)
    b.node("depthwise_conv2d", ["active", "depth.weight"], "depth", **pads)
    if read_twice:
        b.node("add", ["active", "depth"], "sum")
    nets.conv(b, "sum" if read_twice else "depth", "last", 8, 4, 8)
    return b.graph(["x"], ["last"])


def plain_state(graph, data):
    seen = calibrate.observe(graph, data)
    return budget.State(graph, seen, Recipe(graph, calibrate.ranges(graph, seen)), data)


@pytest.mark.parametrize("read_twice", [False, True])
def test_real_numbers_stay_what_they_were(read_twice, monkeypatch):
    monkeypatch.setattr(channels, "LEAST_GAIN_DB", -10.0)
    graph = loud_and_quiet(read_twice)
    data = samples.load(graph, nets.inputs(graph, 32))
    state = plain_state(graph, data)
    found = channels.sites(state.graph, state.recipe, state.seen)
    found = [site for site in found if graph.tensors[site.z].name == "first"]
    assert [graph.tensors[site.y].name for site in found] == ["active"]
    assert found[0].layers == (None if read_twice else [3])
    channels.spread(state, found)
    assert len(state.graph.nodes) == len(graph.nodes) + (2 if read_twice else 3)
    wanted = batches.outputs(graph, data)[0]
    np.testing.assert_allclose(batches.outputs(state.graph, data)[0], wanted, rtol=1e-3, atol=1e-3)
    assert not channels.sites(state.graph, state.recipe, state.seen)  # done once is done


def test_what_one_scale_would_lose_is_mended_without_being_asked(monkeypatch):
    graph = loud_and_quiet()
    data, test = nets.inputs(graph, 32), nets.inputs(graph, 16, seed=2)
    monkeypatch.setattr(budget, "LOST_DB", 45.0)
    mended, record = quantize(graph, data)
    assert any("a scale for each of 8 channels of 'first'" in step for step in record.steps)
    monkeypatch.setattr(budget, "LOST_DB", -100.0)
    plain, record = quantize(graph, data)
    assert not any("a scale for each" in step for step in record.steps)
    wanted = batches.outputs(graph, test)[0]
    gain = sqnr_db(wanted, answers(mended, test)[0]) - sqnr_db(wanted, answers(plain, test)[0])
    assert gain > 10
    table = next(mended.tensors[node.inputs[1]] for node in mended.nodes if node.op == "lookup")
    assert table.shape == (8, 256)
    assert {mended.tensors[i].dtype for node in mended.nodes for i in node.outputs} == {"int8"}


def test_kernels_give_what_the_simulation_says_with_a_table_for_each_channel():
    graph = loud_and_quiet()
    data = samples.load(graph, nets.inputs(graph, 32))
    int8, _ = quantize(graph, data, budget="90dB")
    model = edgert.load(writer.to_bytes(int8))
    words = [tuple(words_of(a, int8.tensors[i]) for a, i in zip(sample, int8.inputs)) for sample in data[:8]]
    simulated = batches.outputs(int8, words)[0]
    assert all((np.asarray(model(*sample))[0] == out).all() for sample, out in zip(words, simulated))


def test_the_budget_finds_it_and_goes_on_to_float_nodes_behind_it():
    graph = loud_and_quiet(ratio=30)
    _, record = quantize(graph, nets.inputs(graph, 32), budget="75dB")
    named = [n for n, step in enumerate(record.steps) if step.startswith("scales for each channel at the 4 worst")]
    in_float = [n for n, step in enumerate(record.steps) if "in float (alone it leaves" in step]
    assert named
    assert in_float
    assert named[0] < in_float[0]


def test_constants_that_differ_by_channel_join_the_table():
    """PReLU as a chain: max(x, 0) + slope * min(x, 0)."""
    b = nets.builder()
    b.tensor("x", "float32", (1, 4, 4, 3))
    b.tensor("zero", "float32", (), data=np.zeros(()))
    b.tensor("slopes", "float32", (1, 1, 1, 3), data=[[[[0.1, 0.5, 2.0]]]])
    for name, op, inputs in (
        ("above", "maximum", ["x", "zero"]),
        ("below", "minimum", ["x", "zero"]),
        ("sloped", "mul", ["below", "slopes"]),
        ("out", "add", ["above", "sloped"]),
    ):
        b.tensor(name, "float32", (1, 4, 4, 3))
        b.node(op, inputs, name)
    graph = b.graph(["x"], ["out"])
    int8, _ = quantize(graph, nets.inputs(graph, 32))
    assert [(node.op, int8.tensors[node.inputs[1]].shape) for node in int8.nodes] == [("lookup", (3, 256))]
    data = nets.inputs(graph, 8, seed=2)
    assert sqnr_db(batches.outputs(graph, data)[0], answers(int8, data)[0]) > 35


def test_tables_in_a_row_are_one_whichever_of_them_tells_channels_apart():
    rng = np.random.default_rng(0)
    one, many = rng.integers(-128, 128, 256).astype(np.int8), rng.integers(-128, 128, (3, 256)).astype(np.int8)
    words = np.arange(256)
    for first, second in ((one, many), (many, one), (many, many)):
        joined = tables.compose(first, second)
        for c in range(3):
            a, b = (table if table.ndim == 1 else table[c] for table in (first, second))
            assert (joined[c] == b[a[words].astype(int) + 128]).all()
