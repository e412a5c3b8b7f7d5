"""Conversion, on the desktop: a trained model in, one edgert model file out.

    graph = edgert.convert.tflite("mobilenet.tflite")
    edgert.convert.convert("mobilenet.tflite", "model.bin", labels="labels.txt")

Needs the package `flatbuffers` (pip install 'edgert[convert]').
"""

from edgert import opset
from edgert.convert import importers, metadata, passes
from edgert.errors import ConversionError, ModelFormatError

__all__ = ["convert", "load", "tflite"]


def tflite(path, **options):
    """The TFLite model in file `path` as a validated Graph.

    options: name, labels, task, mean, std, channels, resize; `metadata.describe` says what each means.
    Raises: ConversionError, UnsupportedOpError, InputError.
    """
    return load(path, **options)[0]


def convert(path, out, **options):
    """Converts file `path` to the model file `out` (old or new, never half); returns the Graph. Options as `tflite`."""
    graph = tflite(path, **options)
    from edgert.format import writer

    writer.write(graph, out)
    return graph


def load(path, name=None, **options):
    """(Graph, Draft) of the model in file `path`; the draft knows what was fused.

    Raises: ConversionError, UnsupportedOpError, InputError.
    """
    draft, data = importers.load(path, name)
    try:
        opset.validate(draft.finish())  # passes may rely on it as kernels do
        passes.run(draft)
        graph = draft.finish()
        opset.validate(graph)
        described = metadata.describe(graph, draft, path, data, **options)
        graph = graph.replace(metadata=described)
        opset.validate(graph)
    except ModelFormatError as error:
        raise ConversionError(f"{path}: the model does not hold together: {error}") from None
    return graph, draft
