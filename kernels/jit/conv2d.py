"""conv2d and linear: output rows in bands. A band's input rows are copied once into scratch with their padding (and
flipped sign bits where the dot instruction wants them), then every pixel of the band is a row of the product. Without
padding and flipping the band is the tensor itself. A linear layer is an image one pixel wide.
"""

import numpy as np
from numba import carray

from edgert.kernels import requant
from edgert.kernels.jit import gemm, simd
from edgert.kernels.jit.compiler import Constants, compiled, step
from edgert.kernels.jit.primitives import advance

BAND_BYTES = 24576  # a band of activations and a panel of weights share a 32 KiB first-level cache


def make_conv2d(
    g, tiles, groups, group_c, h_in, w_in, c_in, h_out, w_out, out_rows, out_index, stride_h, pad_top, pad_left,
    row_width, span_h, band_rows, in_place, fill, flip, weight_zero_point, segment_bytes, stride_w,
):  # fmt: skip
    """The kernel of one node; all arguments are constants in it. tiles: of panels, the unit that threads share."""
    multiply = gemm.gemm_intrinsic(g)
    row_in, row_bytes = w_in * c_in, row_width * c_in
    band_row = row_in if in_place else row_bytes
    copied = min(w_in, row_width - pad_left) * c_in
    left = pad_left * c_in
    corrected = weight_zero_point != 0
    band_at = -(-4 * band_rows * w_out // 64) * 64 if corrected else 0
    segments, segments_at = g.segments, g.segments_at
    channels, out_stride = g.channels, g.out_stride
    by_rows = np.bool_(out_rows >= tiles)
    fill = np.uint8(fill)
    flip = np.uint8(flip)

    def conv2d(params, tensors, scratch, thread, n_threads):
        row, last_row, first, last = 0, out_rows, 0, tiles
        if by_rows or out_rows >= 2 * n_threads:
            row, last_row = out_rows * thread // n_threads, out_rows * (thread + 1) // n_threads
        else:
            first, last = tiles * thread // n_threads, tiles * (thread + 1) // n_threads
        while row < last_row:
            y = row % h_out
            rows = min(band_rows, last_row - row, h_out - y)
            image_row = row // h_out * h_in
            if in_place:
                band = advance(tensors[0], (image_row + y * stride_h) * row_in)
            else:
                band = advance(scratch, band_at)
                for r in range((rows - 1) * stride_h + span_h):
                    to = carray(advance(band, r * row_bytes), row_bytes, np.uint8)
                    source = y * stride_h + r - pad_top
                    if source < 0 or source >= h_in:
                        for i in range(row_bytes):
                            to[i] = fill
                    else:
                        x = carray(advance(tensors[0], (image_row + source) * row_in), row_in, np.uint8)
                        for i in range(left):
                            to[i] = fill
                        for i in range(copied):
                            to[left + i] = x[i] ^ flip
                        for i in range(left + copied, row_bytes):
                            to[i] = fill
            for group in range(groups):
                here = advance(band, group * group_c)
                if corrected:
                    correction = carray(scratch, rows * w_out, np.int32)
                    offsets = carray(advance(params, segments_at), segments, np.int64)
                    for pixel in range(rows * w_out):
                        start = pixel // w_out * stride_h * band_row + pixel % w_out * stride_w * c_in
                        total = 0
                        for s in range(segments):
                            run = carray(advance(here, start + offsets[s]), segment_bytes, np.uint8)
                            for i in range(segment_bytes):
                                total += np.int32(run[i]) if flip else np.int32(np.int8(run[i]))
                        correction[pixel] = -weight_zero_point * total
                out = advance(tensors[out_index], row * w_out * out_stride + group * channels)
                multiply(params, here, scratch, out, rows * w_out, group, first, last)
            row += rows

    return conv2d


def bind(op, inputs, outputs, attrs):
    x, weight, bias = inputs if len(inputs) == 3 else (*inputs, None)
    (out,) = outputs
    if {x.dtype, weight.dtype, out.dtype} != {"int8"} or weight.data is None or (bias and bias.data is None):
        return None
    if op == "linear":
        o, c = weight.shape
        rows = out.size // o
        x_shape, out_shape, kernel = (1, rows, 1, c), (1, rows, 1, o), (o, 1, 1, c)
    else:
        x_shape, out_shape, kernel = x.shape, out.shape, weight.shape
    return _bind(op, inputs, out, attrs, x_shape, out_shape, kernel)


def _bind(op, inputs, out, attrs, x_shape, out_shape, kernel):
    x, weight = inputs[:2]
    isa = simd.vocabulary()
    get = lambda name, default=0: attrs.get(name, default)  # noqa: E731
    stride_h, stride_w = get("stride_h", 1), get("stride_w", 1)
    dilation_h, dilation_w, groups = get("dilation_h", 1), get("dilation_w", 1), get("groups", 1)
    pad_top, pad_left = get("pad_top"), get("pad_left")
    n, h_in, w_in, c_in = x_shape
    _, h_out, w_out, c_out = out_shape
    _, kh, kw, group_c = kernel
    padded = pad_top or pad_left or get("pad_bottom") or get("pad_right")
    if kh == kw == stride_h == stride_w == 1 and not padded:
        h_in = h_out = n * h_in * w_in  # no neighbours: one long column of pixels, cut anywhere
        n = w_in = w_out = 1
    span_h, row_width = (kh - 1) * dilation_h + 1, (w_out - 1) * stride_w + (kw - 1) * dilation_w + 1
    runs = dilation_w == 1 and groups == 1
    segments, segment_bytes = (kh, kw * group_c) if runs else (kh * kw, group_c)
    fits = not (pad_top or pad_left) and (h_out - 1) * stride_h + span_h <= h_in and row_width <= w_in
    in_place = isa.flip == 0 and fits and x.data is None and segment_bytes % 4 == 0
    row_bytes = (w_in if in_place else row_width) * c_in
    most = max(1, min(h_out, (BAND_BYTES // row_width // c_in - span_h) // stride_h + 1))
    band_rows = -(-h_out // -(-h_out // most))
    places = np.arange(segments)
    if runs:
        places = places * dilation_h * row_bytes
    else:
        places = places // kw * dilation_h * row_bytes + places % kw * dilation_w * c_in
    pixel = np.arange(band_rows * w_out)
    pixels = pixel // w_out * stride_h * row_bytes + pixel % w_out * stride_w * c_in

    channels = c_out // groups
    panels = -(-channels // isa.lanes)
    rows, vecs = gemm.tile_shape(isa, band_rows * w_out, panels)
    zero_point = weight.quant.zero_point
    multipliers = np.array(requant.multipliers(x.quant.scale[0], weight.quant.scale, out.quant.scale[0]), np.float32)
    bias = inputs[2] if len(inputs) > 2 else None
    bias = np.zeros(c_out, np.int32) if bias is None else np.frombuffer(bias.data, np.int32)
    packed = gemm.pack(
        isa, np.frombuffer(weight.data, np.int8).reshape(groups, channels, segments, segment_bytes), bias,
        np.broadcast_to(multipliers, c_out), x.quant.zero_point, zero_point,
    )  # fmt: skip
    constants = Constants()
    step_bytes = int(pixels[1] - pixels[0]) if len(pixels) > 1 else 0
    even = bool((np.diff(pixels) == step_bytes).all())
    at = {
        "pixels_at": -1 if even else constants.add(pixels.astype(np.int32)),
        "segments_at": constants.add(places.astype(np.int64)),
        "bias_at": constants.add(packed[1]),
        "multiplier_at": constants.add(packed[2]),
        "weights_at": constants.add(packed[0]),
    }
    g = gemm.Gemm(
        isa=isa.name, segments=segments, segment_groups=-(-segment_bytes // 4), channels=channels, panels=panels,
        out_stride=c_out, rows=rows, vecs=vecs, clamp_min=get("clamp_min", -128), clamp_max=get("clamp_max", 127),
        zero_point=out.quant.zero_point, corrected=zero_point != 0, pixel_bytes=step_bytes, **at,
    )  # fmt: skip
    settings = dict(
        g=g, tiles=-(-panels // vecs), groups=groups, group_c=group_c, h_in=h_in, w_in=w_in, c_in=c_in, h_out=h_out,
        w_out=w_out, out_rows=n * h_out, out_index=len(inputs), stride_h=stride_h, pad_top=pad_top, pad_left=pad_left,
        row_width=row_width, span_h=span_h, band_rows=band_rows, in_place=in_place,
        fill=(x.quant.zero_point & 255) ^ isa.flip, flip=isa.flip, weight_zero_point=zero_point,
        segment_bytes=segment_bytes, stride_w=stride_w,
    )  # fmt: skip
    scratch = 0 if in_place else ((band_rows - 1) * stride_h + span_h) * row_bytes + 128
    if zero_point:
        scratch += 4 * band_rows * w_out + 128
    return step(op, compiled(make_conv2d, settings), constants, out.size * segments * segment_bytes, scratch)
