"""Post-training quantisation: a float32 Graph and some typical inputs in, an int8 Graph and a record of it out.

    graph = edgert.convert.tflite("resnet8_float.tflite")
    int8, record = edgert.convert.quantize.quantize(graph, "photos/")

docs/quantisation.md explains every step with a measured example. The simulation is the reference tier, so the accuracy
that is measured here is the accuracy of the kernels.
"""

import os

from edgert import opset
from edgert.convert import metadata, passes
from edgert.convert.quantize import budget as repairs
from edgert.convert.quantize import calibrate, goals, lower, samples
from edgert.convert.quantize.recipe import Recipe
from edgert.convert.quantize.record import Record
from edgert.errors import ConversionError, InputError, ModelFormatError
from edgert.vision import coco

__all__ = ["Record", "quantize"]


def quantize(
    graph, calibration, *, observer="mse", outputs="auto", limit=samples.LIMIT, correct=True, budget=None,
    labelled=None, progress=None,
):  # fmt: skip
    """(int8 Graph, Record) of a validated float32 `graph`; nodes without an int8 form stay in float.

    calibration: a folder of pictures, an .npz file, or an iterable of arrays or tuples of arrays: `samples.load`.
    observer: how ranges are found from the values seen: a key of `observers.RANGES`.
    outputs: "int8", "float32", or "auto", float32 where an output joins results of different range.
    limit: the most calibration samples that are used. correct: whether biases are corrected,
    where that brings the outputs nearer.
    budget: what may be lost: points of accuracy where there are labels, else the least SQNR in dB ("30dB" says so in
    any case); repairs are tried until it holds. labelled: as `calibration`, with labels, for a detector a folder in
    COCO's format; by default the calibration data with its own labels. progress: called with (what, done, of how many).
    Raises: InputError for data that does not fit, ConversionError for a model that cannot be quantised.
    """
    _check_is_float(graph)
    data = samples.load(graph, calibration, limit)
    record = Record({"calibration": data.source, "observer": observer})
    record.warnings += data.notes
    told = progress or (lambda what, done, count: None)
    goal = None if budget is None else _goal(graph, data, budget, labelled, record)
    seen = calibrate.observe(graph, data, lambda done, count: told("calibrating", done, count))
    state = repairs.State(graph, seen, Recipe(graph, calibrate.ranges(graph, seen, observer), outputs), data)
    state = repairs.mended(state, record)
    if goal is not None:
        state = repairs.hold(state, goal, _lower_state, record, told)
    elif correct:
        state = repairs.corrected(state, _lower_state, record, told)
    return finish(state.graph, state.recipe, record), record


def _goal(graph, data, budget, labelled, record):
    """The measure that the budget is held against."""
    text = str(budget).strip().lower()
    in_db = text.endswith("db")
    try:
        number = float(text.removesuffix("db"))
    except ValueError:
        raise InputError(f"budget '{budget}' is neither points like 0.5 nor decibels like 30dB") from None
    if labelled is not None and graph.metadata.head is not None and not in_db:
        pictures = coco.read(os.fspath(labelled), graph.metadata.labels)
        record.settings["budget"] = f"{number:g} points of mAP@0.5 on {len(pictures)} pictures of {labelled}"
        return goals.MeanAveragePrecision(graph, pictures, number)
    test = data if labelled is None else samples.load(graph, labelled, None, labels=True)
    if in_db or (labelled is None and test.labels is None):
        record.settings["budget"] = f"{number:g} dB"
        return goals.Sqnr(graph, data[-goals.SQNR_SAMPLES :], number)
    goals.check_labels(graph, test)
    record.settings["budget"] = f"{number:g} points on {test.source}"
    return goals.Accuracy(graph, test, number)


def finish(graph, recipe, record):
    """The validated int8 Graph of a recipe, with passes run, golden vectors and the record in its metadata."""
    lowered = _lowered(graph, recipe)
    in_float = sum(tensor.dtype == "float32" for tensor in _computed(lowered))
    if in_float:
        record.steps.append(f"{in_float} of {len(lowered.nodes)} nodes give float32")
    return metadata.quantised(lowered, graph.metadata, record.lines())


def _lower_state(state):
    return _lowered(state.graph, state.recipe)


def _lowered(graph, recipe):
    """The validated int8 graph of a recipe."""
    draft = lower.lower(graph, recipe)
    try:
        opset.validate(draft.finish())
        passes.run(draft)
        lowered = draft.finish(graph.metadata.replace(golden=()))
        opset.validate(lowered)
        return lowered
    except ModelFormatError as error:
        raise ConversionError(f"{graph.name}: the quantised model does not hold together: {error}") from None


def _computed(graph):
    return [graph.tensors[i] for node in graph.nodes for i in node.outputs]


def _check_is_float(graph):
    if any(graph.tensors[i].quant is not None for node in graph.nodes for i in node.outputs):
        raise ConversionError(f"{graph.name}: the model is quantised already; calibration applies to float models")
    if not any(tensor.dtype == "float32" for tensor in _computed(graph)):
        raise ConversionError(f"{graph.name}: nothing in the model is float32, so there is nothing to quantise")
