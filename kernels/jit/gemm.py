"""The int8 matrix product under conv2d and linear: rows of activations by packed panels of `lanes` output channels.

As in kernels/native/ops/gemm.pxi: what a row (an output pixel) multiplies lies in `segments` runs of consecutive bytes
at fixed distances from the pixel's first byte. Weights of a panel lie in the order they are read:
[segment][group of 4 bytes][lanes][4]. Here everything about the node is a constant, so the tile fits it: its rows
divide the band's pixels as evenly as can be, and only the tiles that occur are built.
"""

from collections import namedtuple

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from edgert.kernels.jit import simd
from edgert.kernels.jit.simd import I32, I64, at

# offsets into params are in bytes. pixels_at: int32 table of each pixel's first byte in a band, or -1 where pixel i
# starts at i * pixel_bytes. corrected: whether an int32 per pixel is added (weights with a zero point).
Gemm = namedtuple(
    "Gemm",
    "isa segments segment_groups channels panels out_stride rows vecs clamp_min clamp_max zero_point corrected "
    "pixel_bytes pixels_at segments_at bias_at multiplier_at weights_at",
)


def panel_bytes(g, lanes):
    return g.segments * g.segment_groups * lanes * 4


def tile_shape(isa, pixels, panels):
    """(rows, panels) of a tile for bands of `pixels` rows: enough sums in flight, all in registers."""
    if pixels == 1:
        return 1, min(8, panels)
    if isa.name != "avx512vnni":
        vecs = min(panels, 4 if isa.lanes == 4 else 2)
        return best_rows(pixels, min(isa.tile_rows, isa.accumulators // vecs)), vecs
    vecs = min(4, panels) if pixels <= 5 else min(2, panels)
    return best_rows(pixels, isa.tile_rows), vecs


def best_rows(pixels, most):
    """Rows of a tile: the last one overlaps its neighbour, so 49 pixels are 7 tiles of 7, not of 8."""
    return min(range(1, min(most, pixels) + 1), key=lambda rows: (-(-pixels // rows) * (rows + 1), -rows))


def pack(isa, weights, bias, multipliers, x_zero_point, weight_zero_point):
    """(weights, bias, multipliers) as the kernel reads them.

    weights (groups, channels, segments, segment_bytes) int8. The kernel sums X * W with X = x + flip; wanted is the
    sum of (x - zx) * (w - zw). What is left over per channel goes into the bias, modulo 2**32: validate() proved that
    the finished sum fits. -zw * sum(X) differs per row: the correction.
    """
    groups, channels, segments, nbytes = weights.shape
    lanes, shift = isa.lanes, x_zero_point + isa.flip
    panels, quads = -(-channels // lanes), -(-nbytes // 4)
    folded = bias.astype(np.int64) - shift * weights.astype(np.int64).sum(axis=(2, 3)).reshape(-1)
    folded += shift * weight_zero_point * segments * nbytes
    packed = np.zeros((groups, panels * lanes, segments, quads * 4), np.int8)
    packed[:, :channels, :, :nbytes] = weights
    packed = packed.reshape(groups, panels, lanes, segments, quads, 4).transpose(0, 1, 3, 4, 2, 5)
    return packed, per_lane(folded, groups, panels * lanes, np.int32), per_lane(multipliers, groups, panels * lanes)


def per_lane(values, groups, lanes, dtype=np.float32):
    """One value per output channel, each group padded to whole panels. Integers wrap into int32."""
    padded = np.zeros((groups, lanes), dtype)
    values = values.reshape(groups, -1)
    padded[:, : values.shape[1]] = values.astype(dtype)
    return padded


def gemm_intrinsic(g):
    """gemm(params, band, correction, out, count, group, first, last): `count` pixels by tiles first .. last - 1 of the
    panels of one conv group. out: the first pixel's first word of that conv group."""

    @intrinsic
    def gemm(context, params, band, correction, out, count, group, first, last):
        kinds = [types.voidptr] * 4 + [types.intp] * 4

        def build(context, builder, signature, args):
            Emitter(builder, g, *args).band_by_panels()
            return context.get_dummy_value()

        return types.void(*kinds), build

    return gemm


class Emitter:
    """Writes the loops over panels and pixels, and the tile inside them, into a function that is being built."""

    def __init__(self, builder, g, params, band, correction, out, count, group, first, last):
        self.builder, self.g = builder, g
        self.isa = ISAS[g.isa](builder, g.clamp_min, g.clamp_max, g.zero_point)
        self.params, self.band, self.correction, self.out = params, band, correction, out
        self.count, self.first, self.last = count, first, last
        self.first_panel = builder.mul(group, I64(g.panels))

    def band_by_panels(self):
        """Panels outside, pixels inside: the weights stay in cache. The last tile of panels may be narrower."""
        b, g = self.builder, self.g
        lanes = self.isa.lanes
        whole = g.channels // (g.vecs * lanes)
        if whole:
            last = b.select(b.icmp_signed("<", self.last, I64(whole)), self.last, I64(whole))
            with cgutils.for_range_slice(b, self.first, last, I64(1)) as (tile, _):
                self.pixels(tile, g.vecs, lanes)
        if whole * g.vecs < g.panels:
            with b.if_then(b.icmp_signed(">", self.last, I64(whole))):
                self.pixels(I64(whole), g.panels - whole * g.vecs, g.channels - (g.panels - 1) * lanes)

    def pixels(self, tile, vecs, last_channels):
        """All pixels in steps of g.rows; the last step goes back so that it is a whole one. Few pixels: one by one."""
        b, rows = self.builder, self.g.rows
        panel = b.mul(tile, I64(self.g.vecs))

        def walk(rows):
            start = b.sub(self.count, I64(rows))
            with cgutils.for_range_slice(b, I64(0), self.count, I64(rows)) as (pixel, _):
                pixel = b.select(b.icmp_signed("<", pixel, start), pixel, start)
                self.tile(rows, vecs, pixel, panel, last_channels)

        if rows == 1:
            walk(1)
            return
        with b.if_else(b.icmp_signed(">=", self.count, I64(rows))) as (many, few):
            with many:
                walk(rows)
            with few:
                walk(1)

    def tile(self, rows, vecs, pixel, panel, last_channels):
        """rows x (vecs * lanes) outputs, their sums in registers from the first product to the stored word."""
        b, g, isa = self.builder, self.g, self.isa
        lane = b.mul(b.add(self.first_panel, panel), I64(4 * isa.lanes))
        sums = self.start(rows, vecs, pixel, lane)
        panel_at = b.mul(b.add(self.first_panel, panel), I64(panel_bytes(g, isa.lanes)))
        weights = at(b, at(b, self.params, g.weights_at), panel_at)
        pixels = [at(b, self.band, offset) for offset in self.offsets(rows, pixel)]
        with _Loop(b, g.segments) as segment:
            run = [at(b, p, self.segment_offset(segment)) for p in pixels] if g.segments > 1 else pixels
            weights_here = at(b, weights, b.mul(segment, I64(g.segment_groups * isa.lanes * 4)))
            with _Loop(b, g.segment_groups) as k:
                w0 = at(b, weights_here, b.mul(k, I64(isa.lanes * 4)))
                w = [isa.weights(at(b, w0, v * panel_bytes(g, isa.lanes))) for v in range(vecs)]
                step = b.mul(k, I64(4))
                for r in range(rows):
                    x = isa.x4(at(b, run[r], step))
                    for v in range(vecs):
                        b.store(isa.dot4(b.load(sums[r][v]), x, w[v]), sums[r][v])
        scale = self.per_lane(g.multiplier_at, vecs, lane, isa.f32v)
        values = [isa.scaled(b.load(sums[r][v]), scale[v]) for r in range(rows) for v in range(vecs)]
        out = at(b, self.out, b.add(b.mul(pixel, I64(g.out_stride)), b.mul(panel, I64(isa.lanes))))
        self.store(values, vecs, out, last_channels)

    def start(self, rows, vecs, pixel, lane):
        """A register per sum, holding its channel's bias (and its pixel's correction)."""
        b, g, isa = self.builder, self.g, self.isa
        bias = self.per_lane(g.bias_at, vecs, lane, isa.i32v)
        sums = [[cgutils.alloca_once(b, isa.i32v) for _ in range(vecs)] for _ in range(rows)]
        for r in range(rows):
            extra = None
            if g.corrected:
                place = at(b, self.correction, b.mul(b.add(pixel, I64(r)), I64(4)))
                extra = isa.splat(isa.load(place, I32), isa.lanes)
            for v in range(vecs):
                b.store(b.add(bias[v], extra) if g.corrected else bias[v], sums[r][v])
        return sums

    def per_lane(self, offset, vecs, lane, kind):
        """One vector per panel of an array in params. lane: bytes from its start to the tile's first panel."""
        start = at(self.builder, at(self.builder, self.params, offset), lane)
        return [self.isa.load(at(self.builder, start, v * 4 * self.isa.lanes), kind) for v in range(vecs)]

    def offsets(self, rows, pixel):
        """Where in the band each row of the tile starts."""
        b, g = self.builder, self.g
        if g.pixels_at < 0:
            first = b.mul(pixel, I64(g.pixel_bytes))
            return [b.add(first, I64(r * g.pixel_bytes)) for r in range(rows)]
        table = at(b, at(b, self.params, g.pixels_at), b.mul(pixel, I64(4)))
        return [b.sext(self.isa.load(at(b, table, 4 * r), I32), I64) for r in range(rows)]

    def segment_offset(self, segment):
        table = at(self.builder, self.params, self.g.segments_at)
        return self.isa.load(at(self.builder, table, self.builder.mul(segment, I64(8))), I64)

    def store(self, values, vecs, out, last_channels):
        """Four vectors are narrowed together and stored: part of a row, a row, two, or four."""
        lanes = self.isa.lanes
        for first in range(0, len(values), 4):
            words = self.isa.narrow(values[first : first + 4])
            for row in range(first // vecs, (min(first + 4, len(values)) - 1) // vecs + 1):
                low, high = max(first, row * vecs), min(first + 4, (row + 1) * vecs, len(values))
                count = (high - low) * lanes - (lanes - last_channels if high == (row + 1) * vecs else 0)
                place = at(self.builder, out, row * self.g.out_stride + (low - row * vecs) * lanes)
                self.isa.store_words(place, words, (low - first) * lanes, count)


class _Loop:
    """`with _Loop(builder, n) as i:` builds a loop of n rounds, or for n == 1 just its body."""

    def __init__(self, builder, count):
        self.inner = None if count == 1 else cgutils.for_range(builder, I64(count), intp=I64)

    def __enter__(self):
        return I64(0) if self.inner is None else self.inner.__enter__().index

    def __exit__(self, *exception):
        return None if self.inner is None else self.inner.__exit__(*exception)


ISAS = {isa.name: isa for isa in (simd.Plain, simd.Neondot, simd.Avx512vnni)}
