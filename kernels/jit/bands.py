"""Bands of output rows: what conv2d and depthwise_conv2d copy before they multiply."""

from collections import namedtuple

import numpy as np
from numba import carray, njit

from edgert.kernels.jit.cache import rename
from edgert.kernels.jit.primitives import advance

BAND_BYTES = 24576  # a band of activations and a panel of weights share a 32 KiB first-level cache

# Sizes in pixels. row_width: of a copied row, padding included. span_h: input rows under one output row.
Window = namedtuple(
    "Window",
    "n h_in w_in c_in h_out w_out c_out kh kw stride_h stride_w dilation_h dilation_w pad_top pad_left padded "
    "span_h row_width",
)


def window(x_shape, out_shape, kernel, attrs):
    """The geometry of a convolution. kernel: (kh, kw)."""
    n, h_in, w_in, c_in = x_shape
    _, h_out, w_out, c_out = out_shape
    kh, kw = kernel
    stride_h, stride_w, dilation_h, dilation_w = (
        attrs.get(name, 1) for name in ("stride_h", "stride_w", "dilation_h", "dilation_w")
    )
    pads = [attrs.get(name, 0) for name in ("pad_top", "pad_left", "pad_bottom", "pad_right")]
    span_h, row_width = (kh - 1) * dilation_h + 1, (w_out - 1) * stride_w + (kw - 1) * dilation_w + 1
    return Window(
        n, h_in, w_in, c_in, h_out, w_out, c_out, kh, kw, stride_h, stride_w, dilation_h, dilation_w, *pads[:2],
        any(pads), span_h, row_width,
    )  # fmt: skip


def band_rows(w, pixel_bytes):
    """Output rows of a band: as many as fit the cache, all bands about equal."""
    most = max(1, min(w.h_out, (BAND_BYTES // (w.row_width * pixel_bytes) - w.span_h) // w.stride_h + 1))
    return -(-w.h_out // -(-w.h_out // most))


def band_bytes(w, rows, pixel_bytes):
    return ((rows - 1) * w.stride_h + w.span_h) * w.row_width * pixel_bytes


def copy_band(w, fill, flip, repeat=1):
    """Makes copy(to, x, image, first, rows): input rows `first` .. of one image, counted with padding, to `to`.

    fill: the byte that padding is made of. flip: what every word is xored with. repeat: copies of each channel.
    """
    row_in, row_out = w.w_in * w.c_in, w.row_width * w.c_in * repeat
    left = min(w.pad_left, w.row_width) * w.c_in * repeat
    copied = max(0, min(w.w_in, w.row_width - w.pad_left)) * w.c_in
    pad_top, h_in = w.pad_top, w.h_in
    fill, flip = np.uint8(fill), np.uint8(flip)

    def copy(to, x, image, first, rows):
        for r in range(rows):
            row = carray(advance(to, r * row_out), row_out, np.uint8)
            source = first + r - pad_top
            if source < 0 or source >= h_in:
                for i in range(row_out):
                    row[i] = fill
                continue
            pixels = carray(advance(x, (image * h_in + source) * row_in), row_in, np.uint8)
            for i in range(left):
                row[i] = fill
            if repeat == 1:
                for i in range(copied):
                    row[left + i] = pixels[i] ^ flip
            else:
                for i in range(copied):
                    for m in range(repeat):
                        row[left + i * repeat + m] = pixels[i] ^ flip
            for i in range(left + copied * repeat, row_out):
                row[i] = fill

    return njit(error_model="numpy")(rename(copy, w, fill, flip, repeat))
