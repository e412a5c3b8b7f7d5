"""What the ops of language models share: rows of activations as int8, dot products of rows as they are stored, and
float arithmetic in the one order that kernels/reference/float_order.py defines.

A sum's 16 parts are one vector of 16 floats, which LLVM cuts to the CPU's width. How many tokens a run has lies in
`params`, so that one compiled kernel serves each number of them.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from edgert.kernels.jit import simd
from edgert.kernels.jit.compiler import Constants
from edgert.kernels.jit.primitives import requantise
from edgert.kernels.jit.simd import F32, I8, I32, I64, at, vector

F = np.float32
SMALLEST = F(1e-30)
LOG2_E, LN2_HIGH, LN2_LOW = F(1.44269504088896341), F(0.693359375), F(-2.12194440e-4)
ROUNDER, LOWEST, HIGHEST = F(12582912.0), F(-87.0), F(88.0)
E1, E2, E3 = F(1.9875691500e-4), F(1.3981999507e-3), F(8.3334519073e-3)
E4, E5, E6 = F(4.1665795894e-2), F(1.6666665459e-1), F(5.0000001201e-1)
ZERO, ONE, WORDS = F(0), F(1), F(127)
PARTS, GROUP = 16, 32


def counts(*numbers):
    """int64 numbers for `params`."""
    constants = Constants()
    constants.add(np.array(numbers, np.int64))
    return constants


@intrinsic
def sum_floats(context, x, n):
    """The sum of n float32 at pointer x."""

    def build(context, builder, signature, args):
        return _ordered_sum(builder, args[1], lambda i, kind: _load(builder, args[0], i, kind))

    return types.float32(types.voidptr, types.intp), build


@intrinsic
def dot_floats(context, x, y, n):
    """The sum of n products of float32 at pointers x and y."""

    def build(context, builder, signature, args):
        def product(i, kind):
            return builder.fmul(_load(builder, args[0], i, kind), _load(builder, args[1], i, kind))

        return _ordered_sum(builder, args[2], product)

    return types.float32(types.voidptr, types.voidptr, types.intp), build


def _load(builder, pointer, i, kind):
    place = at(builder, pointer, builder.mul(i, I64(4)))
    return builder.load(builder.bitcast(place, kind.as_pointer()), align=4)


def _ordered_sum(b, n, value):
    """value(i, kind): what is added from place i on, a float or a vector of 16."""
    wide = vector(F32, PARTS)
    parts = cgutils.alloca_once_value(b, ir.Constant(wide, [0.0] * PARTS))
    whole = b.and_(n, I64(-PARTS))
    with cgutils.for_range_slice(b, I64(0), whole, I64(PARTS), intp=I64) as (i, _):
        b.store(b.fadd(b.load(parts), value(i, wide)), parts)
    with cgutils.for_range_slice(b, whole, n, I64(1), intp=I64) as (i, _):
        lane, all_parts = b.trunc(b.sub(i, whole), I32), b.load(parts)
        part = b.fadd(b.extract_element(all_parts, lane), value(i, F32))
        b.store(b.insert_element(all_parts, part, lane), parts)
    total, half = b.load(parts), PARTS // 2
    while half:
        low, high = (ir.Constant(vector(I32, half), list(range(a, a + half))) for a in (0, half))
        total = b.fadd(b.shuffle_vector(total, total, low), b.shuffle_vector(total, total, high))
        half //= 2
    return b.extract_element(total, I32(0))


@intrinsic
def bits(context, value):
    """The bits of a float32 as int32."""
    return types.int32(types.float32), lambda context, builder, signature, args: builder.bitcast(args[0], I32)


@intrinsic
def float_of(context, value):
    """The float32 of these bits."""
    return types.float32(types.int32), lambda context, builder, signature, args: builder.bitcast(args[0], F32)


@register_jitable
def exp(x):
    """e**x; the low bits of n + 1.5 * 2**23 hold n."""
    x = min(max(x, LOWEST), HIGHEST)
    shifted = x * LOG2_E + ROUNDER
    n = shifted - ROUNDER
    r = x - n * LN2_HIGH
    r = r - n * LN2_LOW
    y = E1 * r + E2
    y = y * r + E3
    y = y * r + E4
    y = y * r + E5
    y = y * r + E6
    y = y * (r * r) + r
    y = y + ONE
    return y * float_of(np.int32((bits(shifted) + 127) << 23))


@register_jitable
def quantise_row(x, n, words):
    """The scale of x[:n]; words[:n] become its int8. The largest magnitude is found by its bits, which order alike."""
    most = np.int32(0)
    for i in range(n):
        most = max(most, np.int32(bits(x[i]) & 0x7FFFFFFF))
    largest = float_of(most)
    if not largest >= SMALLEST:
        for i in range(n):
            words[i] = 0
        return ZERO
    inverse = WORDS / largest
    for i in range(n):
        words[i] = requantise(x[i] * inverse, -127, 127, 0)
    return largest / WORDS


@register_jitable
def flip_of(words, n, flip):
    """What `row_dot` starts with: -flip * the sum of words[:n], where its weights get their sign bit flipped."""
    total = np.int32(0)
    if flip:
        for i in range(n):
            total = np.int32(total - np.int32(words[i]) * np.int32(flip))
    return total


def whole_vectors(isa, depth):
    """Of `depth` bytes, those that fill whole vectors."""
    return depth // (4 * isa.lanes) * 4 * isa.lanes


def row_dot_intrinsic(isa, depth):
    """row_dot(words, weights, start): start + the exact dot product of `depth` int8 at two pointers.

    start: `flip_of` the words in whole vectors.
    """

    @intrinsic
    def row_dot(context, words, weights, start):
        def build(context, builder, signature, args):
            return _row_dot(isa(builder, -128, 127, 0), depth, *args)

        return types.int32(types.voidptr, types.voidptr, types.int32), build

    return row_dot


def _row_dot(isa, depth, words, weights, start):
    """Four sums, so that none waits for the one before; bytes behind whole vectors one by one."""
    b, step, whole = isa.builder, 4 * isa.lanes, whole_vectors(isa, depth)
    sums = [cgutils.alloca_once_value(b, ir.Constant(isa.i32v, [0] * isa.lanes)) for _ in range(4)]

    def add(into, offset):
        x, w = (isa.load(at(b, pointer, offset), vector(I8, step)) for pointer in (words, weights))
        if isa.flip:
            w = b.xor(w, ir.Constant(w.type, [-128] * step))
        b.store(isa.dot4(b.load(into), w, x), into)

    fours = whole // (4 * step) * 4 * step
    with cgutils.for_range_slice(b, I64(0), I64(fours), I64(4 * step), intp=I64) as (i, _):
        for k in range(4):
            add(sums[k], b.add(i, I64(k * step)))
    for k, offset in enumerate(range(fours, whole, step)):
        add(sums[k], I64(offset))
    total = b.add(b.add(b.load(sums[0]), b.load(sums[1])), b.add(b.load(sums[2]), b.load(sums[3])))
    total = b.add(start, isa.call(f"llvm.vector.reduce.add.v{isa.lanes}i32", I32, total))
    for offset in range(whole, depth):
        x, w = (b.sext(isa.load(at(b, pointer, offset), I8), I32) for pointer in (words, weights))
        total = b.add(total, b.mul(x, w))
    return total


@intrinsic
def nibbles_dot(context, words, packed, scales, groups):
    """The sum over groups of 32 of a group's int8 scale * the dot product of its words and its 4-bit weights less 8."""

    def build(context, builder, signature, args):
        words, packed, scales, groups = args
        b, isa = builder, simd.Plain(builder, -128, 127, 0)
        total = cgutils.alloca_once_value(b, ir.Constant(isa.i32v, [0] * isa.lanes))
        half, both = vector(I8, GROUP // 2), vector(I8, GROUP)
        with cgutils.for_range_slice(b, I64(0), groups, I64(1), intp=I64) as (group, _):
            bytes16 = isa.load(at(b, packed, b.mul(group, I64(GROUP // 2))), half)
            low = b.and_(bytes16, ir.Constant(half, [15] * 16))
            high = b.lshr(bytes16, ir.Constant(half, [4] * 16))
            weights = b.sub(isa.shuffle(low, high, range(GROUP)), ir.Constant(both, [8] * GROUP))
            x = isa.load(at(b, words, b.mul(group, I64(GROUP))), both)
            dot = isa.dot4(ir.Constant(isa.i32v, [0] * isa.lanes), weights, x)
            scale = isa.splat(b.sext(isa.load(at(b, scales, group), I8), I32), isa.lanes)
            b.store(b.add(b.load(total), b.mul(scale, dot)), total)
        return isa.call(f"llvm.vector.reduce.add.v{isa.lanes}i32", I32, b.load(total))

    kinds = [types.voidptr] * 3 + [types.intp]
    return types.int32(*kinds), build
