"""safetensors files: tensors by name, read when needed. No package: NumPy has no bfloat16, so its reader cannot.

Source: github.com/huggingface/safetensors, README, "Format".
"""

import json
import os

from edgert.convert.language import arrays
from edgert.errors import ConversionError

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


def tensors(path):
    """name -> Array of every float tensor in the file. Raises: ConversionError."""
    name = os.path.basename(path)
    try:
        with open(path, "rb") as file:
            length, size = int.from_bytes(file.read(8), "little"), os.fstat(file.fileno()).st_size
            if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise ConversionError(f"{name}: no safetensors file: a header of {length:,} bytes in {size:,}")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        return {key: _array(key, entry, path, 8 + length, size) for key, entry in header.items() if _is_float(entry)}
    except OSError as error:
        raise ConversionError(f"{name}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConversionError(f"{name}: no safetensors file ({type(error).__name__}: {error})") from None


def _is_float(entry):
    return entry["dtype"] in ("F32", "F16", "BF16")


def _array(key, entry, path, start, size):
    shape, (first, last) = entry["shape"], entry["data_offsets"]
    count = 1
    for dim in shape:
        if type(dim) is not int or dim < 1:
            raise ConversionError(f"{os.path.basename(path)}: tensor '{key}' has the shape {shape}")
        count *= dim
    if not 0 <= first <= last <= size - start or last - first != count * _SIZES[entry["dtype"]]:
        raise ConversionError(
            f"{os.path.basename(path)}: tensor '{key}', {shape}, lies at bytes {first} to {last} of {size - start}"
        )
    return arrays.in_file(key, shape, path, start + first, entry["dtype"])
