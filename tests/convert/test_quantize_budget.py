"""Repairs that keep the float answers, and the loop that tries them until a budget holds."""

import json

import float_nets as nets
import numpy as np
import pytest
from PIL import Image
from test_quantize import answers, sqnr_db

from edgert.convert import evaluate
from edgert.convert.quantize import (
    batches,
    budget,
    calibrate,
    effects,
    equalise,
    measure,
    quantize,
    rebuild,
    rounding,
    samples,
    weights,
)
from edgert.convert.quantize.lower import lower
from edgert.convert.quantize.recipe import Recipe
from edgert.errors import InputError
from edgert.graph import Head, Metadata, Preprocess


def uneven():
    """conv -> ReLU -> depthwise -> conv, whose channels differ a thousandfold in range."""
    b = nets.builder("uneven")
    b.tensor("x", "float32", (1, 8, 8, 4))
    nets.conv(b, "x", "first", 4, 8, 8, clamp_min=0.0)
    spread = np.logspace(-2, 1, 8)
    for name, factor in (("first.weight", spread.reshape(8, 1, 1, 1)), ("first.bias", spread)):
        at = b.index[name]
        values = np.frombuffer(b.tensors[at].data, np.float32).reshape(b.tensors[at].shape) * factor
        b.tensors[at] = b.tensors[at].replace(data=values.astype(np.float32).tobytes())
    b.tensor("depth.weight", "float32", (3, 3, 8), data=b.rng.normal(0, 0.5, (3, 3, 8)) / spread)
    b.tensor("depth", "float32", (1, 8, 8, 8))
    pads = dict.fromkeys(("pad_top", "pad_bottom", "pad_left", "pad_right"), 1)
    b.node("depthwise_conv2d", ["first", "depth.weight"], "depth", **pads)
    nets.conv(b, "depth", "last", 8, 4, 8)
    return b.graph(["x"], ["last"])


def test_equalised_layers_answer_alike_and_quantise_better():
    graph, data = uneven(), samples.load(uneven(), nets.inputs(uneven(), 32))
    equal, pairs = equalise.equalise(graph, calibrate.observe(graph, data))
    assert pairs == 2
    wanted = batches.outputs(graph, data)[0]
    np.testing.assert_allclose(batches.outputs(equal, data)[0], wanted, rtol=1e-3, atol=1e-4)
    plain, _ = quantize(graph, data, correct=False)
    better, _ = quantize(equal, data, correct=False)
    assert sqnr_db(wanted, answers(better, data)[0]) > sqnr_db(wanted, answers(plain, data)[0]) + 5


def clamped(low, high):
    graph = uneven()
    nodes = list(graph.nodes)
    nodes[0] = nodes[0].replace(attrs=nodes[0].attrs | {"clamp_min": low, "clamp_max": high})
    return graph.replace(nodes=tuple(nodes))


def test_below_a_clamp_at_six_channels_only_grow():
    graph = clamped(0.0, 6.0)
    data = samples.load(graph, nets.inputs(graph, 32))
    seen = calibrate.observe(graph, data)
    equal, pairs = equalise.equalise(graph, seen)
    assert pairs == 2
    wanted = batches.outputs(graph, data)[0]
    np.testing.assert_allclose(batches.outputs(equal, data)[0], wanted, rtol=1e-3, atol=1e-4)
    first = graph.nodes[0].outputs[0]
    before, after = (each[first].channel_high for each in (seen, calibrate.observe(equal, data)))
    assert (after >= before * 0.999).all()
    assert after.max() <= 6.0
    assert after.min() > before.min() * 5
    plain, _ = quantize(graph, data, correct=False)
    better, _ = quantize(equal, data, correct=False)
    assert sqnr_db(wanted, answers(better, data)[0]) > sqnr_db(wanted, answers(plain, data)[0]) + 3


def test_layers_that_another_clamp_parts_are_left_alone():
    graph = clamped(-1.0, 1.0)
    data = samples.load(graph, nets.inputs(graph))
    assert equalise.equalise(graph, calibrate.observe(graph, data))[1] == 1


@pytest.mark.parametrize("make", [nets.classifier, nets.silu_net, uneven])
def test_corrected_biases_bring_means_back(make):
    graph, data = make(), nets.inputs(make(), 32)
    wanted = batches.outputs(graph, data)[0]
    errors = []
    for correct in (False, True):
        got = answers(quantize(graph, data, correct=correct)[0], data)[0]
        errors.append(np.abs((got - wanted).reshape(-1, wanted.shape[-1]).mean(0)).max())
    assert errors[1] <= errors[0] + 1e-3


def test_fitted_weights_stay_within_one_word_and_answer_better():
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 1, (6, 24)).astype(np.float32)
    x = rng.normal(0, 1, (400, 8)) @ rng.normal(0, 1, (8, 24))  # inputs that depend on each other, as real ones do
    scale = np.full(6, 0.5, np.float32)
    b = nets.builder()
    b.tensor("x", "float32", (1, 24))
    nets.linear(b, "x", "out", 24, 6)
    node = b.nodes[0]
    fitted = rounding.fitted_words(x[np.newaxis], weight, scale, node)
    nearest = weights.words(weight, 0, scale)
    assert (np.abs(fitted - weight / 0.5) <= 1).all()

    def error(words):
        return ((x @ (words * 0.5 - weight).T) ** 2).mean()

    assert error(fitted) < 0.5 * error(nearest)


def test_rebuilding_runs_the_graph_that_is_shipped():
    graph, data = nets.classifier(), nets.inputs(nets.classifier(), 16)
    loaded = samples.load(graph, data)
    recipe = Recipe(graph, calibrate.ranges(graph, calibrate.observe(graph, loaded)))
    assert rebuild.rebuild(graph, recipe, loaded) == 3
    assert set(recipe.rounded) == set(recipe.biases) == {0, 1, 4}


def test_a_budget_in_decibels_names_what_each_step_gave():
    graph, data = uneven(), nets.inputs(uneven(), 64)
    int8, record = quantize(graph, data, budget="36dB")
    assert record.steps[0].startswith("plain: SQNR")
    assert any(step.startswith("equalised layers") for step in record.steps)
    assert any(step.startswith("the budget holds") for step in record.steps)
    assert sqnr_db(batches.outputs(graph, data)[0], answers(int8, data)[0]) > 35


def test_nodes_go_back_to_float_when_nothing_else_helps():
    graph, data = nets.silu_net(), nets.inputs(nets.silu_net(), 48)
    int8, record = quantize(graph, data, budget="90dB")
    assert any("in float (alone it leaves" in step for step in record.steps)
    assert any("the budget does not hold" in step for step in record.steps)
    assert "float32" in {int8.tensors[i].dtype for node in int8.nodes for i in node.outputs}
    assert record.lines()[-1] in int8.metadata.report


def test_what_a_node_costs_alone_is_what_the_whole_graph_says():
    graph = nets.classifier()
    given = nets.inputs(graph, 8, low=0.0, high=1.0)
    data = samples.load(graph, [np.rint(255 * x).astype(np.float32) / np.float32(255) for (x,) in given])
    seen = calibrate.observe(graph, data)
    state = budget.State(graph, seen, Recipe(graph, calibrate.ranges(graph, seen), "float32"), data)
    found = effects.alone(state)
    assert set(found) == {0, 1, 2, 3, 4, 5}
    for at in (0, 2, 4):
        state.recipe.in_float = set(range(len(graph.nodes))) - {at}
        error = measure.Error()
        for sample, words in zip(data, measure.inputs(lower(graph, state.recipe).finish(), data)):
            single = lower(graph, state.recipe).finish()
            error.add(evaluate.graph(graph, sample)[0], evaluate.graph(single, words)[0])
        assert found[at] == pytest.approx(error.db, abs=1e-3)


def test_a_budget_in_points_is_held_on_labelled_samples(tmp_path):
    graph = nets.classifier()
    x = np.concatenate([sample[0] for sample in nets.inputs(graph, 64)])
    y = batches.outputs(graph, [(row[np.newaxis],) for row in x])[0].argmax(1)
    np.savez(tmp_path / "set.npz", x=x, y=y)
    _, record = quantize(graph, tmp_path / "set.npz", budget=2)
    assert record.settings["budget"].startswith("2 points on 64 rows")
    assert any("accuracy" in step for step in record.steps)
    np.savez(tmp_path / "wrong.npz", x=x, y=y + 9)
    with pytest.raises(InputError, match="no class of a model with 5"):
        quantize(graph, tmp_path / "set.npz", budget=2, labelled=tmp_path / "wrong.npz")
    np.savez(tmp_path / "none.npz", x=x)
    with pytest.raises(InputError, match="no labels"):
        quantize(graph, tmp_path / "set.npz", budget=2, labelled=tmp_path / "none.npz")


def test_a_budget_that_is_no_number_is_an_error():
    with pytest.raises(InputError, match="neither points"):
        quantize(nets.classifier(), nets.inputs(nets.classifier()), budget="little")


def test_folders_of_classes_are_labels(tmp_path, colour_pictures):
    graph = nets.classifier(3)
    graph = graph.replace(metadata=graph.metadata.replace(labels=("red", "green", "blue")))
    for name in ("red", "green", "blue"):
        (tmp_path / name).mkdir()
        Image.open(colour_pictures / f"{name}.png").save(tmp_path / name / "1.png")
    loaded = samples.load(graph, tmp_path, None, labels=True)
    assert sorted(loaded.labels) == [0, 1, 2]
    (tmp_path / "pink").mkdir()
    with pytest.raises(InputError, match="'pink' is no class"):
        samples.load(graph, tmp_path, None, labels=True)


def detector():
    """A picture's cells to a box, a certainty and two classes each."""
    b = nets.builder("detector")
    b.tensor("image", "float32", (1, 32, 32, 3))
    nets.conv(b, "image", "stem", 3, 8, 32, stride=2, clamp_min=0.0)
    nets.conv(b, "stem", "deep", 8, 8, 16, stride=2, clamp_min=0.0)
    nets.conv(b, "deep", "out", 8, 7, 8, k=1)
    head = Head("yolox", ("box object:sigmoid class:sigmoid",), strides=(4,))
    return b.graph(
        ["image"], ["out"], Metadata("detect", ("a", "b"), Preprocess("RGB", "stretch", (0.0,), (255.0,)), head=head)
    )


def test_a_detectors_budget_is_held_in_mean_average_precision(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8)
    for n, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / f"{n}.png")
    content = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(3)],
        "categories": [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}],
        "annotations": [{"image_id": n, "category_id": n % 2, "bbox": [4, 4, 20, 20]} for n in range(3)],
    }
    (tmp_path / "instances.json").write_text(json.dumps(content))
    _, record = quantize(detector(), tmp_path, budget=100, labelled=tmp_path)
    assert "100 points of mAP@0.5 on 3 pictures" in record.settings["budget"]
    assert any("the budget holds" in step for step in record.steps)
    content["annotations"][0]["bbox"] = "none"
    (tmp_path / "instances.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="not COCO's format"):
        quantize(detector(), tmp_path, budget=100, labelled=tmp_path)
