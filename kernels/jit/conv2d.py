"""conv2d: output rows in bands. A band's input rows are copied once into scratch with their padding (and flipped sign
bits where the dot instruction wants them), then every pixel of the band is a row of the matrix product. Without padding
and flipping the band is the tensor itself.
"""

import numpy as np
from numba import carray

from edgert.kernels import requant
from edgert.kernels.jit import bands, gemm, simd
from edgert.kernels.jit.compiler import Constants, compiled, step
from edgert.kernels.jit.primitives import advance, int8_only


def make_conv2d(w, g, groups, group_c, out_index, band_rows, in_place, x_zero_point, weight_zero_point, segment_bytes):
    """The kernel of one node. w: its window, g: its matrix product; all of it constants."""
    isa = gemm.ISAS[g.isa]
    flip = isa.flip
    multiply = gemm.gemm_intrinsic(g)
    copy = bands.copy_band(w, (x_zero_point & 255) ^ flip, flip)
    h_in, h_out, w_out, c_in = w.h_in, w.h_out, w.w_out, w.c_in
    stride_h, stride_w, span_h = w.stride_h, w.stride_w, w.span_h
    out_rows, row_in = w.n * w.h_out, w.w_in * w.c_in
    row_bytes = row_in if in_place else w.row_width * w.c_in
    corrected = weight_zero_point != 0
    band_at = correction_bytes(w, band_rows) if corrected else 0
    segments, segments_at, channels, out_stride = g.segments, g.segments_at, g.channels, g.out_stride
    tiles = -(-g.panels // g.vecs)

    def conv2d(params, tensors, scratch, thread, n_threads):
        row, last_row, first, last = 0, out_rows, 0, tiles
        if out_rows >= 2 * n_threads or out_rows >= tiles:
            row, last_row = out_rows * thread // n_threads, out_rows * (thread + 1) // n_threads
        else:
            first, last = tiles * thread // n_threads, tiles * (thread + 1) // n_threads
        while row < last_row:
            y = row % h_out
            rows = min(band_rows, last_row - row, h_out - y)
            if in_place:
                band = advance(tensors[0], (row // h_out * h_in + y * stride_h) * row_in)
            else:
                band = advance(scratch, band_at)
                copy(band, tensors[0], row // h_out, y * stride_h, (rows - 1) * stride_h + span_h)
            for group in range(groups):
                here = advance(band, group * group_c)
                if corrected:
                    # -weight_zero_point * sum of the activations under each pixel
                    correction = carray(scratch, rows * w_out, np.int32)
                    offsets = carray(advance(params, segments_at), segments, np.int64)
                    for pixel in range(rows * w_out):
                        start = pixel // w_out * stride_h * row_bytes + pixel % w_out * stride_w * c_in
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


def correction_bytes(w, band_rows):
    return -(-4 * band_rows * w.w_out // 64) * 64


def bind(op, inputs, outputs, attrs):
    x, weight = inputs[:2]
    if not int8_only(x, weight, *outputs) or any(spec is not None and spec.data is None for spec in inputs[1:]):
        return None
    return bind_window(op, inputs, outputs[0], attrs, x.shape, outputs[0].shape, weight.shape)


def bind_window(op, inputs, out, attrs, x_shape, out_shape, kernel):
    """kernel: (O, KH, KW, C / groups)."""
    x, weight = inputs[:2]
    isa, groups = simd.vocabulary(), attrs.get("groups", 1)
    _, kh, kw, group_c = kernel
    w = bands.window(x_shape, out_shape, (kh, kw), attrs)
    if kh == kw == w.stride_h == w.stride_w == 1 and not w.padded:
        pixels = w.n * w.h_in * w.w_in  # no neighbours: one long column of pixels, cut anywhere
        w = w._replace(n=1, h_in=pixels, h_out=pixels, w_in=1, w_out=1, row_width=1)
    runs = w.dilation_w == 1 and groups == 1
    segments, segment_bytes = (kh, kw * group_c) if runs else (kh * kw, group_c)
    fits = not (w.pad_top or w.pad_left) and (w.h_out - 1) * w.stride_h + w.span_h <= w.h_in and w.row_width <= w.w_in
    # A run that is no multiple of 4 is read beyond its end.
    in_place = isa.flip == 0 and fits and x.data is None and segment_bytes % 4 == 0
    band_rows = bands.band_rows(w, w.c_in)
    weights = np.frombuffer(weight.data, np.int8).reshape(groups, -1, segments, segment_bytes)
    constants = Constants()
    g = _gemm(isa, w, inputs, out, attrs, weights, runs, band_rows, in_place, constants)
    zero_point = weight.quant.zero_point
    settings = {
        "w": w, "g": g, "groups": groups, "group_c": group_c, "out_index": len(inputs), "band_rows": band_rows,
        "in_place": in_place, "x_zero_point": x.quant.zero_point, "weight_zero_point": zero_point,
        "segment_bytes": segment_bytes,
    }  # fmt: skip
    scratch = 0 if in_place else bands.band_bytes(w, band_rows, w.c_in) + 64
    scratch += correction_bytes(w, band_rows) if zero_point else 0
    return step(op, compiled(make_conv2d, settings), constants, out.size * segments * segment_bytes, scratch)


def _gemm(isa, w, inputs, out, attrs, weights, runs, band_rows, in_place, constants):
    """The matrix product's description, its arrays put into `constants`."""
    x, weight = inputs[:2]
    bias = inputs[2] if len(inputs) > 2 else None
    _, channels, segments, segment_bytes = weights.shape
    row_bytes = (w.w_in if in_place else w.row_width) * w.c_in
    pixel, tap = np.arange(band_rows * w.w_out), np.arange(segments)
    pixels = pixel // w.w_out * w.stride_h * row_bytes + pixel % w.w_out * w.stride_w * w.c_in
    taps = tap * w.dilation_h * row_bytes
    if not runs:
        taps = tap // w.kw * w.dilation_h * row_bytes + tap % w.kw * w.dilation_w * w.c_in
    multipliers = requant.multipliers(x.quant.scale[0], weight.quant.scale, out.quant.scale[0])
    packed, folded, multiplier = gemm.pack(
        isa,
        weights,
        np.zeros(w.c_out, np.int32) if bias is None else np.frombuffer(bias.data, np.int32),
        np.broadcast_to(np.array(multipliers, np.float32), w.c_out),
        x.quant.zero_point,
        weight.quant.zero_point,
    )
    pixel_bytes = int(pixels[1]) if len(pixels) > 1 else 0
    even = bool((pixels == pixel * pixel_bytes).all())
    panels = -(-channels // isa.lanes)
    rows, vecs = gemm.tile_shape(isa, len(pixels), panels)
    return gemm.Gemm(
        isa=isa.name,
        segments=segments,
        segment_groups=-(-segment_bytes // 4),
        channels=channels,
        panels=panels,
        out_stride=w.c_out,
        rows=rows,
        vecs=vecs,
        clamp_min=attrs.get("clamp_min", -128),
        clamp_max=attrs.get("clamp_max", 127),
        zero_point=out.quant.zero_point,
        corrected=weight.quant.zero_point != 0,
        pixel_bytes=pixel_bytes,
        pixels_at=-1 if even else constants.add(pixels.astype(np.int32)),
        segments_at=constants.add(taps.astype(np.int64)),
        bias_at=constants.add(folded),
        multiplier_at=constants.add(multiplier),
        weights_at=constants.add(packed),
    )
