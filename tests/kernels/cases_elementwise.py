"""Hard cases of the ops that work on words one by one, or reduce them: arithmetic, tables, pooling, softmax."""

import numpy as np
from case import Builder
from cases_weights import PAD_1, STRIDE_2, pads

from edgert.opset import COMPARE_FUNCTIONS, REDUCE_FUNCTIONS, UNARY_FUNCTIONS

ALL_WORDS = np.arange(-128, 128)
PAIRS = {"words": (ALL_WORDS[:, None], ALL_WORDS[None, :])}
LENGTHS = (1, 3, 15, 16, 17, 31, 33, 63, 64, 65, 127, 131, 257)

# name: (a shape, b shape, options of `binary`)
BINARY = {
    "same_shape": ((1, 4, 5, 6), (1, 4, 5, 6), {}),
    "every_pair_of_words": ((256, 1), (1, 256), PAIRS),
    "every_pair_zero_points": ((256, 1), (1, 256), {**PAIRS, "zero_points": (-128, 127, 5)}),
    "ties": ((256, 1), (1, 256), {**PAIRS, "scales": (0.5, 0.25, 0.5), "zero_points": (0, 0, 0)}),
    "scalar_b": ((2, 3, 7), (), {}),
    "scalar_a": ((), (2, 3, 7), {}),
    "two_scalars": ((), (), {}),
    "channel_vector": ((1, 3, 5, 17), (17,), {}),
    "channel_vector_first": ((17,), (1, 3, 5, 17), {}),
    "per_pixel": ((1, 3, 5, 17), (1, 3, 5, 1), {}),
    "per_row_and_column": ((1, 5, 1, 16), (1, 1, 9, 16), {}),
    "outer": ((7, 1), (1, 9), {}),
    "short_rows_of_many": ((13, 11, 1), (17,), {}),
    "short_rows_by_column": ((29, 7, 13), (7, 1), {}),
    "batch": ((3, 4, 5), (1, 4, 5), {}),
    "lower_rank": ((4, 5), (2, 3, 4, 5), {}),
    "scales_far_apart": ((5, 13), (5, 13), {"scales": (1e-6, 10.0, 0.3)}),
    "output_saturates": ((5, 13), (5, 13), {"scales": (0.5, 0.5, 0.001)}),
    "output_vanishes": ((5, 13), (5, 13), {"scales": (1e-5, 1e-5, 10.0)}),
    "zero_points_at_limits": ((5, 13), (5, 13), {"zero_points": (127, -128, -128)}),
    "extremes": ((6, 50), (6, 50), {"fill": "extremes", "zero_points": (-3, 4, 127)}),
    "equal_quantisation": ((5, 13), (5, 13), {"scales": (0.05,) * 3, "zero_points": (3,) * 3}),
    "equal_quantisation_broadcast": ((1, 3, 5, 17), (17,), {"scales": (0.05,) * 3, "zero_points": (-9,) * 3}),
    "clamp": ((5, 13), (5, 13), {"clamp": {"clamp_min": -7, "clamp_max": 20}}),
}  # fmt: skip
BINARY |= {f"length_{n}": ((n,), (n,), {}) for n in LENGTHS}
# What functions are defined on, where that is not everything; away from poles, where float32 keeps few digits.
DOMAINS = dict.fromkeys(("log", "sqrt", "rsqrt", "reciprocal"), (0.1, 5))
DOMAINS |= dict.fromkeys(("asin", "acos", "atanh"), (-0.9, 0.9)) | {"acosh": (1.1, 5), "tan": (-1.2, 1.2)}
WITH_ALPHA = ("leaky_relu", "elu", "celu", "thresholded_relu")
CLAMPED = ("add", "sub", "mul", "div")
INT8_BINARY = ("add", "sub", "mul", "div", "minimum", "maximum", "squared_difference")
ALL_BINARY = (*INT8_BINARY, "floor_div")

# name: (x shape, attributes, options of `pool`)
POOL = {
    "2x2": ((1, 6, 8, 16), {"kh": 2, "kw": 2, **STRIDE_2}, {}),
    "3x3_same": ((1, 7, 6, 5), {"kh": 3, "kw": 3, **PAD_1}, {}),
    "3x3_stride_2": ((2, 9, 8, 17), {"kh": 3, "kw": 3, **STRIDE_2, "pad_bottom": 1, "pad_right": 1}, {}),
    "3x3_wide": ((1, 5, 40, 7), {"kh": 3, "kw": 3, **PAD_1}, {}),
    "3x3_stride_2_same": ((1, 10, 9, 24), {"kh": 3, "kw": 3, **PAD_1, **STRIDE_2}, {}),
    "pads_almost_kernel": ((1, 4, 3, 3), {"kh": 4, "kw": 3, **pads(3, 3, 2, 2)}, {}),
    "global": ((1, 8, 8, 64), {"kh": 8, "kw": 8}, {}),
    "global_prime": ((2, 7, 5, 33), {"kh": 7, "kw": 5}, {}),
    "25x5": ((1, 25, 5, 64), {"kh": 25, "kw": 5}, {}),
    "stride_beyond_kernel": ((1, 11, 10, 4), {"kh": 2, "kw": 1, "stride_h": 4, "stride_w": 3}, {}),
    "1x1": ((1, 3, 4, 5), {"kh": 1, "kw": 1}, {}),
    "zero_point_lowest": ((1, 6, 6, 16), {"kh": 3, "kw": 3}, {"zero_point": -128}),
    "extremes": ((1, 6, 6, 15), {"kh": 2, "kw": 3}, {"fill": "extremes", "zero_point": 127}),
    "lowest": ((1, 6, 6, 15), {"kh": 3, "kw": 3, "pad_top": 1, "pad_left": 2}, {"fill": "lowest", "zero_point": 127}),
    "clamp": ((1, 6, 6, 16), {"kh": 2, "kw": 2, "clamp_min": -4, "clamp_max": 9}, {}),
    "ties": ((1, 32, 4, 4), {"kh": 2, "kw": 1}, {"scale": 0.5, "zero_point": 0}),
    "requantised": ((1, 6, 5, 17), {"kh": 3, "kw": 2}, {"out": (0.02, 3)}),
    "requantised_global": ((2, 7, 7, 33), {"kh": 7, "kw": 7}, {"out": (0.01, -128)}),
    "requantised_pads": ((1, 5, 5, 9), {"kh": 3, "kw": 3, **PAD_1}, {"out": (0.03, 127)}),
}  # fmt: skip
POOL |= {f"{c}_channels": ((1, 5, 4, c), {"kh": 2, "kw": 2}, {}) for c in (1, 3, 8, 15, 31, 32, 63, 65, 100)}

REDUCE = {
    "channels": ((3, 5, 17), (2,), {}),
    "pixels": ((1, 7, 7, 33), (1, 2), {}),
    "pixels_batch": ((3, 4, 5, 64), (1, 2), {"keep_dims": 1}),
    "first": ((5, 3, 16), (0,), {}),
    "middle": ((4, 9, 7), (1,), {"keep_dims": 1}),
    "all": ((3, 5, 7), (0, 1, 2), {}),
    "none": ((3, 5), (), {}),
    "apart": ((3, 4, 5, 6), (0, 2), {}),
    "one_element": ((1, 1, 8), (0, 1), {}),
    "long": ((2, 1031), (1,), {}),
}

SOFTMAX = {
    "classes_10": ((1, 10), {}),
    "classes_2": ((3, 2), {}),
    "one_class": ((2, 1), {}),
    "classes_1001": ((1, 1001), {}),
    "rows_4d": ((2, 3, 5, 7), {}),
    "vector": ((65,), {}),
    "beta": ((4, 17), {"beta": 2.5}),
    "small_scale": ((4, 17), {"scale": 1e-4}),
    "large_scale": ((4, 17), {"scale": 8.0}),
    "equal_words": ((2, 33), {"fill": "lowest"}),
    "extremes": ((4, 64), {"fill": "extremes"}),
    "fine_output": ((4, 9), {"scale_out": 1 / 4096, "zero_point": 0}),
}


def binary(
    name,
    op,
    a,
    b_shape,
    scales=(0.05, 0.03, 0.08),
    zero_points=(3, -5, 4),
    words=("random",) * 2,
    fill=None,
    clamp=None,
):
    b = Builder(name)
    for shape, scale, zero_point, given in zip((a, b_shape), scales, zero_points, words):
        b.input(shape, scale=scale, zero_point=zero_point, fill=fill or given)
    return b.case(op, clamp if op in CLAMPED else {}, scale=scales[2], zero_point=zero_points[2])


def plain_binary(name, op, dtype, a, b_shape):
    b = Builder(name)
    for shape in (a, b_shape):
        b.input(shape, dtype, scale=None, fill="random" if dtype == "float32" else b.rng.integers(-9, 9, shape))
    return b.case(op, {}, scale=None)


def power(name, a, b_shape):
    b = Builder(name)
    b.input(a, "float32", fill=b.rng.uniform(0.1, 3, a))
    b.input(b_shape, "float32")
    return b.case("pow", {}, scale=None)


def compare(name, function, dtype, a, b_shape):
    b = Builder(name)
    for shape in (a, b_shape):  # few values, so that some are equal
        b.input(shape, dtype, scale=None, fill=b.rng.integers(0, 2 if dtype == "bool" else 4, shape))
    return b.case("compare", {"function": function}, dtype="bool", scale=None)


def select(name, dtype, condition, a, b_shape):
    b = Builder(name)
    b.input(condition, "bool", scale=None)
    chosen = [b.input(shape, dtype, scale=0.05 if dtype == "int8" else None, zero_point=3) for shape in (a, b_shape)]
    return b.case("select", {}, like=chosen[0])


def running_sum(name, dtype, shape, attrs):
    b = Builder(name)
    b.input(shape, dtype, scale=None, fill="random" if dtype == "float32" else b.rng.integers(-99, 99, shape))
    return b.case("cumulative_sum", attrs, scale=None)


def lookup(name, shape, channels=None):
    b = Builder(name)
    b.input(shape, fill="random" if np.prod(shape) != 256 else ALL_WORDS.reshape(shape))
    b.constant(b.words((256,) if channels is None else (channels, 256), "int8", "random"))
    return b.case("lookup")


def unary(name, function, dtype="float32"):
    b = Builder(name)
    low, high = DOMAINS.get(function, (None, None))
    words = "random" if low is None else b.rng.uniform(low, high, (3, 17))
    b.input((3, 17), dtype, scale=None, fill=words)
    names = ("alpha", "beta")[: {"selu": 2, "hard_sigmoid": 2}.get(function, function in WITH_ALPHA)]
    return b.case("unary", {"function": function, **dict(zip(names, (0.25, 0.5)))}, scale=None)


def pool(name, op, x, attrs, scale=0.05, zero_point=-7, out=None, fill="random"):
    b = Builder(name)
    tensor = b.input(x, scale=scale, zero_point=zero_point, fill=fill)
    if out is None:
        return b.case(op, attrs, like=tensor)
    return b.case(op, attrs, scale=out[0], zero_point=out[1])


def float_pool(name, op, x, attrs):
    b = Builder(name)
    b.input(x, "float32")
    return b.case(op, {key: float(value) if key.startswith("clamp") else value for key, value in attrs.items()})


def reduce(name, function, dtype, shape, axes, attrs, fill="random", zero_point=-3):
    b = Builder(name)
    scale = 0.05 if dtype == "int8" else None
    tensor = b.input(shape, dtype, scale=scale, zero_point=zero_point, fill=fill)
    attrs = {"function": function, "axes": axes, **attrs}
    if function in ("max", "min") or dtype != "int8":
        return b.case("reduce", attrs, like=tensor)
    count = int(np.prod([shape[axis] for axis in axes]))
    return b.case("reduce", attrs, scale=0.03 if function == "mean" else 0.05 * np.sqrt(count), zero_point=7)


def arg(name, op, dtype, out_dtype, shape, axis, fill="random"):
    b = Builder(name)
    b.input(shape, dtype, fill=fill, scale=0.05 if dtype == "int8" else None)
    return b.case(op, {"axis": axis}, dtype=out_dtype, scale=None)


def softmax(name, shape, beta=1.0, scale=0.1, scale_out=1 / 256, zero_point=-128, fill="random"):
    b = Builder(name)
    b.input(shape, scale=scale, zero_point=11, fill=fill)
    return b.case("softmax", {"beta": beta}, scale=scale_out, zero_point=zero_point)


def float_softmax(name, op, shape):
    b = Builder(name)
    b.input(shape, "float32")
    return b.case(op)


def cases():
    """Yields (name, function that builds the case)."""
    for op in ALL_BINARY:
        for key, (a, b, options) in BINARY.items():
            if op in INT8_BINARY and not ("clamp" in options and op not in CLAMPED):
                yield f"{op}/{key}", lambda n, op=op, a=a, b=b, k=options: binary(n, op, a, b, **k)
            if not options and not key.startswith("length"):
                for dtype in ("float32", "int32", "int64"):
                    yield f"{op}/{key}_{dtype}", lambda n, op=op, d=dtype, a=a, b=b: plain_binary(n, op, d, a, b)
    for shape in [(n,) for n in LENGTHS] + [(256,), (16, 16), (2, 3, 5, 7), ()]:
        yield f"lookup/{'x'.join(map(str, shape)) or 'scalar'}", lambda n, s=shape: lookup(n, s)
    for shape in ((1,), (17,), (3, 1), (5, 16), (2, 3, 5, 7), (1, 13, 11, 64), (256, 1), (2, 256), (1, 256)):
        yield f"lookup/channels_{'x'.join(map(str, shape))}", lambda n, s=shape: lookup(n, s, s[-1])
    for function in UNARY_FUNCTIONS:
        yield f"unary/{function}", lambda n, f=function: unary(n, f)
    for function in ("abs", "neg"):
        yield f"unary/{function}_int32", lambda n, f=function: unary(n, f, "int32")
    for key in ("same_shape", "outer", "two_scalars", "lower_rank"):
        a, b, _ = BINARY[key]
        yield f"pow/{key}_float32", lambda n, a=a, b=b: power(n, a, b)
    yield from compare_cases()
    yield from pool_cases()
    yield from reduce_cases()


def compare_cases():
    for function in COMPARE_FUNCTIONS:
        for dtype in ("float32", "int64", "bool"):
            yield f"compare/{function}_{dtype}", lambda n, f=function, d=dtype: compare(n, f, d, (3, 1, 7), (5, 1))
    for dtype in ("float32", "int8", "int64", "bool"):
        yield f"select/{dtype}", lambda n, d=dtype: select(n, d, (2, 1, 5), (3, 5), (2, 3, 1))
    yield "select/scalars_float32", lambda n: select(n, "float32", (), (), ())
    for key, attrs in {"plain": {}, "exclusive": {"exclusive": 1}, "reverse": {"reverse": 1},
                       "both": {"exclusive": 1, "reverse": 1}}.items():  # fmt: skip
        for dtype in ("float32", "int32", "int64"):
            name = f"cumulative_sum/{key}_{dtype}"
            yield name, lambda n, d=dtype, a=attrs: running_sum(n, d, (3, 5, 4), {"axis": 1, **a})
    yield "cumulative_sum/one_float32", lambda n: running_sum(n, "float32", (4, 1), {"axis": 1, "exclusive": 1})


def pool_cases():
    for op in ("avg_pool2d", "max_pool2d"):
        for key, (x, attrs, options) in POOL.items():
            if not ("out" in options and op == "max_pool2d"):
                yield f"{op}/{key}", lambda n, op=op, x=x, a=attrs, k=options: pool(n, op, x, a, **k)
            if not options:
                yield f"{op}/{key}_float", lambda n, op=op, x=x, a=attrs: float_pool(n, op, x, a)


def reduce_cases():
    for function in REDUCE_FUNCTIONS:
        for key, (shape, axes, attrs) in REDUCE.items():
            yield (
                f"reduce/{function}_{key}_float",
                lambda n, f=function, s=shape, x=axes, a=attrs: reduce(n, f, "float32", s, x, a),
            )
            if function != "prod":
                yield (
                    f"reduce/{function}_{key}",
                    lambda n, f=function, s=shape, x=axes, a=attrs: reduce(n, f, "int8", s, x, a),
                )
    yield "reduce/sum_int32", lambda n: reduce(n, "sum", "int32", (4, 5), (0,), {}, fill=7)
    yield "reduce/max_int32", lambda n: reduce(n, "max", "int32", (4, 5), (0,), {})
    yield "reduce/sum_saturates", lambda n: reduce(n, "sum", "int8", (4, 500), (1,), {}, fill="lowest")
    yield "reduce/mean_lowest", lambda n: reduce(n, "mean", "int8", (4, 500), (1,), {}, fill="lowest", zero_point=127)
    for op in ("arg_max", "arg_min"):
        for key, shape, axis in (
            ("last", (3, 5, 17), 2),
            ("first", (7, 4), 0),
            ("middle", (2, 33, 3), 1),
            ("one", (4, 1), 1),
            ("columns", (2, 9, 35), 1),
            ("run", (2, 131), 1),
        ):
            yield f"{op}/{key}", lambda n, op=op, s=shape, x=axis: arg(n, op, "int8", "int32", s, x)
            yield f"{op}/{key}_int64", lambda n, op=op, s=shape, x=axis: arg(n, op, "int8", "int64", s, x)
            yield f"{op}/{key}_float", lambda n, op=op, s=shape, x=axis: arg(n, op, "float32", "int32", s, x)
        words = np.array([[3, 1, np.nan, 9, np.nan], [np.nan, 1, 2, 9, 0], [1, 7, 2, 0, 7]], np.float32)
        yield f"{op}/nan", lambda n, op=op, w=words: arg(n, op, "float32", "int32", (3, 5), 1, fill=w)
        yield f"{op}/equal_words", lambda n, op=op: arg(n, op, "int8", "int32", (3, 65), 1, fill="lowest")
    for key, (shape, options) in SOFTMAX.items():
        yield f"softmax/{key}", lambda n, s=shape, k=options: softmax(n, s, **k)
        for op in ("softmax", "log_softmax") if not options else ():
            yield f"{op}/{key}_float", lambda n, op=op, s=shape: float_softmax(n, op, s)
