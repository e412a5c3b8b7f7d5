"""Makes small .tflite files for the tests, from the importer's own table of the schema."""

import flatbuffers
import numpy as np

from edgert.convert.importers.tflite.operators import NAMES, OPERATORS
from edgert.convert.importers.tflite.schema import _FIELDS, TENSOR_TYPES, _parse
from edgert.convert.importers.tflite.schema import OPTIONS_TYPES as _OPTIONS_TYPES

# Options that the importer does without and LiteRT does not: operator -> (table, its number in BuiltinOptions, fields).
_MORE = {
    "SPLIT": ("SplitOptions", 35, "num_splits:int"),
    "SPLIT_V": ("SplitVOptions", 79, "num_splits:int"),
    "ARG_MAX": ("ArgMaxOptions", 40, "output_type:byte"),
    "ARG_MIN": ("ArgMinOptions", 57, "output_type:byte"),
}
FIELDS = _FIELDS | {kind: _parse(fields) for kind, _, fields in _MORE.values()}
OPTIONS_TYPES = _OPTIONS_TYPES | {kind: number for kind, number, _ in _MORE.values()}

_SCALARS = {
    "bool": "Bool", "byte": "Int8", "ubyte": "Uint8", "int": "Int32", "uint": "Uint32", "long": "Int64",
    "ulong": "Uint64", "float": "Float32",
}  # fmt: skip
_ELEMENTS = {"int": np.int32, "long": np.int64, "float": np.float32, "ubyte": np.uint8}


class Model:
    """Tensors and operators by name; `bytes(model)` is the file.

    m = Model()
    m.tensor("x", "int8", (1, 4), 0.5, 3)
    m.operator("RELU", "x", "y")
    data = m.file(["x"], ["y"])
    """

    def __init__(self):
        self.tensors, self.operators, self.index = [], [], {}

    def tensor(self, name, dtype, shape, scale=None, zero_point=0, data=None, axis=0, signature=None, **fields):
        """Declares a tensor: `scale` a number or one per index of `axis`; `data` an array for a constant."""
        table = {"name": name, "shape": shape, "type": TENSOR_TYPES.index(dtype), "buffer": 0, **fields}
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            zeros = np.broadcast_to(np.asarray(zero_point, np.int64), scales.shape)
            table["quantization"] = {"scale": scales, "zero_point": zeros, "quantized_dimension": axis}
        if signature:
            table["shape_signature"] = signature
        self.index[name] = len(self.tensors)
        self.tensors.append((table, None if data is None else np.ascontiguousarray(data)))
        return name

    def constant(self, name, data, scale=None, zero_point=0, axis=0, dtype=None):
        data = np.asarray(data)
        return self.tensor(name, dtype or data.dtype.name, data.shape, scale, zero_point, data, axis)

    def operator(self, op, inputs, outputs, **options):
        """Adds an operator; a name that is no builtin is a custom one, whose one option is `custom_options`, bytes.

        None stands for an absent input.
        """
        inputs, outputs = ([n] if isinstance(n, str) else n for n in (inputs, outputs))
        self.operators.append((op, inputs, outputs, options))

    def file(self, inputs, outputs, version=3):
        buffers, tables = [{}], []
        for table, data in self.tensors:
            if data is not None:
                buffers.append({"data": np.frombuffer(data.tobytes(), np.uint8)})
                table = {**table, "buffer": len(buffers) - 1}
            tables.append(table)
        ops = sorted({op for op, *_ in self.operators})
        subgraph = {
            "tensors": tables,
            "inputs": [self.index[n] for n in inputs],
            "outputs": [self.index[n] for n in outputs],
            "operators": [self._operator(ops, *row) for row in self.operators],
            "name": "main",
        }
        codes = [_code(op) for op in ops]
        builder = flatbuffers.Builder(1024)
        model = {"version": version, "operator_codes": codes, "subgraphs": [subgraph], "buffers": buffers}
        builder.Finish(_table(builder, "Model", model), b"TFL3")
        return bytes(builder.Output())

    def _operator(self, ops, op, inputs, outputs, options):
        row = {
            "opcode_index": ops.index(op),
            "inputs": [-1 if n is None else self.index[n] for n in inputs],
            "outputs": [self.index[n] for n in outputs],
        }
        kind = _MORE[op][0] if op in _MORE else OPERATORS[op][0] if op in OPERATORS else None
        if kind:
            row |= {"builtin_options_type": OPTIONS_TYPES[kind], "builtin_options": (kind, options)}
        elif "custom_options" in options:
            row["custom_options"] = np.frombuffer(options["custom_options"], np.uint8)
        return row


def _code(op):
    if op not in NAMES:
        return {"deprecated_builtin_code": 32, "builtin_code": 32, "custom_code": op}
    number = NAMES.index(op)
    return {"deprecated_builtin_code": min(number, 127), "builtin_code": number, "version": 1}


def _table(builder, kind, values):
    """Writes a table bottom up; returns its offset."""
    offsets = {}
    for name, value in values.items():
        field_kind = FIELDS[kind][name][1]
        if field_kind not in _SCALARS:
            offsets[name] = _reference(builder, field_kind, value)
    builder.StartObject(max((slot for slot, _, _ in FIELDS[kind].values()), default=0) + 1)
    for name, value in values.items():
        slot, field_kind, default = FIELDS[kind][name]
        if name in offsets:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[name], 0)
        else:
            getattr(builder, f"Prepend{_SCALARS[field_kind]}Slot")(slot, value, default)
    return builder.EndObject()


def _reference(builder, kind, value):
    if kind == "string":
        return builder.CreateString(value)
    if kind == "options":
        return _table(builder, *value)
    if kind[0] != "[":
        return _table(builder, kind, value)
    element = kind[1:-1]
    if element in _ELEMENTS:
        return builder.CreateNumpyVector(np.asarray(value, _ELEMENTS[element]))
    offsets = [_table(builder, element, row) for row in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
