"""Hard cases of the ops that move words, resize pictures or change the element type."""

from itertools import product

import numpy as np
from case import Builder

# op: {name: (x shape, attributes, output shape where attributes leave it free)}
COPIES = {
    "slice": {
        "begin": ((5, 7), {"begin": (1, 2)}, (3, 4)),
        "one_element": ((5, 7), {"begin": (4, 6)}, (1, 1)),
        "rows": ((1, 9, 5, 3), {"begin": (0, 2, 0, 0)}, (1, 4, 5, 3)),
        "channels": ((2, 3, 4, 33), {"begin": (0, 0, 0, 16)}, (2, 3, 4, 17)),
        "channel_of_many": ((1, 4, 4, 16), {"begin": (0, 0, 0, 5)}, (1, 4, 4, 1)),
        "steps": ((11, 13), {"begin": (1, 0), "step": (3, 5)}, (4, 3)),
        "backwards": ((11, 13), {"begin": (10, 12), "step": (-1, -4)}, (11, 4)),
        "mixed_steps": ((3, 4, 5, 6), {"begin": (2, 0, 4, 1), "step": (-2, 1, -3, 2)}, (2, 4, 2, 3)),
        "every_second": ((1, 5, 7, 34), {"begin": (0, 0, 0, 0), "step": (1, 1, 1, 2)}, (1, 5, 7, 17)),
        "every_second_from_1": ((2, 3, 4, 66), {"begin": (0, 0, 0, 1), "step": (1, 1, 1, 2)}, (2, 3, 4, 33)),
        "some_of_every_second": ((3, 5, 21), {"begin": (0, 1, 3), "step": (1, 2, 2)}, (3, 2, 7)),
        "whole": ((4, 65), {"begin": (0, 0)}, (4, 65)),
        "scalar": ((), {"begin": ()}, ()),
        "rank_6": ((2, 3, 2, 3, 2, 5), {"begin": (0, 1, 0, 1, 0, 2)}, (2, 2, 1, 2, 2, 3)),
    },
    "pad": {
        "rows": ((1, 4, 5, 3), {"before": (0, 1, 0, 0), "after": (0, 2, 0, 0)}, None),
        "pixels": ((2, 4, 5, 17), {"before": (0, 1, 2, 0), "after": (0, 2, 1, 0)}, None),
        "channels": ((1, 3, 3, 16), {"before": (0, 0, 0, 0), "after": (0, 0, 0, 16)}, None),
        "all_axes": ((2, 3, 4), {"before": (1, 2, 3), "after": (3, 2, 1)}, None),
        "nothing": ((3, 5), {"before": (0, 0), "after": (0, 0)}, None),
        "value": ((3, 5), {"before": (1, 1), "after": (1, 1), "value": -77}, None),
        "reflect": ((1, 5, 6, 3), {"before": (0, 4, 2, 0), "after": (0, 1, 5, 0), "mode": "reflect"}, None),
        "symmetric": ((1, 5, 6, 3), {"before": (0, 5, 2, 0), "after": (0, 1, 6, 0), "mode": "symmetric"}, None),
        "reflect_channels": ((2, 17), {"before": (0, 3), "after": (1, 16), "mode": "reflect"}, None),
    },
    "reshape": {
        "flatten": ((1, 4, 5, 6), {}, (1, 120)),
        "split": ((120,), {}, (2, 3, 4, 5)),
        "scalar": ((1, 1), {}, ()),
        "odd_bytes": ((7, 9), {}, (63,)),
    },
    "transpose": {
        "matrix": ((33, 65), {"perm": (1, 0)}, None),
        "nchw_to_nhwc": ((2, 3, 5, 7), {"perm": (0, 2, 3, 1)}, None),
        "nhwc_to_nchw": ((1, 5, 7, 17), {"perm": (0, 3, 1, 2)}, None),
        "identity": ((3, 4, 5), {"perm": (0, 1, 2)}, None),
        "reverse": ((2, 3, 4, 5), {"perm": (3, 2, 1, 0)}, None),
        "heads": ((1, 16, 4, 8), {"perm": (0, 2, 1, 3)}, None),
        "rank_6": ((2, 3, 2, 3, 2, 5), {"perm": (5, 1, 3, 0, 2, 4)}, None),
        "ones": ((1, 1, 7), {"perm": (2, 0, 1)}, None),
    },
    "space_to_batch": {
        "2x2": ((1, 6, 8, 5), {"block": (2, 2), "before": (0, 0), "after": (0, 0)}, None),
        "pads": ((2, 5, 7, 3), {"block": (3, 2), "before": (2, 0), "after": (2, 1)}, None),
        "1x4": ((1, 3, 8, 16), {"block": (1, 4), "before": (0, 2), "after": (0, 2)}, None),
    },
    "batch_to_space": {
        "2x2": ((4, 3, 4, 5), {"block": (2, 2), "before": (0, 0), "after": (0, 0)}, None),
        "crops": ((12, 3, 4, 3), {"block": (3, 2), "before": (2, 0), "after": (2, 1)}, None),
        "1x4": ((8, 3, 3, 16), {"block": (1, 4), "before": (0, 3), "after": (0, 2)}, None),
    },
    "space_to_depth": {"2": ((2, 4, 6, 3), {"block": 2}, None), "3": ((1, 6, 9, 5), {"block": 3}, None)},
    "depth_to_space": {"2": ((2, 3, 4, 12), {"block": 2}, None), "3": ((1, 2, 3, 45), {"block": 3}, None)},
}

CONCAT = {
    "channels": (((1, 3, 4, 5), (1, 3, 4, 8), (1, 3, 4, 1)), 3),
    "rows": (((1, 3, 4, 5), (1, 2, 4, 5)), 1),
    "batch": (((2, 7), (1, 7), (3, 7)), 0),
    "one_input": (((3, 5),), 1),
    "many": (((2, 3),) * 17, 1),
    "wide": (((4, 64), (4, 65), (4, 31)), 1),
}

RESIZE = {
    "double": ((1, 4, 5, 3), (8, 10)),
    "half": ((1, 8, 10, 17), (4, 5)),
    "prime": ((2, 7, 5, 4), (11, 13)),
    "shrink_prime": ((1, 13, 11, 16), (5, 3)),
    "from_one_pixel": ((1, 1, 1, 8), (4, 3)),
    "to_one_pixel": ((1, 5, 6, 8), (1, 1)),
    "same": ((1, 4, 4, 33), (4, 4)),
    "one_row": ((1, 1, 7, 5), (3, 20)),
}
RULES = {"": {}, "_align_corners": {"align_corners": 1}, "_half_pixel": {"half_pixel_centers": 1}}

# name: (x shape, indices, attributes)
GATHER = {
    "rows": ((7, 5), [3, 0, 6, 6], {}),
    "columns": ((3, 17), [16, 0, 5], {"axis": 1}),
    "middle": ((2, 5, 3), [[4, 1], [0, 2]], {"axis": 1}),
    "scalar_index": ((4, 5), 3, {}),
    "batch": ((3, 5, 4), [[0, 1], [4, 4], [2, 0]], {"axis": 1, "batch_dims": 1}),
    "batch_deep": ((2, 3, 5, 4), [[4, 0, 1], [2, 2, 3]], {"axis": 2, "batch_dims": 1}),
}
GATHER_ND = {
    "elements": ((3, 4), [[0, 1], [2, 3], [1, 1]]),
    "rows": ((5, 7), [[4], [0]]),
    "rank_4": ((1, 6, 6, 17), [[0, 2, 3, 16], [0, 5, 5, 0]]),
    "pixels": ((1, 6, 6, 17), [[[0, 2, 3]], [[0, 0, 5]]]),
    "one": ((5,), [3]),
}
CAST_FROM = ("float32", "int8", "uint8", "int16", "int32", "int64", "bool")
CAST_TO = ("float32", "int8", "int32", "int64", "bool", "uint8")
HARD_FLOATS = [0.0, -0.0, 0.5, 1.5, -0.5, -1.5, 2.5, 127.5, -128.5, 1e10, -1e10, 3e38, np.inf, -np.inf, np.nan, 1e-40]


def copy(name, op, dtype, x, attrs, shape):
    b = Builder(name)
    if dtype != "int8" and "value" in attrs:
        attrs = {**attrs, "value": 2.5 if dtype == "float32" else 1}
    tensor = b.input(x, dtype, scale=0.05 if dtype == "int8" else None, zero_point=9 if dtype == "int8" else 0)
    return b.case(op, attrs, shape, like=tensor)


def concat(name, dtype, shapes, axis):
    b = Builder(name)
    for shape in shapes:
        tensor = b.input(shape, dtype, scale=0.05 if dtype == "int8" else None)
    return b.case("concat", {"axis": axis}, like=tensor)


def resize(name, mode, dtype, x, size, rule, **quant):
    b = Builder(name)
    tensor = b.input(x, dtype, zero_point=-20 if dtype == "int8" else 0)
    shape = (x[0], *size, x[3])
    if mode == "nearest" or dtype != "int8":
        return b.case("resize", {"mode": mode, **rule}, shape, like=tensor)
    return b.case("resize", {"mode": mode, **rule}, shape, **{"scale": 0.05, "zero_point": -20, **quant})


def gather(name, op, dtype, x, indices, attrs, constant=True, index_dtype="int32"):
    b = Builder(name)
    tensor = b.input(x, dtype, scale=0.05 if dtype == "int8" else None)
    if constant:
        b.constant(indices, index_dtype)
    else:
        b.input(np.shape(indices), index_dtype, scale=None, fill=indices)
    return b.case(op, attrs, like=tensor)


def cast(name, dtype, out_dtype, words="random"):
    b = Builder(name)
    b.input((5, 13) if isinstance(words, str) else np.shape(words), dtype, scale=None, fill=words)
    return b.case("cast", dtype=out_dtype, scale=None)


def quantize(name, out_dtype, scale, zero_point, words):
    b = Builder(name)
    b.input(np.shape(words), "float32", fill=words)
    case = b.case("quantize", dtype=out_dtype, scale=scale, zero_point=zero_point)
    return case


def dequantize(name, dtype, scale, zero_point, shape):
    b = Builder(name)
    words = np.arange(-128, 128).reshape(shape) if dtype == "int8" and np.prod(shape) == 256 else "random"
    b.input(shape, dtype, scale=scale, zero_point=zero_point, fill=words)
    return b.case("dequantize", dtype="float32")


def cases():
    """Yields (name, function that builds the case)."""
    for op, table in COPIES.items():
        for key, (x, attrs, shape) in table.items():
            for dtype in ("int8", "float32", "int32", "int64", "int16", "bool"):
                label = f"{op}/{key}" + ("" if dtype == "int8" else f"_{dtype}")
                yield label, lambda n, o=op, d=dtype, x=x, a=attrs, s=shape: copy(n, o, d, x, a, s)
    for key, (shapes, axis) in CONCAT.items():
        for dtype in ("int8", "float32", "int32"):
            label = f"concat/{key}" + ("" if dtype == "int8" else f"_{dtype}")
            yield label, lambda n, d=dtype, s=shapes, x=axis: concat(n, d, s, x)
    yield from resize_cases()
    yield from gather_cases()
    yield from number_cases()


def resize_cases():
    for key, (x, size) in RESIZE.items():
        for rule, attrs in RULES.items():
            for mode in ("nearest", "bilinear"):
                for dtype in ("int8", "float32"):
                    label = f"resize/{mode}_{key}{rule}" + ("" if dtype == "int8" else "_float")
                    yield label, lambda n, m=mode, d=dtype, x=x, s=size, a=attrs: resize(n, m, d, x, s, a)
    yield (
        "resize/requantised",
        lambda n: resize(n, "bilinear", "int8", (1, 5, 5, 9), (9, 8), {}, scale=0.03, zero_point=5),
    )
    yield (
        "resize/saturates",
        lambda n: resize(n, "bilinear", "int8", (1, 5, 5, 9), (9, 8), {}, scale=0.001, zero_point=5),
    )


def gather_cases():
    for key, (x, indices, attrs) in GATHER.items():
        for dtype in ("int8", "float32", "int32"):
            label = f"gather/{key}" + ("" if dtype == "int8" else f"_{dtype}")
            yield label, lambda n, d=dtype, x=x, i=indices, a=attrs: gather(n, "gather", d, x, i, a)
        yield (
            f"gather/{key}_computed",
            lambda n, x=x, i=indices, a=attrs: gather(n, "gather", "int8", x, i, a, False, "int64"),
        )
    for key, (x, indices) in GATHER_ND.items():
        for dtype in ("int8", "float32", "int32"):
            label = f"gather_nd/{key}" + ("" if dtype == "int8" else f"_{dtype}")
            yield label, lambda n, d=dtype, x=x, i=indices: gather(n, "gather_nd", d, x, i, {})
        yield f"gather_nd/{key}_computed", lambda n, x=x, i=indices: gather(n, "gather_nd", "int8", x, i, {}, False)
    outside = [-1, 7, 2**31 - 1, -(2**31), 3]
    yield "gather/outside", lambda n: gather(n, "gather", "int8", (7, 5), outside, {}, False)
    far = [[-1, 0], [2**62, -(2**62)], [1, 9]]
    yield "gather_nd/outside", lambda n: gather(n, "gather_nd", "int8", (3, 4), far, {}, False, "int64")


def number_cases():
    for dtype, out_dtype in product(CAST_FROM, CAST_TO):
        yield f"cast/{dtype}_to_{out_dtype}", lambda n, a=dtype, b=out_dtype: cast(n, a, b)
    for out_dtype in ("int8", "int16", "int32", "int64", "uint8", "bool"):
        yield f"cast/hard_floats_to_{out_dtype}", lambda n, b=out_dtype: cast(n, "float32", b, HARD_FLOATS)
    spread = np.linspace(-8, 8, 1031)
    for out_dtype, zero_point in (("int8", -7), ("int8", -128), ("int8", 127), ("uint8", 3), ("int16", 0)):
        label = f"{out_dtype}_zero_point_{zero_point}"
        yield f"quantize/{label}", lambda n, d=out_dtype, z=zero_point: quantize(n, d, 0.05, z, spread)
        yield f"quantize/{label}_hard", lambda n, d=out_dtype, z=zero_point: quantize(n, d, 0.5, z, HARD_FLOATS)
        yield f"dequantize/{label}", lambda n, d=out_dtype, z=zero_point: dequantize(n, d, 0.05, z, (256,))
    for length in (1, 7, 15, 17, 33, 65):
        yield f"quantize/length_{length}", lambda n, k=length: quantize(n, "int8", 0.02, 5, spread[:k])
        yield f"dequantize/length_{length}", lambda n, k=length: dequantize(n, "int8", 0.02, 5, (k,))
