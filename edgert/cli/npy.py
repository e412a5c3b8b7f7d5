"""Reads NumPy's .npy files without NumPy: `edgert run x.npy` need not pay for importing it.

Source: NumPy Enhancement Proposal 1, format versions 1.0 to 3.0.
"""

from edgert.errors import InputError

_MAX_HEADER = 10_000
_DTYPES = {
    "|i1": "int8",
    "|u1": "uint8",
    "|b1": "bool",
    "<i2": "int16",
    "<i4": "int32",
    "<i8": "int64",
    "<f4": "float32",
    "<f8": "float64",
}
_SIZES = {"int8": 1, "uint8": 1, "bool": 1, "int16": 2, "int32": 4, "int64": 8, "float32": 4, "float64": 8}


def parse(data, name):
    """(dtype, shape, memoryview of the elements in C order) of a .npy file's bytes.

    Raises: InputError.
    """
    header, start = _header(data, name)
    dtype, shape = _DTYPES.get(header["descr"]), header["shape"]
    if dtype is None:
        raise InputError(f"{name}: elements of type {header['descr']!r}; edgert reads {', '.join(_DTYPES.values())}")
    if header["fortran_order"] and len(shape) > 1:
        raise InputError(f"{name}: in Fortran order; save numpy.ascontiguousarray(x)")
    expected = _SIZES[dtype]
    for dim in shape:
        expected *= dim
    elements = memoryview(data)[start:]
    if len(elements) != expected:
        raise InputError(f"{name}: {len(elements):,} bytes of elements, but {dtype} {shape} has {expected:,}")
    return dtype, shape, elements


def _header(data, name):
    wide = len(data) > 6 and data[6] >= 2
    start = 12 if wide else 10
    length = int.from_bytes(data[8:start], "little")
    text = bytes(data[start : start + length])
    if bytes(data[:6]) != b"\x93NUMPY" or length > _MAX_HEADER or len(text) != length:
        raise InputError(f"{name}: damaged .npy header")
    from ast import literal_eval

    try:
        header = literal_eval(text.decode("latin-1").strip())
        shape = header["shape"]
        fits = (
            isinstance(header["descr"], str) and isinstance(shape, tuple) and header["fortran_order"] in (True, False)
        )
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError) as error:
        raise InputError(f"{name}: damaged .npy header") from error
    if not fits or not all(type(dim) is int and dim >= 0 for dim in shape):
        raise InputError(f"{name}: damaged .npy header")
    return header, start + length
