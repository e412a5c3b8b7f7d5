"""Builders of Resize and Upsample: any mode is, along each axis, a choice of pixels or a matrix product.

Where edgert's own resize reads the same pixels with the same weights, it is used: it has integer kernels.
"""

import math

import numpy as np

from edgert.convert.importers.onnx.arithmetic import along_last
from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError
from edgert.kernels import coordinates

MAX_SIDE = 2**20  # what edgert's resize takes
# (align_corners, half_pixel_centers) of edgert's resize
RULES = ((0, 0), (1, 0), (0, 1))


def resize(site):
    mode = site.attr("mode", "nearest")
    x = site.need_dtype(0, *(("float32", "int8") if mode == "nearest" else ("float32",)))
    shape = site.shape(x)
    if mode not in ("nearest", "linear", "cubic"):
        raise ConversionError(f"its mode is '{mode}'")
    axes, sizes, scales = _target(site, shape)
    if max(*sizes, *shape) > MAX_SIDE:
        raise Unsupported(f"a side of {max(*sizes, *shape)} pixels, more than {MAX_SIDE}")
    changed = [k for k, axis in enumerate(axes) if sizes[k] != shape[axis] or scales[k] != 1.0]
    if mode != "nearest" and site.attr("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        raise Unsupported("it crops")
    lines = {axes[k]: _positions(site, shape[axes[k]], sizes[k], scales[k]) for k in changed}
    if _as_picture(site, x, mode, lines, dict(zip(axes, sizes))):
        return
    for axis, positions in lines.items():
        x = _along(site, x, axis, mode, positions, scales[list(axes).index(axis)])
    site.define(x)


def _target(site, shape):
    """(axes, their output sizes, their scales)."""
    rank = len(shape)
    axes = tuple([site.axis(a, rank) for a in site.attrs["axes"]]) if "axes" in site.attrs else tuple(range(rank))
    if "scales" in site.attrs:
        scales = [float(v) for v in site.attrs["scales"]]
    else:
        place = 1 if site.opset < 11 or site.op_type == "Upsample" else 2
        scales = [float(v) for v in site.array(place).reshape(-1)] if site.has(place) else []
    if scales:
        if len(scales) != len(axes) or not all(0 < s < 2**20 for s in scales):
            raise ConversionError(f"its scales {scales} do not fit {shape}")
        return axes, [math.floor(shape[a] * s) for a, s in zip(axes, scales)], scales
    sizes = list(site.ints(3))
    if len(sizes) != len(axes) or min(sizes) < 1:
        raise ConversionError(f"{shape} is resized to {sizes}")
    scales = [size / shape[a] for size, a in zip(sizes, axes)]
    policy = site.attr("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        scale = min(scales) if policy == "not_larger" else max(scales)
        scales = [scale] * len(axes)
        sizes = [math.floor(scale * shape[a] + 0.5) for a in axes]
    return axes, sizes, scales


def _positions(site, size_in, size_out, scale):
    """Where each output pixel lies in the input (float64). Source: the operator Resize of the ONNX specification."""
    default = "asymmetric" if site.opset < 11 else "half_pixel"
    mode, x = site.attr("coordinate_transformation_mode", default), np.arange(size_out, dtype=np.float64)
    length = size_in * scale
    if mode == "half_pixel":
        return (x + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return (x + 0.5) / scale - 0.5 if length > 1 else np.zeros(size_out)
    if mode == "align_corners":
        return x * (size_in - 1) / (length - 1) if length > 1 else np.zeros(size_out)
    if mode == "asymmetric":
        return x / scale
    if mode == "half_pixel_symmetric":
        return size_in / 2 * (1 - size_out / length) + (x + 0.5) / scale - 0.5
    raise Unsupported(f"its coordinate_transformation_mode is '{mode}'")


def _nearest(site, positions, size_in):
    mode = site.attr("nearest_mode", "floor" if site.opset < 11 else "round_prefer_floor")
    if mode == "floor":
        indices = np.floor(positions)
    elif mode == "ceil":
        indices = np.ceil(positions)
    elif mode == "round_prefer_floor":
        indices = np.ceil(positions - 0.5)
    elif mode == "round_prefer_ceil":
        indices = np.floor(positions + 0.5)
    else:
        raise ConversionError(f"its nearest_mode is '{mode}'")
    return np.clip(indices, 0, size_in - 1).astype(np.int64)


def _as_picture(site, x, mode, lines, sizes):
    """Whether edgert's resize of height and width does exactly this; then it is output 0."""
    shape = site.shape(x)
    if len(shape) != 4 or not set(lines) <= {2, 3} or mode == "cubic" or site.attr("antialias", 0):
        return False
    if site.attr("exclude_outside", 0):
        return False
    for align, half in RULES:
        if all(_agrees(site, mode, shape[a], sizes.get(a, shape[a]), lines.get(a), align, half) for a in (2, 3)):
            attrs = {"mode": "nearest" if mode == "nearest" else "bilinear"}
            attrs |= {"align_corners": align} if align else {}
            attrs |= {"half_pixel_centers": half} if half else {}
            out = (shape[0], sizes.get(2, shape[2]), sizes.get(3, shape[3]), shape[1])
            site.define(site.channels_first(site.step("resize", [site.channels_last(x)], attrs, shape=out)))
            return True
    return False


def _agrees(site, mode, size_in, size_out, positions, align, half):
    if positions is None:
        return True
    if mode == "nearest":
        return coordinates.nearest(size_in, size_out, align, half) == _nearest(site, positions, size_in).tolist()
    rows = coordinates.bilinear(size_in, size_out, align, half)
    ours = np.array([lower + fraction if lower < upper else lower for lower, upper, fraction in rows])
    return bool(np.abs(ours - np.clip(positions, 0, size_in - 1)).max() < 1e-4)


def _along(site, x, axis, mode, positions, scale):
    """One axis: the nearest pixels, or a matrix (out, in) of weights."""
    size_in = site.shape(x)[axis]
    if mode == "nearest":
        return site.step("gather", [x, site.make(_nearest(site, positions, size_in))], {"axis": axis})
    site.need_room(len(positions), site.shape(x)[axis])
    weight = site.make(_matrix(site, mode, positions, size_in, scale).astype(np.float32))
    return along_last(site, x, axis, lambda y: site.step("linear", [y, weight, -1]))


def _matrix(site, mode, positions, size_in, scale):
    """Row i has the weights with which output i sums the input. Edges are repeated."""
    stretch = min(scale, 1.0) if site.attr("antialias", 0) else 1.0
    reach = math.ceil((1 if mode == "linear" else 2) / stretch)
    kernel = _triangle if mode == "linear" else _cubic(site.attr("cubic_coeff_a", -0.75))
    matrix = np.zeros((len(positions), size_in))
    for i, position in enumerate(positions):
        taps = np.arange(math.floor(position) - reach + 1, math.floor(position) + reach + 1)
        weights = kernel(np.abs((taps - position) * stretch))
        inside = (taps >= 0) & (taps < size_in)
        if site.attr("exclude_outside", 0):
            weights = np.where(inside, weights, 0.0)
        np.add.at(matrix[i], np.clip(taps, 0, size_in - 1), weights / weights.sum())
    return matrix


def _triangle(distance):
    return np.maximum(1 - distance, 0.0)


def _cubic(a):
    """Source: R. Keys, Cubic convolution interpolation for digital image processing, 1981."""

    def kernel(d):
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return np.where(d <= 1, near, np.where(d < 2, far, 0.0))

    return kernel
