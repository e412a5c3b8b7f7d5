"""Post-training quantisation: a float32 Graph and some typical inputs in, an int8 Graph and a record of it out.

    graph = edgert.convert.tflite("resnet8_float.tflite")
    int8, record = edgert.convert.quantize.quantize(graph, "photos/")

docs/quantisation.md explains every step with a measured example. The simulation is the reference tier, so the accuracy
that is measured here is the accuracy of the kernels.
"""

from edgert import opset
from edgert.convert import metadata, passes
from edgert.convert.quantize import calibrate, lower, samples
from edgert.convert.quantize.recipe import Recipe
from edgert.convert.quantize.record import Record
from edgert.errors import ConversionError, ModelFormatError

__all__ = ["Record", "quantize"]


def quantize(graph, calibration, *, observer="mse", outputs="auto", limit=samples.LIMIT, repair="", progress=None):
    """(int8 Graph, Record) of a validated float32 `graph`; nodes without an int8 form stay in float.

    calibration: a folder of pictures, an .npz file, or an iterable of arrays or tuples of arrays: `samples.load`.
    observer: how ranges are found from the values seen: "minmax", "percentile", "kl" or "mse".
    outputs: "int8", "float32", or "auto", float32 where an output joins results of different range.
    limit: the most calibration samples that are used. progress: called with (what, done, of how many).
    Raises: InputError for calibration data that does not fit, ConversionError for a model that cannot be quantised.
    """
    _check_is_float(graph)
    data = samples.load(graph, calibration, limit)
    record = Record({"calibration": data.source, "observer": observer})
    record.warnings += data.notes
    seen = calibrate.observe(graph, data, progress and (lambda done, count: progress("calibrating", done, count)))
    recipe = Recipe(graph, calibrate.ranges(graph, seen, observer), outputs)
    if repair:
        from edgert.convert.quantize import rebuild
        rebuild.rebuild(graph, recipe, data, fit=repair == "round")
    return finish(graph, recipe, record), record


def finish(graph, recipe, record):
    """The validated int8 Graph of a recipe, with passes run, golden vectors and the record in its metadata."""
    draft = lower.lower(graph, recipe)
    try:
        opset.validate(draft.finish())
        passes.run(draft)
        lowered = draft.finish()
        opset.validate(lowered)
    except ModelFormatError as error:
        raise ConversionError(f"{graph.name}: the quantised model does not hold together: {error}") from None
    in_float = sum(tensor.dtype == "float32" for tensor in _computed(lowered))
    if in_float:
        record.steps.append(f"{in_float} of {len(lowered.nodes)} nodes give float32")
    return metadata.quantised(lowered, graph.metadata, record.lines())


def _computed(graph):
    return [graph.tensors[i] for node in graph.nodes for i in node.outputs]


def _check_is_float(graph):
    if any(graph.tensors[i].quant is not None for node in graph.nodes for i in node.outputs):
        raise ConversionError(f"{graph.name}: the model is quantised already; calibration applies to float models")
    if not any(tensor.dtype == "float32" for tensor in _computed(graph)):
        raise ConversionError(f"{graph.name}: nothing in the model is float32, so there is nothing to quantise")
