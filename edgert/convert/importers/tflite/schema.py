"""Checked reading of a .tflite file: every offset is held against the buffer before anything is read through it.

The Python FlatBuffers runtime has no verifier, so only its number types are used here. `SCHEMA` names the parts of
TensorFlow Lite's schema that the importer needs, in schema.fbs's own words and order: a field's place in its line is
its vtable slot, so fields between needed ones are listed too.

Source: tensorflow/lite/schema/schema.fbs; FlatBuffers internals, "Tables", "Vectors", "Strings".
"""

from flatbuffers import number_types as N

from edgert.errors import ConversionError

FILE_IDENTIFIER = b"TFL3"

# name: type[=default], in slot order. A union takes two slots: its type number, then the table.
SCHEMA = {
    "Model": """version:uint operator_codes:[OperatorCode] subgraphs:[SubGraph] description:string buffers:[Buffer]
        metadata_buffer:[int] metadata:[Metadata] signature_defs:[SignatureDef]""",
    "OperatorCode": "deprecated_builtin_code:byte custom_code:string version:int=1 builtin_code:int",
    "SubGraph": "tensors:[Tensor] inputs:[int] outputs:[int] operators:[Operator] name:string",
    "Tensor": """shape:[int] type:byte buffer:uint name:string quantization:QuantizationParameters is_variable:bool
        sparsity:SparsityParameters shape_signature:[int] has_rank:bool""",
    "QuantizationParameters": """min:[float] max:[float] scale:[float] zero_point:[long] details_type:ubyte
        details:CustomQuantization quantized_dimension:int""",
    "Buffer": "data:[ubyte] offset:ulong size:ulong",
    "Operator": """opcode_index:uint inputs:[int] outputs:[int] builtin_options_type:ubyte builtin_options:options
        custom_options:[ubyte]""",
    "Conv2DOptions": """padding:byte stride_w:int stride_h:int fused_activation_function:byte dilation_w_factor:int=1
        dilation_h_factor:int=1""",
    "DepthwiseConv2DOptions": """padding:byte stride_w:int stride_h:int depth_multiplier:int
        fused_activation_function:byte dilation_w_factor:int=1 dilation_h_factor:int=1""",
    "TransposeConvOptions": "padding:byte stride_w:int stride_h:int fused_activation_function:byte",
    "Pool2DOptions": """padding:byte stride_w:int stride_h:int filter_width:int filter_height:int
        fused_activation_function:byte""",
    "FullyConnectedOptions": "fused_activation_function:byte weights_format:byte keep_num_dims:bool",
    "BatchMatMulOptions": "adj_x:bool adj_y:bool",
    "SoftmaxOptions": "beta:float",
    "ConcatenationOptions": "axis:int fused_activation_function:byte",
    "AddOptions": "fused_activation_function:byte",
    "SubOptions": "fused_activation_function:byte",
    "MulOptions": "fused_activation_function:byte",
    "DivOptions": "fused_activation_function:byte",
    "ReshapeOptions": "new_shape:[int]",
    "ReducerOptions": "keep_dims:bool",
    "ResizeBilinearOptions": "new_height:int new_width:int align_corners:bool half_pixel_centers:bool",
    "ResizeNearestNeighborOptions": "align_corners:bool half_pixel_centers:bool",
    "PackOptions": "values_count:int axis:int",
    "UnpackOptions": "num:int axis:int",
    "StridedSliceOptions": """begin_mask:int end_mask:int ellipsis_mask:int new_axis_mask:int shrink_axis_mask:int
        offset:bool""",
    "SqueezeOptions": "squeeze_dims:[int]",
    "GatherOptions": "axis:int batch_dims:int",
    "LeakyReluOptions": "alpha:float",
    "GeluOptions": "approximate:bool",
    "MirrorPadOptions": "mode:byte",
    "SpaceToDepthOptions": "block_size:int",
    "DepthToSpaceOptions": "block_size:int",
}

# The union BuiltinOptions: the number that stands for each options table.
OPTIONS_TYPES = {
    "Conv2DOptions": 1, "DepthwiseConv2DOptions": 2, "Pool2DOptions": 5, "FullyConnectedOptions": 8,
    "SoftmaxOptions": 9, "ConcatenationOptions": 10, "AddOptions": 11, "ResizeBilinearOptions": 15,
    "ReshapeOptions": 17, "SpaceToDepthOptions": 19,
    "MulOptions": 21, "GatherOptions": 23, "ReducerOptions": 27, "SubOptions": 28,
    "DivOptions": 29, "SqueezeOptions": 30, "StridedSliceOptions": 32, "TransposeConvOptions": 49,
    "PackOptions": 59, "UnpackOptions": 64, "ResizeNearestNeighborOptions": 74, "LeakyReluOptions": 75,
    "MirrorPadOptions": 77, "DepthToSpaceOptions": 94, "BatchMatMulOptions": 101,
    "GeluOptions": 116,
}  # fmt: skip

TENSOR_TYPES = (
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64",
    "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16",
)  # fmt: skip

_NUMBERS = {
    "bool": N.BoolFlags, "byte": N.Int8Flags, "ubyte": N.Uint8Flags, "int": N.Int32Flags, "uint": N.Uint32Flags,
    "long": N.Int64Flags, "ulong": N.Uint64Flags, "float": N.Float32Flags,
}  # fmt: skip


def _parse(line):
    fields = {}
    for slot, field in enumerate(line.split()):
        name, _, rest = field.partition(":")
        kind, _, default = rest.partition("=")
        fields[name] = (slot, kind, int(default or 0))
    return fields


_FIELDS = {name: _parse(line) for name, line in SCHEMA.items()}


class File:
    """The bytes of a .tflite file and how many elements may still be read out of its vectors.

    Vectors may share bytes, so a small file can claim any number of elements: the budget keeps the time and memory
    that reading takes within a constant times the file's size.
    """

    def __init__(self, data, name):
        self.view = memoryview(data).toreadonly().cast("B")
        self.size = len(self.view)
        self.name = name
        self._budget = 16 * self.size + 4096

    def root(self):
        """The Model table. Raises: ConversionError if this is no .tflite file."""
        if self.size < 8 or bytes(self.view[4:8]) != FILE_IDENTIFIER:
            raise ConversionError(f"{self.name}: no TFLite model: the identifier TFL3 is not at byte 4")
        return Table(self, self.number(N.UOffsetTFlags, 0, "the root offset"), "Model")

    def number(self, flags, position, what):
        self.check(position, flags.bytewidth, what)
        return flags.packer_type.unpack_from(self.view, position)[0]

    def check(self, position, length, what):
        if position < 0 or position + length > self.size:
            raise ConversionError(
                f"{self.name}: {what} lies at bytes {position:,} to {position + length:,} but the file has "
                f"{self.size:,} bytes (incomplete copy?)"
            )

    def spend(self, elements, what):
        self._budget -= elements
        if self._budget < 0:
            raise ConversionError(f"{self.name}: {what} claims more elements than {self.size:,} bytes can stand for")


class Table:
    """One FlatBuffers table; a field reads as an attribute: a number, str, tuple of numbers or tables, Table or None.

    A vector of ubyte reads as a memoryview into the file. An absent vector is ().
    """

    __slots__ = ("_end", "_file", "_kind", "_position", "_vtable", "_vtable_end")

    def __init__(self, file, position, kind):
        self._file, self._position, self._kind = file, position, kind
        self._vtable = position - file.number(N.SOffsetTFlags, position, f"table {kind}")
        vtable_size = file.number(N.VOffsetTFlags, self._vtable, f"the vtable of {kind}")
        file.check(self._vtable, max(vtable_size, 4), f"the vtable of {kind}")
        size = file.number(N.VOffsetTFlags, self._vtable + 2, f"the vtable of {kind}")
        file.check(position, max(size, 4), f"table {kind}")
        self._vtable_end, self._end = self._vtable + vtable_size, position + size

    def __getattr__(self, name):
        try:
            slot, kind, default = _FIELDS[self._kind][name]
        except KeyError:
            raise AttributeError(f"{self._kind} has no field {name!r}") from None
        what = f"{self._kind}.{name}"
        position = self._locate(slot, what)
        if kind in _NUMBERS:
            return default if position is None else self._number(_NUMBERS[kind], position, what)
        if position is None:
            return "" if kind == "string" else () if kind[0] == "[" else None
        target = self._follow(position, what)
        if kind == "string":
            return self._text(target, what)
        if kind[0] == "[":
            return self._vector(kind[1:-1], target, what)
        return Table(self._file, target, kind)

    def position_of(self, name):
        """Where the field is stored in the file, None if it is absent (an absent number reads as its default)."""
        return self._locate(_FIELDS[self._kind][name][0], name)

    def options(self, kind):
        """The operator's options as table `kind`, None when it stores none. Raises: ConversionError on another."""
        position = self.position_of("builtin_options")
        if position is None or self.builtin_options_type == 0:
            return None
        if self.builtin_options_type != OPTIONS_TYPES[kind]:
            raise ConversionError(
                f"its options are of type {self.builtin_options_type}, not {OPTIONS_TYPES[kind]} ({kind})"
            )
        return Table(self._file, self._follow(position, "Operator.builtin_options"), kind)

    def _locate(self, slot, what):
        entry = self._vtable + 4 + 2 * slot
        if entry + 2 > self._vtable_end:
            return None
        offset = self._file.number(N.VOffsetTFlags, entry, what)
        return self._position + offset if offset else None

    def _number(self, flags, position, what):
        if position + flags.bytewidth > self._end:
            raise ConversionError(f"{self._file.name}: {what} lies outside its table")
        return self._file.number(flags, position, what)

    def _follow(self, position, what):
        return position + self._number(N.UOffsetTFlags, position, what)

    def _text(self, position, what):
        length = self._length(position, 1, what)
        self._file.spend(length, what)
        return bytes(self._file.view[position + 4 : position + 4 + length]).decode("utf-8", "replace")

    def _vector(self, kind, position, what):
        file, start = self._file, position + 4
        if kind == "ubyte":
            return file.view[start : start + self._length(position, 1, what)]
        if kind in _NUMBERS:
            flags = _NUMBERS[kind]
            length = self._length(position, flags.bytewidth, what)
            end = start + length * flags.bytewidth
            return tuple([flags.packer_type.unpack_from(file.view, at)[0] for at in range(start, end, flags.bytewidth)])
        places = range(start, start + 4 * self._length(position, 4, what), 4)
        return tuple([Table(file, at + file.number(N.UOffsetTFlags, at, what), kind) for at in places])

    def _length(self, position, width, what):
        length = self._file.number(N.UOffsetTFlags, position, f"the length of {what}")
        self._file.check(position + 4, length * width, what)
        if width > 1:
            self._file.spend(length, what)
        return length


class Defaults:
    """Options that an operator does not store: every number has its default."""

    def __init__(self, kind):
        self._kind = kind

    def __getattr__(self, name):
        _, kind, default = _FIELDS[self._kind][name]
        return default if kind in _NUMBERS else ()
