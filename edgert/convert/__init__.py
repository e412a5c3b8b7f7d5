"""Conversion, on the desktop: a trained model in, one edgert model file out.

    graph, draft = edgert.convert.load("detector.onnx")
    edgert.convert.convert("mobilenet.tflite", "model.bin", labels="labels.txt")

    graph = edgert.convert.from_torch(module, (torch.zeros(1, 3, 32, 32),))

Needs the packages `flatbuffers` and `onnx` (pip install 'edgert[convert]'), and `torch` where PyTorch's networks are
converted.
"""

from edgert import opset, optional
from edgert.convert import heads, importers, metadata, passes
from edgert.convert.importers import language as language_models
from edgert.errors import ConversionError, InputError, ModelFormatError

__all__ = ["convert", "from_torch", "load", "tflite"]

LANGUAGE_OPTIONS = ("weights", "kv", "context", "tokenizer", "folder")


def tflite(path, **options):
    """The TFLite model in file `path` as a validated Graph.

    options: name, labels, task, mean, std, channels, resize; `metadata.describe` says what each means.
    Raises: ConversionError, UnsupportedOpError, InputError.
    """
    return load(path, **options)[0]


def convert(path, out, **options):
    """Converts file `path` to the model file `out` (old or new, never half); returns the Graph. Options as `load`."""
    graph, _ = load(path, **options)
    from edgert.format import writer

    writer.write(graph, out)
    return graph


def from_torch(module, example_inputs, name=None, **options):
    """The PyTorch network `module` as a validated float Graph; pictures lie channels last in it (NHWC).

    example_inputs: a tuple of tensors, which fix the shapes of the inputs. The module is exported in eval mode by
    torch.export and left as it was. options: as `tflite`.
    Raises: ConversionError, UnsupportedOpError listing every operator that cannot be expressed, InputError.
    """
    return torch_draft(module, example_inputs, name, **options)[0]


def torch_draft(module, example_inputs, name=None, **options):
    """(Graph, Draft) of a PyTorch network, as `load` gives them of a file; options and errors as `from_torch`."""
    optional.require("torch", "converting PyTorch's networks")
    from edgert.convert.importers.torch import program as torch_program

    source = type(module).__name__
    program = torch_program.export(module, example_inputs, source)
    draft = torch_program.load(program, source, name or source.lower())
    weights = b"".join(tensor.detach().cpu().numpy().tobytes() for tensor in module.state_dict().values())
    return _finished(draft, source, weights, options), draft


def load(path, name=None, shapes=None, **options):
    """(Graph, Draft) of the model in file or folder `path`: TFLite, ONNX, PyTorch's exported program, or a language
    model (Hugging Face's folder, GGUF, llama2.c, nanoGPT). The draft knows what was fused.

    shapes: {input name: sizes} for inputs that an ONNX or PyTorch model leaves open, in the file's order (NCHW).
    options: labels, task, mean, std, channels, resize, score, iou, as `metadata.describe` takes them; head: which of
    `heads.PRESETS` a detector has ("none": none; found where possible). For language models weights, kv, context,
    tokenizer, folder, as `language.Options` and its importers take them.
    Raises: ConversionError, UnsupportedOpError, InputError.
    """
    of_language = {key: options.pop(key) for key in LANGUAGE_OPTIONS if key in options}
    importer = language_models.importer_for(path)
    if importer is not None:
        _refuse({**options, "shapes": shapes}, "a language model")
        return language_models.load(importer, path, name, **of_language)
    of_language.pop("folder", None)
    _refuse(of_language, "this kind of model")
    draft, data = importers.load(path, name, shapes)
    return _finished(draft, path, data, options), draft


def _refuse(options, kind):
    given = [key for key, value in options.items() if value]
    if given:
        raise InputError(f"{given[0]} does not apply to {kind}")


def _finished(draft, source, data, options):
    """The validated Graph of a draft after all passes, with its metadata. data: the source's bytes, for their hash."""
    try:
        opset.validate(draft.finish())  # passes may rely on it as kernels do
        passes.run(draft)
        head, preset = heads.attach(draft, options.pop("head", None)) if _may_detect(options) else (None, None)
        graph = draft.finish()
        opset.validate(graph)
        described = metadata.describe(graph, draft, source, data, head=head, preset=preset, **options)
        graph = graph.replace(metadata=described)
        opset.validate(graph)
    except ModelFormatError as error:
        raise ConversionError(f"{source}: the model does not hold together: {error}") from None
    return graph


def _may_detect(options):
    return options.get("head") is not None or options.get("task") in (None, "detect")
