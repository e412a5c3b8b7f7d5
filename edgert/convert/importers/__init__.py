"""Importers: one a source format, each `load(data, source, name) -> Draft`. The file's own bytes say which it is."""

import os
import stat

from edgert import optional
from edgert.errors import ConversionError

MAX_FILE_BYTES = 2**33

_EXPORT = "which may run anything when it is read (a PyTorch module is exported by torch.export.save as .pt2)"

# What is recognised, to be refused by its name: (the file's first bytes, what it is)
_FOREIGN = (
    (b"\x89HDF\r\n\x1a\n", "a Keras HDF5 file, which is not supported"),
    (b"PK\x03\x04", "a zip archive (NumPy or Keras v3), which is not supported"),
    *[(b"\x80" + bytes([protocol]), f"a Python pickle, {_EXPORT}") for protocol in range(2, 6)],
    (b"\x89EDGRT\r\n", "an edgert model: it is converted already"),
)
_BY_SUFFIX = {
    ".h5": "a Keras model",
    ".keras": "a Keras model", ".pb": "a TensorFlow graph", ".safetensors": "a safetensors file without config.json",
}  # fmt: skip


def load(path, name=None, shapes=None):
    """(the Draft of the model in file `path`, the file's bytes). shapes: {input name: sizes} where the file has none.

    Raises: ConversionError if it is no readable model, UnsupportedOpError for operators that cannot be expressed.
    """
    path = os.fspath(path)
    data = _read(path)
    source = os.path.basename(path)
    name = name or os.path.splitext(source)[0]
    if data[4:8] == b"TFL3":
        return _tflite().load(data, source, name), data
    if data.startswith(b"PK\x03\x04") and _is_pytorch(data):
        optional.require("torch", "reading PyTorch's files")
        from edgert.convert.importers.torch import file as torch_file

        return torch_file.load(data, source, name, shapes), data
    if source.lower().endswith(".onnx") and not data.startswith(tuple(magic for magic, _ in _FOREIGN)):
        optional.require("onnx", "reading ONNX models")
        from edgert.convert.importers import onnx

        return onnx.load(data, source, name, os.path.dirname(path), shapes), data
    raise ConversionError(
        f"{source}: {_what(source, data)}; what can be converted are TFLite models (.tflite), ONNX models (.onnx), "
        "PyTorch's exported programs (.pt2) and language models (Hugging Face's folders, GGUF, llama2.c, nanoGPT)"
    )


def _tflite():
    try:
        from edgert.convert.importers import tflite
    except ModuleNotFoundError as error:
        if error.name != "flatbuffers":
            raise
        raise ConversionError("TFLite models are read with the package flatbuffers: pip install flatbuffers") from None
    return tflite


def _is_pytorch(data):
    """Whether a zip archive's index names what torch.save and torch.export.save write into each of theirs."""
    return any(name in data[-(2**20) :] for name in (b"/data.pkl", b"/archive_format", b"exported_program.json"))


def _what(source, data):
    for magic, what in _FOREIGN:
        if data.startswith(magic):
            return f"this is {what}"
    suffix = os.path.splitext(source)[1].lower()
    if suffix in _BY_SUFFIX:
        return f"this is {_BY_SUFFIX[suffix]}, which is not supported yet"
    if not data:
        return "the file is empty"
    return "this is no TFLite model: the identifier TFL3 is not at byte 4"


def _read(path):
    """The file's bytes; only of a regular file, so that a FIFO or a device cannot stall or flood the converter."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConversionError(f"{path}: {error.strerror}") from None
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
        os.close(fd)
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else f"no regular file of at most {MAX_FILE_BYTES:,} bytes"
        raise ConversionError(f"{path}: this is {kind}")
    with open(fd, "rb") as file:
        return file.read()
