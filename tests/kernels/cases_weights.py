"""Hard cases of the ops that multiply and accumulate: convolutions, linear layers, matrix products."""

import numpy as np
from case import Builder

ALL_CHANNELS = (1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65)
LOWEST = {"fill": "lowest", "weights": "lowest"}
HIGHEST = {"fill": "highest", "weights": "highest"}
OPPOSITE = {"fill": "lowest", "weights": "highest"}
EXTREMES = {"fill": "extremes", "weights": "extremes"}
TIES = {"scales": (1.0, 0.5, 1.0), "weights": [1], "bias": None, "per_channel": False}


def pads(top, bottom, left, right):
    return {"pad_top": top, "pad_bottom": bottom, "pad_left": left, "pad_right": right}


def few_outliers(shape, *places):
    """Weights that every dot product takes as they are, but for a -128 in a place or two."""
    words = np.random.default_rng(0).integers(-100, 101, shape)
    for place in places:
        words[place] = -128
    return words


PAD_1 = pads(1, 1, 1, 1)
STRIDE_2 = {"stride_h": 2, "stride_w": 2}
STRIDE_3 = {"stride_h": 3, "stride_w": 3}
ZEROS = {"x_zero_point": -7, "weight_zero_point": 11}

# name: (x shape, weight shape, attributes, options of `weighted`)
CONV2D = {
    "stride_beyond_the_picture": ((1, 1, 1, 700), (4, 1, 1, 700), {"pad_left": 40, "stride_w": 50}, {}),
    "one_pixel": ((1, 1, 1, 1), (1, 1, 1, 1), {}, {}),
    "1x1": ((1, 5, 7, 16), (8, 1, 1, 16), {}, {}),
    "1x1_stride_2": ((1, 7, 5, 8), (9, 1, 1, 8), STRIDE_2, {}),
    "3x3_same": ((1, 8, 8, 16), (16, 3, 3, 16), PAD_1, {}),
    "3x3_rgb_stride_2": ((1, 15, 13, 3), (16, 3, 3, 3), {**pads(0, 1, 0, 1), **STRIDE_2}, {}),
    "5x5_prime": ((1, 13, 11, 7), (11, 5, 5, 7), pads(2, 0, 1, 3), {}),
    "7x7_rgb_stride_2": ((1, 23, 21, 3), (5, 7, 7, 3), {**pads(3, 2, 0, 0), **STRIDE_2}, {}),
    "kws_10x4": ((1, 49, 10, 1), (64, 10, 4, 1), {**pads(4, 5, 1, 1), **STRIDE_2}, {}),
    "1x7": ((1, 3, 17, 5), (6, 1, 7, 5), pads(0, 0, 3, 3), {}),
    "7x1": ((1, 17, 3, 5), (6, 7, 1, 5), {"pad_top": 6}, {}),
    "stride_beyond_kernel": ((1, 11, 11, 4), (4, 2, 2, 4), {"stride_h": 3, "stride_w": 5}, {}),
    "asymmetric_pads": ((1, 4, 5, 8), (8, 3, 3, 8), pads(2, 0, 0, 1), {}),
    "pads_beyond_kernel": ((1, 2, 3, 4), (5, 2, 2, 4), pads(3, 4, 5, 2), {}),
    "dilation": ((1, 11, 13, 5), (7, 3, 3, 5), {"dilation_h": 2, "dilation_w": 3, **pads(2, 0, 0, 3)}, {}),
    "dilation_and_stride": ((1, 17, 16, 4), (8, 3, 2, 4), {"dilation_h": 3, "dilation_w": 4, **STRIDE_2}, {}),
    "groups_2": ((1, 5, 5, 8), (6, 3, 3, 4), {"groups": 2, **PAD_1}, {}),
    "groups_3_odd": ((2, 5, 4, 15), (9, 1, 1, 5), {"groups": 3}, {}),
    "groups_all": ((1, 6, 6, 7), (7, 3, 3, 1), {"groups": 7, **PAD_1}, {}),
    "groups_wide": ((1, 3, 3, 64), (96, 3, 3, 32), {"groups": 2, **PAD_1}, {}),
    "batch_3": ((3, 6, 5, 9), (17, 3, 3, 9), PAD_1, {}),
    "batch_2_stride_2": ((2, 9, 9, 16), (33, 3, 3, 16), {**PAD_1, **STRIDE_2}, {}),
    "window_is_picture": ((2, 5, 6, 12), (10, 5, 6, 12), {}, {}),
    "no_bias": ((1, 5, 5, 6), (7, 3, 3, 6), PAD_1, {"bias": None}),
    "per_tensor": ((1, 5, 5, 6), (19, 3, 3, 6), PAD_1, {"per_channel": False}),
    "relu": ((1, 6, 6, 8), (16, 3, 3, 8), {**PAD_1, "clamp_min": -5}, {"out_zero_point": -5}),
    "clamp_both": ((1, 6, 6, 8), (16, 3, 3, 8), {**PAD_1, "clamp_min": -20, "clamp_max": 21}, {}),
    "clamp_to_one_word": ((1, 4, 4, 8), (8, 3, 3, 8), {**PAD_1, "clamp_min": 7, "clamp_max": 7}, {}),
    "x_zero_point_lowest": ((1, 6, 6, 8), (9, 3, 3, 8), PAD_1, {"x_zero_point": -128}),
    "x_zero_point_highest": ((1, 6, 6, 8), (9, 3, 3, 8), PAD_1, {"x_zero_point": 127, "out_zero_point": 127}),
    "weight_zero_point": ((1, 6, 7, 5), (10, 3, 3, 5), PAD_1, {"x_zero_point": 3, "weight_zero_point": 23}),
    "weight_zero_point_lowest": ((1, 6, 7, 16), (17, 3, 3, 16), PAD_1, {"x_zero_point": -1, "weight_zero_point": -128}),
    "weight_zero_point_1x1": ((2, 3, 7, 31), (33, 1, 1, 31), {}, {"x_zero_point": 127, "weight_zero_point": 127}),
    "weight_zero_point_groups": ((1, 5, 5, 8), (6, 3, 3, 4), {"groups": 2}, ZEROS),
    "lowest_words": ((1, 5, 5, 33), (5, 3, 3, 33), PAD_1, {"x_zero_point": 127, **LOWEST}),
    "highest_words": ((1, 5, 5, 33), (5, 3, 3, 33), PAD_1, {"x_zero_point": -128, **HIGHEST}),
    "extreme_words": ((1, 6, 6, 17), (18, 3, 3, 17), PAD_1, {"x_zero_point": -128, **EXTREMES}),
    "ties": ((1, 16, 16, 1), (3, 1, 1, 1), {}, TIES),
    "tiny_multiplier": ((1, 4, 4, 8), (8, 3, 3, 8), {}, {"scales": (1e-20, 1e-25, 1e3), "out_zero_point": 11}),
    "huge_multiplier": ((1, 4, 4, 8), (8, 3, 3, 8), {}, {"scales": (1e3, 1e3, 1e-10), "out_zero_point": 11}),
    "multipliers_far_apart": ((1, 5, 5, 8), (8, 3, 3, 8), {}, {"scales": (0.05, [10.0**-i for i in range(1, 9)], 0.3)}),
    "bias_at_int32_limits": ((1, 3, 3, 4), (4, 1, 1, 4), {}, {"bias": [2**31 - 1, -(2**31), 2**31 - 9, 9 - 2**31]}),
}  # fmt: skip
CONV2D |= {
    "outliers_in_one_panel": (
        (1, 5, 6, 19), (40, 3, 3, 19), PAD_1, {"weights": few_outliers((40, 3, 3, 19), (37, 1, 2, 18), (37, 0, 0, 0))},
    ),
    "outlier_in_the_last_weight": (
        (1, 3, 7, 36), (33, 1, 1, 36), {}, {"weights": few_outliers((33, 1, 1, 36), (32, 0, 0, 35))},
    ),
    "outliers_with_zero_point": (
        (1, 4, 5, 20), (70, 3, 2, 20), {},
        {**ZEROS, "weights": few_outliers((70, 3, 2, 20), (3, 2, 1, 0), (68, 0, 0, 7))},
    ),
    "1x1_stride_2_odd": ((2, 7, 9, 33), (20, 1, 1, 33), STRIDE_2, {}),
    "1x1_stride_down": ((2, 9, 5, 17), (9, 1, 1, 17), {"stride_h": 3}, {}),
    "1x1_stride_across": ((1, 5, 11, 6), (9, 1, 1, 6), {"stride_w": 2}, {}),
    "1x1_groups_stride_2": ((1, 7, 7, 16), (24, 1, 1, 8), {"groups": 2, **STRIDE_2}, {}),
}  # fmt: skip
CONV2D |= {f"1x1_to_{c}": ((1, 3, 3, 13), (c, 1, 1, 13), {}, {}) for c in ALL_CHANNELS}
CONV2D |= {f"3x3_from_{c}": ((1, 4, 5, c), (6, 3, 3, c), PAD_1, {}) for c in ALL_CHANNELS}
CONV2D |= {
    f"{rows}_pixels": ((1, 1, rows, 24), (40, 1, 1, 24), {}, {}) for rows in (2, 5, 6, 7, 8, 9, 13, 14, 15, 16, 63)
}

DEPTHWISE = {
    "stride_beyond_the_picture": ((1, 1, 1, 700), (1, 1, 700), {"pad_left": 40, "stride_w": 50}, {}),
    "weights_of_255": ((1, 5, 5, 17), (3, 3, 17), {}, {"weight_zero_point": -128, "weights": "highest"}),
    "one_pixel": ((1, 1, 1, 1), (1, 1, 1), {}, {}),
    "3x3_same": ((1, 8, 8, 16), (3, 3, 16), PAD_1, {}),
    "3x3_stride_2": ((1, 15, 13, 24), (3, 3, 24), {**pads(0, 1, 0, 1), **STRIDE_2}, {}),
    "3x3_stride_2_same": ((1, 12, 10, 64), (3, 3, 64), {**PAD_1, **STRIDE_2}, {}),
    "5x5": ((1, 9, 9, 40), (5, 5, 40), pads(2, 2, 2, 2), {}),
    # more than three rows go through the dot product in two parts, five columns at stride 1 by a way of their own
    "5x5_64": ((1, 7, 9, 64), (5, 5, 64), pads(2, 2, 2, 2), {}),
    "5x5_96_batch": ((2, 6, 8, 96), (5, 5, 96), pads(2, 2, 2, 2), {}),
    "5x5_72_extremes": ((1, 6, 12, 72), (5, 5, 72), {**pads(2, 2, 2, 2), "clamp_min": -20, "clamp_max": 90}, EXTREMES),
    "5x5_weight_zero_point": ((1, 7, 7, 80), (5, 5, 80), pads(2, 2, 2, 2), {"weight_zero_point": -128, **EXTREMES}),
    "5x5_dilated": ((1, 11, 12, 70), (5, 5, 70), {"dilation_h": 2, "dilation_w": 2}, {}),
    "5x5_dilated_rows": ((1, 11, 7, 70), (5, 5, 70), {"dilation_h": 2}, {}),
    "4x5": ((1, 9, 8, 67), (4, 5, 67), pads(1, 2, 2, 2), {}),
    "6x5_multiplier": ((1, 9, 8, 36), (6, 5, 72), pads(2, 3, 2, 2), {}),
    "5x3_stride_2": ((1, 11, 11, 65), (5, 3, 65), {**pads(2, 2, 1, 1), **STRIDE_2}, {}),
    "6x1": ((1, 8, 5, 20), (6, 1, 20), {}, {}),
    "7x5": ((1, 9, 7, 66), (7, 5, 66), pads(3, 3, 2, 2), {}),
    "5x5_stride_2_prime": ((1, 13, 11, 17), (5, 5, 17), {**pads(1, 0, 2, 0), **STRIDE_2}, {}),
    "7x7": ((1, 7, 7, 9), (7, 7, 9), pads(3, 3, 3, 3), {}),
    "2x2_even": ((1, 6, 7, 33), (2, 2, 33), pads(0, 1, 0, 1), {}),
    "1x1": ((1, 5, 5, 12), (1, 1, 12), {}, {}),
    "1x3": ((1, 5, 9, 20), (1, 3, 20), pads(0, 0, 1, 1), {}),
    "3x1": ((1, 9, 5, 20), (3, 1, 20), pads(1, 1, 0, 0), {}),
    "asymmetric_pads": ((1, 4, 5, 8), (3, 3, 8), pads(2, 0, 0, 1), {}),
    "pads_beyond_kernel": ((1, 2, 3, 20), (2, 2, 20), pads(3, 2, 4, 2), {}),
    "dilation": ((1, 11, 12, 19), (3, 3, 19), {"dilation_h": 2, "dilation_w": 3, **pads(2, 0, 3, 0)}, {}),
    "stride_3_by_2": ((1, 11, 12, 16), (3, 3, 16), {"stride_h": 3, "stride_w": 2}, {}),
    "batch_3": ((3, 5, 6, 18), (3, 3, 18), PAD_1, {}),
    "batch_2_stride_2": ((2, 7, 7, 64), (3, 3, 64), {**PAD_1, **STRIDE_2}, {}),
    "picture_smaller_than_kernel": ((1, 1, 2, 16), (3, 3, 16), PAD_1, {}),
    "window_is_picture": ((2, 5, 5, 24), (5, 5, 24), {}, {}),
    "one_row": ((1, 1, 33, 64), (3, 3, 64), PAD_1, {}),
    "wide": ((1, 3, 70, 32), (3, 3, 32), PAD_1, {}),
    "last_block_a_quarter": ((1, 6, 8, 144), (3, 3, 144), PAD_1, {}),
    "last_block_a_quarter_stride_2": ((1, 8, 9, 80), (3, 3, 80), {**PAD_1, **STRIDE_2}, {}),
    "last_block_a_half": ((1, 6, 8, 96), (3, 3, 96), PAD_1, {}),
    "last_block_a_half_stride_2": ((1, 9, 8, 91), (3, 3, 91), {**PAD_1, **STRIDE_2}, {}),
    "narrow_stride_2": ((1, 9, 10, 7), (3, 3, 7), {**PAD_1, **STRIDE_2}, {}),
    "narrow_block_of_255": ((1, 5, 6, 80), (3, 3, 80), PAD_1, {"weight_zero_point": -128, "weights": "highest"}),
    "multiplier_2": ((1, 5, 5, 8), (3, 3, 16), PAD_1, {}),
    "multiplier_3_odd": ((2, 5, 6, 5), (3, 3, 15), {**PAD_1, **STRIDE_2}, {}),
    "multiplier_8_from_1": ((1, 10, 9, 1), (3, 3, 8), PAD_1, {}),
    "multiplier_32_from_2": ((1, 6, 6, 2), (5, 5, 64), {}, {"weight_zero_point": 9, "x_zero_point": -30}),
    "no_bias": ((1, 5, 5, 16), (3, 3, 16), PAD_1, {"bias": None}),
    "per_tensor": ((1, 5, 5, 35), (3, 3, 35), PAD_1, {"per_channel": False}),
    "relu": ((1, 6, 6, 16), (3, 3, 16), {**PAD_1, "clamp_min": -128}, {"out_zero_point": -128}),
    "clamp_both": ((1, 6, 6, 16), (3, 3, 16), {**PAD_1, "clamp_min": -10, "clamp_max": 9}, {}),
    "x_zero_point_lowest": ((1, 6, 6, 16), (3, 3, 16), PAD_1, {"x_zero_point": -128}),
    "x_zero_point_highest": ((1, 6, 6, 16), (3, 3, 16), PAD_1, {"x_zero_point": 127}),
    "weight_zero_point": ((1, 6, 7, 20), (3, 3, 20), PAD_1, {"x_zero_point": 3, "weight_zero_point": -17}),
    "weight_zero_point_lowest": ((1, 6, 7, 64), (3, 3, 64), PAD_1, {"weight_zero_point": -128, "weights": "highest"}),
    "weight_zero_point_highest": ((1, 6, 7, 16), (3, 3, 16), PAD_1, {"weight_zero_point": 127, "weights": "lowest"}),
    "lowest_words": ((1, 5, 5, 33), (3, 3, 33), PAD_1, {"x_zero_point": 127, **LOWEST}),
    "highest_words": ((1, 5, 5, 33), (3, 3, 33), PAD_1, {"x_zero_point": -128, **HIGHEST}),
    "extreme_words": ((1, 6, 6, 80), (5, 5, 80), {}, {"x_zero_point": -128, **EXTREMES}),
    "ties": ((1, 16, 16, 4), (1, 1, 4), {}, TIES),
    "huge_multiplier": ((1, 4, 4, 16), (3, 3, 16), {}, {"scales": (1e3, 1e3, 1e-10), "out_zero_point": 11}),
}  # fmt: skip
DEPTHWISE |= {f"{c}_channels": ((1, 5, 6, c), (3, 3, c), PAD_1, {}) for c in (*ALL_CHANNELS, 96, 112, 127, 128, 144)}
DEPTHWISE |= {f"5x5_{w}_wide": ((1, 4, w, 68), (5, 5, 68), pads(2, 2, 2, 2), {}) for w in (1, 2, 3, 4, 5, 6, 11)}
DEPTHWISE |= {f"{c}_channels_stride_2": ((1, 6, 5, c), (3, 3, c), {**PAD_1, **STRIDE_2}, {}) for c in (8, 31, 65, 100)}

TRANSPOSE = {
    "stride_1": ((1, 4, 5, 6), (7, 3, 3, 6), (1, 6, 7, 7), {}, {}),
    "stride_2_same": ((1, 5, 4, 8), (5, 3, 3, 8), (1, 10, 8, 5), {**pads(0, 1, 0, 1), **STRIDE_2}, {}),
    "stride_2_kernel_2": ((1, 5, 4, 16), (16, 2, 2, 16), (1, 10, 8, 16), STRIDE_2, {}),
    "stride_beyond_kernel": ((1, 3, 4, 3), (4, 2, 1, 3), (1, 9, 20, 4), {"stride_h": 3, "stride_w": 5}, {}),
    "stride_3_crops": ((1, 4, 3, 9), (17, 5, 4, 9), (1, 11, 8, 17), {**STRIDE_3, **pads(1, 2, 2, 0)}, {}),
    "batch_2": ((2, 3, 3, 5), (33, 4, 4, 5), (2, 6, 6, 33), {**pads(1, 1, 1, 1), **STRIDE_2}, {}),
    "weight_zero_point": ((1, 3, 4, 7), (6, 3, 3, 7), (1, 7, 9, 6), STRIDE_2, ZEROS),
    "no_bias_clamp": ((1, 3, 4, 7), (6, 3, 3, 7), (1, 7, 9, 6), {"clamp_max": 50, **STRIDE_2}, {"bias": None}),
    "extreme_words": ((1, 4, 4, 12), (8, 3, 3, 12), (1, 6, 6, 8), {}, {"x_zero_point": 127, **EXTREMES}),
}  # fmt: skip

LINEAR = {
    "one": ((1, 1), (1, 1), {}, {}),
    "vector": ((64,), (10, 64), {}, {}),
    "resnet_head": ((1, 64), (10, 64), {}, {}),
    "autoencoder": ((1, 640), (128, 640), {"clamp_min": -128}, {"out_zero_point": -128}),
    "rank_4": ((2, 3, 5, 12), (7, 12), {}, {}),
    "many_rows": ((100, 20), (30, 20), {}, {}),
    "weight_zero_point": ((5, 37), (19, 37), {}, {"weight_zero_point": -77, "x_zero_point": 19}),
    "no_bias": ((3, 37), (19, 37), {}, {"bias": None}),
    "per_tensor": ((3, 37), (19, 37), {}, {"per_channel": False}),
    "clamp": ((3, 37), (19, 37), {"clamp_min": -3, "clamp_max": 60}, {}),
    "largest_sum": ((2, 65_793), (2, 65_793), {}, {"x_zero_point": 127, **LOWEST, "bias": None}),
    "largest_sum_weight_zero_point": (
        (1, 33_025), (3, 33_025), {},
        {"x_zero_point": 127, "weight_zero_point": -128, **OPPOSITE, "bias": None},
    ),
    "sums_beyond_float32": ((3, 40_001), (5, 40_001), {}, {"x_zero_point": -128, **HIGHEST}),
    "ties": ((256, 1), (1, 1), {}, TIES),
}  # fmt: skip
LINEAR |= {
    f"{m}x{k}x{n}": ((m, k), (n, k), {}, {})
    for i, n in enumerate((1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 79, 127, 129))
    for m, k in ((i % 9 + 1, (1, 3, 4, 5, 15, 16, 17, 63, 64, 65, 67)[i % 11]), (1, 2 * n + 1))
}

MATMUL = {
    "square": ((1, 8, 8), (1, 8, 8), {}, {}),
    "vectors": ((1, 7), (7, 1), {}, {}),
    "prime": ((3, 5, 13), (3, 13, 11), {}, {"zero_points": (3, -7)}),
    "transpose_b": ((2, 5, 17), (2, 9, 17), {"transpose_b": 1}, {"zero_points": (-128, 127)}),
    "transpose_a": ((2, 17, 5), (2, 17, 9), {"transpose_a": 1}, {"zero_points": (127, -128)}),
    "transpose_both": ((2, 33, 5), (2, 9, 33), {"transpose_a": 1, "transpose_b": 1}, {}),
    "broadcast": ((2, 1, 4, 6), (3, 6, 5), {}, {"zero_points": (1, 2)}),
    "attention": ((1, 4, 16, 32), (1, 4, 16, 32), {"transpose_b": 1}, {}),
    "tails": ((1, 9, 65), (1, 65, 33), {}, {"zero_points": (-5, 9)}),
    "extreme_words": ((1, 4, 100), (1, 100, 4), {}, {"zero_points": (127, -128), "fill": "extremes"}),
}


def weighted(
    name, op, x_shape, weight_shape, attrs, *, shape=None, x_zero_point=-3, weight_zero_point=0, out_zero_point=4,
    fill="random", weights="random", bias="random", per_channel=True, scales=None,
):  # fmt: skip
    """scales: (x, weight, out); by default the outputs fill their range without leaving it much."""
    b = Builder(name)
    axis = 2 if op == "depthwise_conv2d" else 0
    c_out = weight_shape[axis]
    terms = np.prod(weight_shape) // c_out
    per_channel = per_channel and not weight_zero_point
    if scales is None:
        weight_scale = b.rng.uniform(0.002, 0.02, c_out if per_channel else 1)
        scales = (0.04, weight_scale, 0.04 * 0.01 * 70 * 80 * np.sqrt(terms) / 50)
    weight_scale = np.broadcast_to(scales[1], c_out) if per_channel else scales[1]
    b.input(x_shape, scale=scales[0], zero_point=x_zero_point, fill=fill)
    words = b.words(weight_shape, "int8", weights, weight_zero_point)
    b.constant(words, "int8", weight_scale, weight_zero_point, axis if per_channel else None)
    if bias is None:
        b.absent()
    else:
        spread = int(100 * np.sqrt(terms)) * 50
        b.constant(b.rng.integers(-spread, spread, c_out) if isinstance(bias, str) else bias, "int32")
    return b.case(op, attrs, shape, scale=scales[2], zero_point=out_zero_point)


def float_weighted(name, op, x_shape, weight_shape, attrs, shape=None):
    b = Builder(name)
    attrs = {key: value for key, value in attrs.items() if not key.startswith("clamp")} | {"clamp_min": 0.0}
    b.input(x_shape, "float32")
    b.constant(b.words(weight_shape, "float32", "random"), "float32")
    b.constant(b.rng.normal(0, 1, weight_shape[2 if op == "depthwise_conv2d" else 0]), "float32")
    return b.case(op, attrs, shape)


def matmul(name, a, b_shape, attrs, zero_points=(0, 0), fill="random"):
    b = Builder(name)
    b.input(a, scale=0.03, zero_point=zero_points[0], fill=fill)
    b.input(b_shape, scale=0.02, zero_point=zero_points[1], fill=fill)
    terms = a[-2 if attrs.get("transpose_a") else -1]
    return b.case("batch_matmul", attrs, scale=0.03 * 0.02 * 75 * 75 * np.sqrt(terms) / 50, zero_point=-6)


def float_matmul(name, a, b_shape, attrs):
    b = Builder(name)
    b.input(a, "float32")
    b.input(b_shape, "float32")
    return b.case("batch_matmul", attrs)


def cases():
    """Yields (name, function that builds the case)."""
    for op, table in ("conv2d", CONV2D), ("depthwise_conv2d", DEPTHWISE), ("linear", LINEAR):
        for key, (x, weight, attrs, options) in table.items():
            yield f"{op}/{key}", lambda n, o=op, x=x, w=weight, a=attrs, k=options: weighted(n, o, x, w, a, **k)
            if not options and max(weight) < 100:
                yield f"{op}/{key}_float", lambda n, o=op, x=x, w=weight, a=attrs: float_weighted(n, o, x, w, a)
    for key, (x, weight, out, attrs, options) in TRANSPOSE.items():
        op = "transpose_conv2d"
        yield (
            f"{op}/{key}",
            lambda n, o=op, x=x, w=weight, y=out, a=attrs, k=options: weighted(n, o, x, w, a, shape=y, **k),
        )
        if not options:
            yield (
                f"{op}/{key}_float",
                lambda n, o=op, x=x, w=weight, y=out, a=attrs: float_weighted(n, o, x, w, a, y),
            )
    for key, (a, b, attrs, options) in MATMUL.items():
        yield f"batch_matmul/{key}", lambda n, a=a, b=b, at=attrs, k=options: matmul(n, a, b, at, **k)
        if not options:
            yield f"batch_matmul/{key}_float", lambda n, a=a, b=b, at=attrs: float_matmul(n, a, b, at)
