"""What a user names on the command line -> the bytes of an input tensor."""

import os
import sys

from edgert.cli.text import shape_text
from edgert.errors import InputError

MAX_BYTES = 2**28


def input_bytes(model, index, name):
    """Bytes of the model's input `index` from a file or '-' (stdin).

    A .npy file is known by its first bytes, the tensor's own bytes by their exact number; all else is a picture.
    Raises: InputError.
    """
    return placed_input(model, index, name)[0]


def placed_input(model, index, name):
    """As `input_bytes`, with the Place of a picture in the input; None for arrays."""
    spec = model.inputs[index]
    if name == "-":
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InputError(f"stdin: more than {MAX_BYTES:,} bytes")
        name = "stdin"
    elif name.lower().endswith((".npy", ".bin", ".raw")):
        data = _read_file(name)
    else:
        return model.prepare_placed(name)
    if data[:6] == b"\x93NUMPY":
        return _from_npy(model, spec, data, name)
    if len(data) == spec.nbytes:
        return data, None
    if name != "stdin":
        raise InputError(f"{name}: {len(data):,} bytes; input {spec.name!r} has {spec.nbytes:,}")
    return model.prepare_placed(data, name)


def _from_npy(model, spec, data, name):
    from edgert.cli import npy

    dtype, shape, elements = npy.parse(data, name)
    batched = shape if len(shape) == len(spec.shape) else (1, *shape)
    if dtype == spec.dtype and batched == tuple(spec.shape):
        return elements, None
    if dtype == "uint8" and len(shape) in (2, 3) and 0 not in shape:
        return model.prepare_placed(elements.cast("B", shape), name)
    raise InputError(
        f"{name}: {dtype} {shape_text(shape)}; input {spec.name!r} is {spec.dtype} {shape_text(spec.shape)}"
        + (", or a picture (H, W, 3) uint8" if model.metadata.task in ("classify", "detect") else "")
    )


def check_file(name):
    """Raises: InputError if this is no regular file: a FIFO would be waited for, a device may have no end."""
    if not os.path.isfile(name):
        raise InputError(f"{name}: {'not a regular file' if os.path.exists(name) else 'no such file'}")


def _read_file(name):
    check_file(name)
    if os.path.getsize(name) > MAX_BYTES:
        raise InputError(f"{name}: {os.path.getsize(name):,} bytes; inputs may have {MAX_BYTES:,}")
    with open(name, "rb") as file:
        return file.read()
