"""Which element types and quantisations every op takes: what the kernels may assume about numbers, proved.

One function per kind of op, called with `(inputs, output, attrs, shapes)`: the input tensors (None where absent), the
output tensor, the attributes with defaults filled in, and the input shapes with the symbolic dimension bound.
What they prove: int32 accumulators cannot overflow, multipliers are finite so that no kernel ever meets NaN, words that
are only copied mean the same on both sides, and a clamp lies within the output's type.
"""

from struct import error, pack, unpack

from edgert.errors import ModelFormatError
from edgert.shapes import size

WORD_RANGE = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "bool": (0, 1),
}
QUANTISED = ("int8", "uint8", "int16", "int32")

# Far above any real model and far below where float32(accumulator) * multiplier would reach infinity (2**31 * 2**64).
# A multiplier that underflows is harmless: every product then rounds to zero.
MAX_MULTIPLIER = 2.0**64
MAX_ACCUMULATOR = 2**31 - 1


def check_quant(tensor):
    """The quantisation of one tensor, whatever uses it."""
    quant = tensor.quant
    if tensor.dtype not in QUANTISED:
        raise ModelFormatError(f"{tensor.dtype} tensors have no quantisation")
    scales, axis = quant.scale, quant.axis
    if axis is None:
        if len(scales) != 1:
            raise ModelFormatError(f"has {len(scales)} scales and no axis for them")
    elif not 0 <= axis < len(tensor.shape) or len(scales) != tensor.shape[axis]:
        raise ModelFormatError(f"has {len(scales)} scales along axis {axis} of shape {tensor.shape}")
    elif quant.zero_point:
        raise ModelFormatError(f"is quantised per channel and has zero point {quant.zero_point}, not 0")
    if not (min(scales) > 0.0 and sum(scales) < float("inf") and _are_float32(scales)):
        raise ModelFormatError(f"has scale {_bad_scale(scales)}, which is not a positive float32")
    low, high = WORD_RANGE[tensor.dtype]
    if type(quant.zero_point) is not int or not low <= quant.zero_point <= high:
        raise ModelFormatError(f"has zero point {quant.zero_point}, outside {tensor.dtype}")


def _are_float32(scales):
    """Whether all are plain floats that float32 holds exactly: multipliers are computed from them in double."""
    try:
        layout = f"{len(scales)}f"
        return unpack(layout, pack(layout, *scales)) == scales and {*map(type, scales)} == {float}
    except (OverflowError, error):
        return False


def _bad_scale(scales):
    for i, scale in enumerate(scales):
        if not 0.0 < scale < float("inf") or not _are_float32((scale,)):
            return f"{scale!r} at {i}"
    return f"sum {sum(scales)}"


def conv(inputs, output, attrs, shapes):
    _check_weights(inputs, output, attrs, shapes, axis=0, terms=size(shapes[1][1:]))


def depthwise_conv(inputs, output, attrs, shapes):
    _check_weights(inputs, output, attrs, shapes, axis=2, terms=size(shapes[1][:2]))


def _check_weights(inputs, output, attrs, shapes, axis, terms):
    """axis: the weight's dimension that scales may run along. terms: products in one accumulator."""
    x, weight, bias = inputs
    for tensor in (weight, bias):
        if tensor is not None and tensor.data is None:
            raise ModelFormatError(f"'{tensor.name}' must be a constant (batch_matmul multiplies computed tensors)")
    if x.dtype == "float32":
        _need_dtypes("float32", weight, bias, output)
        return check_clamp(output, attrs)
    _need_dtypes("int8", x, weight, output)
    _need_dtypes("int32", bias)
    x_quant, out_quant = _per_tensor(x), _per_tensor(output)
    quant = weight.quant
    if quant is None:
        raise ModelFormatError(f"int8 tensor '{weight.name}' has no quantisation")
    if quant.axis is not None and quant.axis != axis:
        raise ModelFormatError(f"'{weight.name}' is quantised along axis {quant.axis}, not {axis}")
    _check_multiplier(x_quant.scale[0] * max(quant.scale) / out_quant.scale[0])
    _check_sum(terms * _largest(x_quant) * _largest(quant), terms)
    check_clamp(output, attrs)


def batch_matmul(inputs, output, attrs, shapes):
    a, b = inputs
    if a.dtype == "float32":
        return _need_dtypes("float32", b, output)
    _need_dtypes("int8", a, b, output)
    a_quant, b_quant, out_quant = _per_tensor(a), _per_tensor(b), _per_tensor(output)
    _check_multiplier(a_quant.scale[0] * b_quant.scale[0] / out_quant.scale[0])
    terms = shapes[0][-2] if attrs["transpose_a"] else shapes[0][-1]
    _check_sum(terms * _largest(a_quant) * _largest(b_quant), terms)


def _binary(multipliers):
    """Rule of an op on two operands; `multipliers(s_a, s_b, s_out)` are those of its int8 form (None: it has none)."""

    def rule(inputs, output, attrs, shapes):
        a, b = inputs
        _need_dtypes(a.dtype, b, output)
        if a.dtype == "int8" and multipliers is not None:
            scales = [_per_tensor(tensor).scale[0] for tensor in (a, b, output)]
            for multiplier in multipliers(*scales):
                _check_multiplier(multiplier)
        elif a.dtype in ("int32", "int64"):
            _need_no_quant(a, b, output)
        elif a.dtype != "float32":
            raise ModelFormatError(f"'{a.name}' is {a.dtype}")
        check_clamp(output, attrs)

    return rule


add = _binary(lambda a, b, out: (a / out, b / out))
mul = _binary(lambda a, b, out: (a * b / out,))
# x / 0 is infinite, and infinity times a multiplier of 0 would be NaN: neither it nor its inverse may vanish.
div = _binary(lambda a, b, out: (a / b / out, out * b / a))
# The squared quantity is a difference of real numbers: (255 * 2**52 * 2)**2 is still a float32.
squared_difference = _binary(lambda a, b, out: (a * 2.0**12, b * 2.0**12, 1.0 / out))
floor_div = _binary(None)


def compare(inputs, output, attrs, shapes):
    """Numbers are compared as they are; of words that stand for others with their own scale it would mean nothing."""
    a, b = inputs
    _need_dtypes(a.dtype, b)
    _need_dtypes("bool", output)
    _need_no_quant(a, b)


def select(inputs, output, attrs, shapes):
    _need_dtypes("bool", inputs[0])
    copy(inputs[1:], output, attrs, shapes)


def running_sum(inputs, output, attrs, shapes):
    x = inputs[0]
    _need_dtypes(x.dtype, output)
    if x.dtype not in ("float32", "int32", "int64"):
        raise ModelFormatError(f"'{x.name}' is {x.dtype}")
    _need_no_quant(x, output)


def unary(inputs, output, attrs, shapes):
    x = inputs[0]
    _need_dtypes(x.dtype, output)
    if x.dtype in ("int32", "int64") and attrs["function"] in ("abs", "neg"):
        return _need_no_quant(x, output)
    _need_dtypes("float32", x)


def lookup(inputs, output, attrs, shapes):
    _need_dtypes("int8", *inputs, output)
    if inputs[1].data is None:
        raise ModelFormatError(f"the table '{inputs[1].name}' must be a constant")


def average(inputs, output, attrs, shapes):
    """Average pooling; `reduce_` shares its arithmetic."""
    if inputs[0].dtype == "float32":
        _need_dtypes("float32", output)
    else:
        _check_average(inputs[0], output, terms=attrs["kh"] * attrs["kw"])
    check_clamp(output, attrs)


def _check_average(x, output, terms):
    _need_dtypes("int8", x, output)
    _check_multiplier(_per_tensor(x).scale[0] / _per_tensor(output).scale[0])
    _check_sum(terms * _largest(x.quant), terms)


def max_pool(inputs, output, attrs, shapes):
    _need_dtypes(inputs[0].dtype, output)
    if inputs[0].dtype not in ("int8", "float32"):
        raise ModelFormatError(f"'{inputs[0].name}' is {inputs[0].dtype}")
    _need_same_quant(inputs[0], output)
    check_clamp(output, attrs)


def reduce(inputs, output, attrs, shapes):
    x, function = inputs[0], attrs["function"]
    _need_dtypes(x.dtype, output)
    if x.dtype == "float32":
        return
    if function in ("max", "min"):
        return _need_same_quant(x, output)
    if x.dtype in ("int32", "int64") and function != "mean":
        return _need_no_quant(x, output)
    if function == "prod":
        raise ModelFormatError(f"'{x.name}' is {x.dtype}: a product needs float32, int32 or int64")
    _check_average(x, output, size([shapes[0][axis] for axis in attrs["axes"]]))


def softmax(inputs, output, attrs, shapes):
    if not attrs["beta"] > 0.0 or attrs["beta"] > MAX_MULTIPLIER:
        raise ModelFormatError(f"beta is {attrs['beta']}, not a positive number")
    if inputs[0].dtype == "float32":
        return _need_dtypes("float32", output)
    _need_dtypes("int8", inputs[0], output)
    _per_tensor(inputs[0])
    _check_multiplier(1.0 / _per_tensor(output).scale[0])


def float_only(inputs, output, attrs, shapes):
    _need_dtypes("float32", *inputs, output)


def copy(inputs, output, attrs, shapes):
    """Words move and keep their meaning: one type and one quantisation throughout."""
    _need_dtypes(output.dtype, *inputs)
    for tensor in inputs:
        _need_same_quant(tensor, output)


def pad(inputs, output, attrs, shapes):
    copy(inputs, output, attrs, shapes)
    check_word(attrs["value"], output, "value")


def resize(inputs, output, attrs, shapes):
    x = inputs[0]
    if attrs["mode"] == "nearest":
        return copy(inputs, output, attrs, shapes)
    _need_dtypes(x.dtype, output)
    if x.dtype == "int8":
        return _check_multiplier(_per_tensor(x).scale[0] / _per_tensor(output).scale[0])
    _need_dtypes("float32", x)


def gather(inputs, output, attrs, shapes):
    copy(inputs[:1], output, attrs, shapes)
    limit = shapes[0][attrs["axis"]]
    low, high = _constant_indices(inputs[1])
    if low < 0 or high >= limit:
        raise ModelFormatError(f"indices '{inputs[1].name}' run from {low} to {high}, axis {attrs['axis']} has {limit}")


def gather_nd(inputs, output, attrs, shapes):
    copy(inputs[:1], output, attrs, shapes)
    depth = shapes[1][-1]
    for axis in range(depth):
        low, high = _constant_indices(inputs[1], axis, depth)
        if low < 0 or high >= shapes[0][axis]:
            raise ModelFormatError(f"indices '{inputs[1].name}' run from {low} to {high} in axis {axis} of {shapes[0]}")


def _constant_indices(tensor, first=0, step=1):
    """Smallest and largest of every `step`-th constant index; (0, 0) for computed ones: kernels clamp those."""
    if tensor.dtype not in ("int32", "int64"):
        raise ModelFormatError(f"indices '{tensor.name}' are {tensor.dtype}, need int32 or int64")
    if tensor.data is None:
        return 0, 0
    words = memoryview(tensor.data).cast("B").cast("i" if tensor.dtype == "int32" else "q")[first::step]
    return min(words), max(words)


def arg_reduce(inputs, output, attrs, shapes):
    if inputs[0].dtype == "bool" or output.dtype not in ("int32", "int64"):
        raise ModelFormatError(f"takes no {inputs[0].dtype} '{inputs[0].name}' to {output.dtype} '{output.name}'")
    _need_no_quant(output)


def cast(inputs, output, attrs, shapes):
    """Words are converted as they are, quantised or not."""


def quantize(inputs, output, attrs, shapes):
    _need_dtypes("float32", *inputs)
    _per_tensor(output)


def dequantize(inputs, output, attrs, shapes):
    _need_dtypes("float32", output)
    _per_tensor(inputs[0])


def check_clamp(output, attrs):
    low, high = attrs.get("clamp_min"), attrs.get("clamp_max")
    check_word(low, output, "clamp_min")
    check_word(high, output, "clamp_max")
    if low is not None and high is not None and not low <= high:
        raise ModelFormatError(f"clamp_min {low} is above clamp_max {high}")


def check_word(value, output, name):
    """An attribute given in the output's own words: an int of its range, or a float that is not NaN."""
    if value is None:
        return
    if output.dtype == "float32":
        if type(value) is not float or value != value:
            raise ModelFormatError(f"{name} is {value!r}, needs a float for float32 '{output.name}'")
        return
    low, high = WORD_RANGE[output.dtype]
    if type(value) is not int or not low <= value <= high:
        raise ModelFormatError(f"{name} is {value!r}, needs an int in {low}..{high} for {output.dtype} '{output.name}'")


def _need_dtypes(dtype, *tensors):
    for tensor in tensors:
        if tensor is not None and tensor.dtype != dtype:
            raise ModelFormatError(f"'{tensor.name}' is {tensor.dtype}, needs {dtype}")


def _per_tensor(tensor):
    quant = tensor.quant
    if quant is None:
        raise ModelFormatError(f"{tensor.dtype} tensor '{tensor.name}' has no quantisation")
    if quant.axis is not None:
        raise ModelFormatError(f"'{tensor.name}' is quantised along axis {quant.axis}, needs one scale")
    return quant


def _need_same_quant(x, output):
    a, b = x.quant, output.quant
    if a is b:
        return
    if a is None or b is None or a.scale != b.scale or a.zero_point != b.zero_point or a.axis != b.axis:
        raise ModelFormatError(f"words are copied, but '{x.name}' has {a} and '{output.name}' {b}")


def _need_no_quant(*tensors):
    for tensor in tensors:
        if tensor.quant is not None:
            raise ModelFormatError(f"'{tensor.name}' is plain {tensor.dtype} here and has a quantisation")


def _largest(quant):
    """The largest |q - zero_point| that int8 words can give."""
    return max(127 - quant.zero_point, quant.zero_point + 128)


def _check_multiplier(value):
    if not value <= MAX_MULTIPLIER:
        raise ModelFormatError(f"scales give a multiplier of {value:.4g}, above {MAX_MULTIPLIER:.4g}")


def _check_sum(largest, terms):
    if largest > MAX_ACCUMULATOR:
        raise ModelFormatError(f"a sum of {terms} products can reach {largest}, int32 ends at {MAX_ACCUMULATOR}")
