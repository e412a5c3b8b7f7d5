"""Where each output pixel of a resize reads its input: TensorFlow Lite's rule, on plain Python numbers.

Source: tensorflow/lite/kernels/internal/reference/resize_bilinear.h and resize_nearest_neighbor.h. Coordinates are
float32 there, so every step here is rounded to float32 too.
"""

from math import ceil, floor

from edgert.kernels.requant import float32

WEIGHT_ONE = 2048  # a bilinear weight of 1; two of them and 255 stay below 2**31


def nearest(size_in, size_out, align_corners=False, half_pixel_centers=False):
    """For each output index the input index it copies."""
    scale, offset = _scale(size_in, size_out, align_corners), 0.5 if half_pixel_centers else 0.0
    indices = []
    for i in range(size_out):
        position = float32(float32(i + offset) * scale)
        index = floor(position + 0.5) if align_corners else floor(position)  # half away from zero; never negative
        indices.append(min(index, size_in - 1))
    return indices


def bilinear(size_in, size_out, align_corners=False, half_pixel_centers=False):
    """For each output index `(lower, upper, fraction)`: two input indices and the float32 way from one to the other."""
    scale = _scale(size_in, size_out, align_corners)
    rows = []
    for i in range(size_out):
        if half_pixel_centers:
            position = float32(float32(float32(i + 0.5) * scale) - 0.5)
        else:
            position = float32(i * scale)
        lower, upper = max(floor(position), 0), min(ceil(position), size_in - 1)
        # Left of the first and right of the last pixel both indices are that pixel: any fraction gives its value.
        rows.append((lower, upper, float32(position - lower) if lower < upper else 0.0))
    return rows


def integer_weight(fraction):
    """The weight of `upper` in 2048ths, half to even; `lower` has the rest."""
    return round(fraction * WEIGHT_ONE)


def _scale(size_in, size_out, align_corners):
    if align_corners and size_out > 1:
        return float32((size_in - 1) / (size_out - 1))
    return float32(size_in / size_out)
