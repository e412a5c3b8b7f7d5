"""What an ONNX file holds, checked: its tensors as arrays, wherever their bytes lie, its inputs and operator sets."""

import math
import os
import stat

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper
from onnx.onnx_cpp2py_export.checker import CheckerContext

from edgert.errors import ConversionError
from edgert.graph import MAX_RANK, MAX_TENSOR_BYTES

OLDEST_OPSET = 7
NESTED = ("body", "else_branch", "then_branch")
# An element type of ONNX -> ours. Floats of other widths become float32, which the importer notes.
DTYPES = {
    TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float32", TensorProto.DOUBLE: "float32",
    TensorProto.BFLOAT16: "float32", TensorProto.INT8: "int8", TensorProto.UINT8: "uint8", TensorProto.INT16: "int16",
    TensorProto.INT32: "int32", TensorProto.INT64: "int64", TensorProto.BOOL: "bool",
}  # fmt: skip
EXACT_FLOAT = TensorProto.FLOAT


class File:
    """A parsed model.

    graph: its GraphProto. opset: version of the default operator set. functions: its own, by (domain, name). folder:
    where external data may lie, None where the model came from no file.
    """

    def __init__(self, data, source, folder):
        self.source, self.folder = source, folder
        try:
            self.proto = onnx.ModelProto.FromString(data)
        except DecodeError:
            raise ConversionError(f"{source}: this is no ONNX model (or a damaged one)") from None
        if not self.proto.HasField("graph") or not self.proto.opset_import:
            raise ConversionError(f"{source}: this is no ONNX model: it has no graph or names no operator set")
        self.graph = self.proto.graph
        versions = {row.domain: row.version for row in self.proto.opset_import}
        newest = onnx.defs.onnx_opset_version()
        self.opset = versions.get("", versions.get("ai.onnx", newest))
        if not OLDEST_OPSET <= self.opset <= newest:
            hint = "" if self.opset < OLDEST_OPSET else f" (of the installed onnx {onnx.__version__}; a newer one may)"
            raise ConversionError(
                f"{source}: operator set {self.opset} is not in {OLDEST_OPSET}..{newest}, which can be read{hint}"
            )
        self.functions = {(row.domain, row.name): row for row in self.proto.functions}
        if self.graph.sparse_initializer:
            raise ConversionError(f"{source}: it has sparse weights, which are not supported")

    def type_name(self, number):
        return TensorProto.DataType.Name(number) if number in TensorProto.DataType.values() else f"type {number}"

    def array(self, tensor, name=None):
        """A TensorProto's values.

        Raises: ConversionError if bytes and shape differ, if they lie outside the model's folder, or if one is NaN.
        """
        name = name or tensor.name
        shape = tuple(tensor.dims)
        if tensor.data_type in (TensorProto.UNDEFINED, TensorProto.STRING) or not self._known(tensor.data_type):
            raise ConversionError(f"{self.source}: tensor '{name}' is {self.type_name(tensor.data_type)}")
        if len(shape) > MAX_RANK + 2 or min(shape, default=1) < 0 or 8 * math.prod(shape) > MAX_TENSOR_BYTES:
            raise ConversionError(f"{self.source}: tensor '{name}' has shape {shape[:8]}")
        if tensor.data_location == TensorProto.EXTERNAL:
            tensor = self._inlined(tensor, name, shape)
        try:
            array = numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise ConversionError(f"{self.source}: tensor '{name}' of shape {shape} does not fit: {error}") from None
        if array.dtype.kind == "V" or array.dtype.name == "bfloat16":
            array = array.astype(np.float32)
        if array.dtype.kind == "f" and np.isnan(array).any():
            count = int(np.isnan(array).sum())
            raise ConversionError(f"{self.source}: tensor '{name}' has {count} NaN among its {array.size} values")
        return array

    def _known(self, number):
        return number in TensorProto.DataType.values()

    def _inlined(self, tensor, name, shape):
        """The tensor with its external bytes in it."""
        rows = {row.key: row.value for row in tensor.external_data}
        nbytes = math.prod(shape) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        try:
            offset, length = int(rows.get("offset", 0)), int(rows.get("length", nbytes))
        except ValueError:
            raise ConversionError(f"{self.source}: tensor '{name}' has external data at {rows}") from None
        if offset < 0 or length != nbytes:
            raise ConversionError(
                f"{self.source}: tensor '{name}' of shape {shape} needs {nbytes} bytes, its external data are {length} "
                f"bytes at {offset}"
            )
        inlined = TensorProto(name=name, data_type=tensor.data_type, dims=shape)
        inlined.raw_data = self._external(rows.get("location", ""), offset, length, name)
        return inlined

    def _external(self, location, offset, length, name):
        parts = location.split("/")
        where = f"{self.source}: tensor '{name}' lies in '{location[:200]}'"
        if self.folder is None or not location or "\0" in location or "\\" in location:
            raise ConversionError(f"{where}, which is no file in the model's folder")
        if any(part in ("", ".", "..") for part in parts):
            raise ConversionError(f"{where}, which points out of the model's folder")
        try:
            with open(_open_beneath(self.folder, parts), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or offset + length > status.st_size:
                    raise ConversionError(f"{where}: {length} bytes at {offset} of {status.st_size:,}")
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            hint = " (symbolic links are not followed)" if error.errno in (20, 40) else ""
            raise ConversionError(f"{where}: {error.strerror}{hint}") from None


def _open_beneath(folder, parts):
    """A descriptor of folder/a/b/..., none of whose parts is a symbolic link."""
    at = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = inner
        return os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)


def check_node(node, opset):
    """Whether a node of the default operator set has the inputs, outputs and attributes that its schema says.

    Raises: ConversionError.
    """
    if node.domain not in ("", "ai.onnx") or any(a.HasField("g") for a in node.attribute):
        return  # what a branch reads from around it the checker would miss
    context = CheckerContext()
    context.ir_version, context.opset_imports = onnx.IR_VERSION, {"": opset}
    try:
        onnx.checker.check_node(node, context)
    except onnx.checker.ValidationError as error:
        raise ConversionError(" ".join(str(error).split())[:300]) from None


def attributes(node):
    """A node's attributes by name: numbers, str, lists, TensorProto or GraphProto."""
    found = {}
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        found[attribute.name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return found
