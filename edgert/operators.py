"""The operators' table: names, arity, attributes and the two rules of each (its output's shape, its numbers).

Layouts: activations NHWC, conv weights OHWI (I = c_in / groups), depthwise weights HWC (output channel = input channel
* multiplier + m), linear weights OI. Weights, biases and tables are constants. `opset` proves graphs by this table.
"""

from edgert import numerics, shapes, text_rules
from edgert.graph import MAX_DIM, MAX_RANK

REQUIRED = object()
MAX_INPUTS = 1024  # of one concat
_SMALL = 65_535  # strides, pads, kernel sides: products of a few of them stay far below 2**63

# An attribute: (type, default, smallest, largest), or (str, default, the words it may be).
_SIDE = (int, REQUIRED, 1, _SMALL)
_STEP = (int, 1, 1, _SMALL)
_PAD = (int, 0, 0, _SMALL)
_FLAG = (int, 0, 0, 1)
_AXIS = (int, REQUIRED, 0, MAX_RANK - 1)
_INTS = (tuple, REQUIRED, -(2**63), 2**63 - 1)
_WORD = (None, None)  # an int or a float, whichever the output's words are: numerics.check_word

_CLAMP = {"clamp_min": _WORD, "clamp_max": _WORD}
_PADS = {"pad_top": _PAD, "pad_bottom": _PAD, "pad_left": _PAD, "pad_right": _PAD}
_WINDOW = {"stride_h": _STEP, "stride_w": _STEP, **_PADS}
_DILATED = {**_WINDOW, "dilation_h": _STEP, "dilation_w": _STEP, **_CLAMP}
_POOL = {"kh": _SIDE, "kw": _SIDE, **_WINDOW, **_CLAMP}
_BATCH = {"block": _INTS, "before": _INTS, "after": _INTS}
_BLOCK = {"block": (int, REQUIRED, 1, _SMALL)}
_EPSILON = {"epsilon": (float, 1e-5, 0.0, 1.0)}
_ATTENTION = {"scale": (float, REQUIRED, -1e6, 1e6), "window": (int, 0, 0, MAX_DIM)}

_ACTIVATIONS = """
    relu relu6 leaky_relu sigmoid tanh silu gelu hard_swish elu gelu_tanh hard_sigmoid mish softplus softsign celu selu
    thresholded_relu
"""
_MATHS = """
    exp log sqrt rsqrt square abs neg floor ceil round sin cos erf reciprocal sign tan asin acos atan sinh cosh asinh
    acosh atanh
"""
UNARY_FUNCTIONS = (_ACTIVATIONS + _MATHS).split()
REDUCE_FUNCTIONS = ["mean", "sum", "max", "min", "prod"]
COMPARE_FUNCTIONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
GATES = ["silu", "gelu", "gelu_tanh"]
PAD_MODES = ["constant", "reflect", "symmetric"]


class Op:
    """One row of the table: how many inputs, attributes, rules.

    optional: positions of inputs that may be left out or be -1 (a bias, a second operand); both rules then get None.
    """

    __slots__ = ("attrs", "defaults", "least", "most", "numbers", "optional", "required", "shape", "stamp")

    def __init__(self, least, most, attrs, shape, numbers):
        self.least, self.most, self.attrs, self.shape, self.numbers = least, most, attrs, shape, numbers
        self.optional = range(least, most) if most <= 5 else ()  # concat takes many inputs, none of them absent
        self.defaults = {name: row[1] for name, row in attrs.items() if row[1] is not REQUIRED}
        self.required = [name for name, row in attrs.items() if row[1] is REQUIRED]


OPS = {
    "conv2d": Op(2, 3, {**_DILATED, "groups": _STEP}, shapes.conv2d, numerics.conv),
    "depthwise_conv2d": Op(2, 3, _DILATED, shapes.depthwise_conv2d, numerics.depthwise_conv),
    "transpose_conv2d": Op(2, 3, {**_WINDOW, **_CLAMP}, shapes.transpose_conv2d, numerics.conv),
    "linear": Op(2, 3, _CLAMP, shapes.linear, numerics.conv),
    "batch_matmul": Op(2, 2, {"transpose_a": _FLAG, "transpose_b": _FLAG}, shapes.batch_matmul, numerics.batch_matmul),
    "add": Op(2, 2, _CLAMP, shapes.binary, numerics.add),
    "sub": Op(2, 2, _CLAMP, shapes.binary, numerics.add),
    "mul": Op(2, 2, _CLAMP, shapes.binary, numerics.mul),
    "div": Op(2, 2, _CLAMP, shapes.binary, numerics.div),
    "minimum": Op(2, 2, {}, shapes.binary, numerics.add),
    "maximum": Op(2, 2, {}, shapes.binary, numerics.add),
    "floor_div": Op(2, 2, {}, shapes.binary, numerics.floor_div),
    "squared_difference": Op(2, 2, {}, shapes.binary, numerics.squared_difference),
    "pow": Op(2, 2, {}, shapes.binary, numerics.float_only),
    "compare": Op(2, 2, {"function": (str, REQUIRED, COMPARE_FUNCTIONS)}, shapes.binary, numerics.compare),
    "select": Op(3, 3, {}, shapes.select, numerics.select),
    "lookup": Op(2, 2, {}, shapes.lookup, numerics.lookup),
    "unary": Op(
        1,
        1,
        {"function": (str, REQUIRED, UNARY_FUNCTIONS), "alpha": (float, 0.0), "beta": (float, 0.0)},
        shapes.same,
        numerics.unary,
    ),
    "avg_pool2d": Op(1, 1, _POOL, shapes.pool2d, numerics.average),
    "max_pool2d": Op(1, 1, _POOL, shapes.pool2d, numerics.max_pool),
    "reduce": Op(
        1,
        1,
        {"function": (str, REQUIRED, REDUCE_FUNCTIONS), "axes": _INTS, "keep_dims": _FLAG},
        shapes.reduce,
        numerics.reduce,
    ),
    "cumulative_sum": Op(
        1, 1, {"axis": _AXIS, "exclusive": _FLAG, "reverse": _FLAG}, shapes.along_axis, numerics.running_sum
    ),
    "softmax": Op(1, 1, {"beta": (float, 1.0)}, shapes.along_last_axis, numerics.softmax),
    "log_softmax": Op(1, 1, {}, shapes.along_last_axis, numerics.float_only),
    "concat": Op(1, MAX_INPUTS, {"axis": _AXIS}, shapes.concat, numerics.copy),
    "slice": Op(1, 1, {"begin": _INTS, "step": (tuple, (), -(2**63), 2**63 - 1)}, shapes.slice, numerics.copy),
    "pad": Op(
        1,
        1,
        {"before": _INTS, "after": _INTS, "mode": (str, "constant", PAD_MODES), "value": _WORD},
        shapes.pad,
        numerics.pad,
    ),
    "resize": Op(
        1,
        1,
        {"mode": (str, REQUIRED, ["nearest", "bilinear"]), "align_corners": _FLAG, "half_pixel_centers": _FLAG},
        shapes.resize,
        numerics.resize,
    ),
    "reshape": Op(1, 1, {}, shapes.reshape, numerics.copy),
    "transpose": Op(1, 1, {"perm": _INTS}, shapes.transpose, numerics.copy),
    "gather": Op(
        2, 2, {"axis": (int, 0, 0, MAX_RANK - 1), "batch_dims": (int, 0, 0, MAX_RANK)}, shapes.gather, numerics.gather
    ),
    "gather_nd": Op(2, 2, {}, shapes.gather_nd, numerics.gather_nd),
    "arg_max": Op(1, 1, {"axis": _AXIS}, shapes.arg_reduce, numerics.arg_reduce),
    "arg_min": Op(1, 1, {"axis": _AXIS}, shapes.arg_reduce, numerics.arg_reduce),
    "cast": Op(1, 1, {}, shapes.same, numerics.cast),
    "quantize": Op(1, 1, {}, shapes.same, numerics.quantize),
    "dequantize": Op(1, 1, {}, shapes.same, numerics.dequantize),
    "space_to_batch": Op(1, 1, _BATCH, shapes.space_to_batch, numerics.copy),
    "batch_to_space": Op(1, 1, _BATCH, shapes.batch_to_space, numerics.copy),
    "space_to_depth": Op(1, 1, _BLOCK, shapes.space_to_depth, numerics.copy),
    "depth_to_space": Op(1, 1, _BLOCK, shapes.depth_to_space, numerics.copy),
    # Language models (docs/text.md)
    "positions": Op(2, 2, {}, text_rules.positions_shape, text_rules.positions),
    "embedding": Op(2, 4, {}, text_rules.embedding_shape, text_rules.embedding),
    "dynamic_linear": Op(3, 5, {}, text_rules.dynamic_linear_shape, text_rules.dynamic_linear),
    "layer_norm": Op(2, 3, _EPSILON, text_rules.norm_shape, text_rules.norm),
    "rms_norm": Op(2, 2, _EPSILON, text_rules.norm_shape, text_rules.norm),
    "gate": Op(1, 2, {"function": (str, REQUIRED, GATES)}, text_rules.gate_shape, text_rules.floats),
    "rope": Op(3, 3, {"interleaved": _FLAG}, text_rules.rope_shape, text_rules.rope),
    "cache_append": Op(2, 2, {}, text_rules.cache_append_shape, text_rules.cache_append),
    "attention": Op(4, 4, _ATTENTION, text_rules.attention_shape, text_rules.attention),
    "last_row": Op(1, 1, {}, text_rules.last_row_shape, text_rules.floats),
}


# Rows of custom ops by name, put there by edgert/custom.py; each has a `stamp`: the attributes that files record.
CUSTOM = {}
STAMP = {"op_version": (None, None), "op_hash": (None, None)}
