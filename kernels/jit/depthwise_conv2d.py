"""depthwise_conv2d: channels in lanes, taps two at a time, some neighbouring pixels together so that a weight is loaded
once for all. Works on bands of rows copied with their padding; a channel multiplier is copied out into the band.
"""

from collections import namedtuple

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from edgert.kernels import requant
from edgert.kernels.jit import bands, gemm, simd
from edgert.kernels.jit.compiler import Constants, compiled, step
from edgert.kernels.jit.primitives import advance, int8_only
from edgert.kernels.jit.simd import I64, at

UNROLLED = 6  # pairs of taps built one behind the other; more are a loop over a table of their offsets

# taps: bytes from a pixel to each tap of the pairs. *_at: byte offsets into params.
Depthwise = namedtuple(
    "Depthwise",
    "isa taps taps_at channels blocks pixels w_out pixel_step row_step clamp_min clamp_max zero_point "
    "bias_at multiplier_at weights_at",
)


def make_depthwise_conv2d(w, d, repeat, out_index, band_rows, x_zero_point):
    copy = bands.copy_band(w, x_zero_point & 255, 0, repeat)
    accumulate = rows_intrinsic(d)
    out_rows, h_out, stride_h, span_h = w.n * w.h_out, w.h_out, w.stride_h, w.span_h
    out_row = w.w_out * w.c_out

    def depthwise_conv2d(params, tensors, scratch, thread, n_threads):
        row, last_row = out_rows * thread // n_threads, out_rows * (thread + 1) // n_threads
        while row < last_row:
            y = row % h_out
            rows = min(band_rows, last_row - row, h_out - y)
            copy(scratch, tensors[0], row // h_out, y * stride_h, (rows - 1) * stride_h + span_h)
            accumulate(params, scratch, advance(tensors[out_index], row * out_row), rows)
            row += rows

    return depthwise_conv2d


def rows_intrinsic(d):
    """accumulate(params, band, out, rows): whole output rows of every channel."""

    @intrinsic
    def accumulate(context, params, band, out, rows):
        def build(context, builder, signature, args):
            Emitter(builder, d, *args).all_blocks()
            return context.get_dummy_value()

        return types.void(types.voidptr, types.voidptr, types.voidptr, types.intp), build

    return accumulate


class Emitter:
    """Writes the loops over blocks of channels, rows and pixels into a function that is being built."""

    def __init__(self, builder, d, params, band, out, rows):
        self.builder, self.d, self.params, self.band, self.out, self.rows = builder, d, params, band, out, rows
        self.isa = gemm.ISAS[d.isa](builder, d.clamp_min, d.clamp_max, d.zero_point)
        self.block = self.isa.lanes * self.isa.dw_vectors

    def all_blocks(self):
        whole = self.d.channels // self.block
        if whole:
            with cgutils.for_range(self.builder, I64(whole), intp=I64) as loop:
                self.all_rows(loop.index, self.block)
        if self.d.channels % self.block:
            self.all_rows(I64(whole), self.d.channels % self.block)

    def all_rows(self, block, channels):
        """The last step of a row goes back so that it is a whole one."""
        b, d = self.builder, self.d
        channel = b.mul(block, I64(self.block))
        with cgutils.for_range(b, self.rows, intp=I64) as y:
            band = at(b, at(b, self.band, b.mul(y.index, I64(d.row_step))), channel)
            out = at(b, at(b, self.out, b.mul(y.index, I64(d.w_out * d.channels))), channel)
            with cgutils.for_range(b, I64(-(-d.w_out // d.pixels)), intp=I64) as step:
                x, last = b.mul(step.index, I64(d.pixels)), I64(d.w_out - d.pixels)
                x = b.select(b.icmp_signed("<", x, last), x, last)
                self.some_pixels(x, block, band, out, channels)

    def some_pixels(self, x, block, band, out, channels):
        b, d, isa = self.builder, self.d, self.isa
        lanes = b.mul(block, I64(4 * self.block))
        bias, scale = (at(b, at(b, self.params, offset), lanes) for offset in (d.bias_at, d.multiplier_at))
        bias = [isa.load(at(b, bias, 4 * isa.lanes * v), isa.i32v) for v in range(isa.dw_vectors)]
        sums = [[cgutils.alloca_once(b, isa.i32v) for _ in bias] for _ in range(d.pixels)]
        for row in sums:
            for place, value in zip(row, bias):
                b.store(value, place)
        first = at(b, band, b.mul(x, I64(d.pixel_step)))
        self.all_taps(sums, [at(b, first, i * d.pixel_step) for i in range(d.pixels)], block)
        out = at(b, out, b.mul(x, I64(d.channels)))
        for i, row in enumerate(sums):
            values = [
                isa.scaled(b.load(place), isa.load(at(b, scale, 4 * isa.lanes * v), isa.f32v))
                for v, place in enumerate(row)
            ]
            isa.store_words(at(b, out, i * d.channels), isa.dw_narrow(values), 0, channels)

    def all_taps(self, sums, pixels, block):
        b, d = self.builder, self.d
        pairs = len(d.taps) // 2
        weights = at(b, at(b, self.params, d.weights_at), b.mul(block, I64(pairs * 4 * self.block)))
        if pairs <= UNROLLED:
            for pair in range(pairs):
                taps = [I64(tap) for tap in d.taps[2 * pair : 2 * pair + 2]]
                self.pair(sums, pixels, taps, at(b, weights, pair * 4 * self.block))
            return
        with cgutils.for_range(b, I64(pairs), intp=I64) as loop:
            table = at(b, at(b, self.params, d.taps_at), b.mul(loop.index, I64(16)))
            taps = [self.isa.load(at(b, table, 8 * k), I64) for k in range(2)]
            self.pair(sums, pixels, taps, at(b, weights, b.mul(loop.index, I64(4 * self.block))))

    def pair(self, sums, pixels, taps, weights):
        b = self.builder
        for row, pixel in zip(sums, pixels):
            made = self.isa.dw_pair([b.load(place) for place in row], *[at(b, pixel, tap) for tap in taps], weights)
            for place, value in zip(row, made):
                b.store(value, place)


def pack(isa, weights, bias, multipliers, x_zero_point):
    """(weights, bias, multipliers) in the order of isa.dw_channel. weights (taps, C) int32, zero point taken off."""
    taps, channels = weights.shape
    block = isa.lanes * isa.dw_vectors
    blocks, pairs = -(-channels // block), -(-taps // 2)
    order = np.array([[isa.dw_channel(v, lane) for lane in range(isa.lanes)] for v in range(isa.dw_vectors)])

    def arrange(values, dtype):
        padded = np.zeros((*values.shape[:-1], blocks * block), dtype)
        padded[..., :channels] = values
        return padded.reshape(*values.shape[:-1], blocks, block)[..., order]  # (..., blocks, vectors, lanes)

    padded = np.zeros((2 * pairs, channels), np.int16)
    padded[:taps] = weights
    packed = arrange(padded, np.int16).reshape(pairs, 2, blocks, isa.dw_vectors, isa.lanes)
    packed = packed.transpose((2, 0, 3, 4, 1) if isa.dw_taps_last else (2, 0, 3, 1, 4))
    folded = (bias.astype(np.int64) - x_zero_point * weights.sum(axis=0)).astype(np.int32)
    return packed, arrange(folded, np.int32), arrange(multipliers, np.float32)


def bind(op, inputs, outputs, attrs):
    (x, weight, *rest), (out,) = inputs, outputs
    if not int8_only(x, weight, out) or any(spec is not None and spec.data is None for spec in inputs[1:]):
        return None
    isa = simd.vocabulary()
    w = bands.window(x.shape, out.shape, weight.shape[:2], attrs)
    bias = rest[0] if rest else None
    row_bytes = w.row_width * w.c_out
    taps = [y * w.dilation_h * row_bytes + z * w.dilation_w * w.c_out for y in range(w.kh) for z in range(w.kw)]
    taps += taps[-1:] * (len(taps) % 2)
    multipliers = requant.multipliers(x.quant.scale[0], weight.quant.scale, out.quant.scale[0])
    packed, folded, multiplier = pack(
        isa,
        np.frombuffer(weight.data, np.int8).reshape(-1, w.c_out).astype(np.int32) - weight.quant.zero_point,
        np.zeros(w.c_out, np.int32) if bias is None else np.frombuffer(bias.data, np.int32),
        np.broadcast_to(np.array(multipliers, np.float32), w.c_out),
        x.quant.zero_point,
    )
    constants = Constants()
    d = Depthwise(
        isa=isa.name,
        taps=tuple(taps),
        taps_at=constants.add(np.array(taps, np.int64)),
        channels=w.c_out,
        blocks=packed.shape[0],
        pixels=gemm.best_rows(w.w_out, 4),
        w_out=w.w_out,
        pixel_step=w.stride_w * w.c_out,
        row_step=w.stride_h * row_bytes,
        clamp_min=attrs.get("clamp_min", -128),
        clamp_max=attrs.get("clamp_max", 127),
        zero_point=out.quant.zero_point,
        bias_at=constants.add(folded),
        multiplier_at=constants.add(multiplier),
        weights_at=constants.add(packed),
    )
    band_rows = bands.band_rows(w, w.c_out)
    settings = {
        "w": w, "d": d, "repeat": w.c_out // w.c_in, "out_index": len(inputs), "band_rows": band_rows,
        "x_zero_point": x.quant.zero_point,
    }  # fmt: skip
    scratch = bands.band_bytes(w, band_rows, w.c_out) + 64
    return step(op, compiled(make_depthwise_conv2d, settings), constants, out.size * w.kh * w.kw, scratch)
