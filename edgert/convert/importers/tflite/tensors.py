"""Tensors of a .tflite file: types, quantisation and constant data, turned into edgert's."""

import numpy as np

from edgert.convert.importers.tflite.schema import TENSOR_TYPES
from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError, ModelFormatError
from edgert.graph import MAX_DIM, MAX_RANK, Quant, Tensor
from edgert.numerics import check_quant

# The file's type -> ours. uint8 words are shifted to int8, narrow constants are widened.
DTYPES = {
    "float32": "float32", "float16": "float32", "int8": "int8", "uint8": "int8", "int4": "int8", "int16": "int16",
    "int32": "int32", "int64": "int64", "bool": "bool",
}  # fmt: skip

MAX_NAME = 200


class TensorTable:
    """The tensors of one subgraph, read when first asked for.

    An entry is an `edgert.graph.Tensor` as the file declares it: uint8 words are already int8 (`data ^ 0x80`,
    `zero_point - 128`), float16 constants float32; 8-bit words without quantisation stand for themselves.
    """

    def __init__(self, file, model, subgraph):
        self._file, self._buffers, self._tables = file, model.buffers, subgraph.tensors
        self._cache = {}

    def __len__(self):
        return len(self._tables)

    def __getitem__(self, index):
        """Raises: Unsupported for a type or quantisation we lack, ConversionError for a damaged entry."""
        if index not in self._cache:
            self._cache[index] = self._load(index)
        return self._cache[index]

    def type_name(self, index):
        """The type as the file has it: "uint8", "float16", ..."""
        code = self._tables[index].type
        return TENSOR_TYPES[code] if 0 <= code < len(TENSOR_TYPES) else f"type {code}"

    def bias_scale(self, index):
        """(scale tuple, zero point tuple) of a bias; its axis is often wrong in files, and nothing depends on it."""
        quantization = self._tables[index].quantization
        return (quantization.scale, quantization.zero_point) if quantization else ((), ())

    def dynamic_axes(self, index):
        """Which dimensions the file leaves open (-1 in its shape signature)."""
        table = self._tables[index]
        return [axis for axis, dim in enumerate(table.shape_signature or table.shape) if dim < 0]

    def _load(self, index):
        table, type_name = self._tables[index], self.type_name(index)
        name = _clean(table.name) or f"tensor{index}"
        if type_name not in DTYPES:
            raise Unsupported(f"tensor '{name}' is {type_name}")
        if table.is_variable:
            raise Unsupported(f"tensor '{name}' is a variable that lives between runs")
        if table.sparsity is not None:
            raise Unsupported(f"tensor '{name}' is stored sparsely")
        shape = _shape(table, name)
        data = self._data(table, name, type_name, shape)
        if type_name == "float16" and data is None:
            raise Unsupported(f"tensor '{name}' is float16")
        dtype = DTYPES[type_name]
        quant = self._quant(table, type_name, shape) if dtype in ("int8", "int16") else None
        if quant is None and dtype == "int8":
            quant = Quant((1.0,), -128 if type_name == "uint8" else 0)
        tensor = Tensor(name, dtype, shape, quant, data)
        if quant is not None:
            try:
                check_quant(tensor)
            except ModelFormatError as error:
                raise ConversionError(f"tensor '{name}' {error}") from None
        return tensor

    def _quant(self, table, type_name, shape):
        quantization = table.quantization
        scale = quantization.scale if quantization else ()
        if not scale:
            return None
        if quantization.details_type:
            raise Unsupported(f"tensor '{_clean(table.name)}' has a custom quantisation")
        zero_points, axis = quantization.zero_point or (0,), quantization.quantized_dimension
        if len(scale) == 1:
            return Quant(scale, zero_points[0] - (128 if type_name == "uint8" else 0))
        if not 0 <= axis < len(shape) or shape[axis] != len(scale):
            raise ConversionError(
                f"tensor '{_clean(table.name)}' has {len(scale)} scales along axis {axis} of shape {shape}"
            )
        if any(zero_points) or type_name == "uint8":
            raise Unsupported(f"tensor '{_clean(table.name)}' has a zero point per channel")
        return Quant(scale, 0, axis)

    def _data(self, table, name, type_name, shape):
        """The constant's bytes as ours, None for a computed tensor."""
        if not 0 <= table.buffer < len(self._buffers):
            raise ConversionError(f"tensor '{name}' names buffer {table.buffer}, there are {len(self._buffers)}")
        raw = self._bytes(self._buffers[table.buffer], name)
        size = 1
        for dim in shape:
            size *= dim
        if not len(raw):
            return memoryview(b"") if size == 0 else None
        expected = (size + 1) // 2 if type_name == "int4" else size * _WIDTHS[type_name]
        if len(raw) != expected:
            raise ConversionError(f"tensor '{name}' holds {len(raw):,} bytes, {type_name} {shape} needs {expected:,}")
        return _translate(raw, type_name, size)

    def _bytes(self, buffer, name):
        """Contents lie in the buffer's table, or outside the FlatBuffer where that would pass 2 GB."""
        if buffer.offset > 1:
            self._file.check(buffer.offset, buffer.size, f"the data of tensor '{name}'")
            return self._file.view[buffer.offset : buffer.offset + buffer.size]
        return buffer.data


_WIDTHS = {"float32": 4, "float16": 2, "int8": 1, "uint8": 1, "int16": 2, "int32": 4, "int64": 8, "bool": 1}


def _shape(table, name):
    """Dimensions as stored; an open leading one (the batch) is 1."""
    shape = table.shape
    if shape and shape[0] == -1:
        shape = (1, *shape[1:])
    if len(shape) > MAX_RANK or any(not 0 <= dim <= MAX_DIM for dim in shape):
        raise ConversionError(f"tensor '{name}' has shape {shape[: MAX_RANK + 1]}")
    return shape


def _translate(raw, type_name, size):
    if type_name == "uint8":
        return memoryview((np.frombuffer(raw, np.uint8) ^ 0x80).tobytes())
    if type_name == "float16":
        return memoryview(np.frombuffer(raw, np.float16).astype(np.float32).tobytes())
    if type_name == "int4":  # two words a byte, the earlier one in the low half
        packed = np.frombuffer(raw, np.uint8)
        words = np.stack([packed << 4, packed & 0xF0], axis=1).view(np.int8) >> 4
        return memoryview(words.reshape(-1)[:size].tobytes())
    if type_name == "bool":
        return memoryview((np.frombuffer(raw, np.uint8) != 0).tobytes())
    return raw


def _clean(name):
    """The first of the names that fusions joined by ";"; control characters would break lines of logs and reports."""
    return "".join([c if c.isprintable() else "?" for c in name.split(";")[0][:MAX_NAME]])
