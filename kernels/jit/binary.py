"""add, sub, mul, minimum, maximum, squared_difference of two int8 tensors that broadcast to each other.

The output is seen as rows in which each operand moves by one element or stands still. A row is worked on four vectors
at a time; nothing beyond its last element is read, and each element is read before it is written: an operand may be
the output's own memory.
"""

from collections import namedtuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from edgert.kernels.jit import gemm, simd
from edgert.kernels.jit.compiler import MOVE, compiled, step
from edgert.kernels.jit.primitives import advance, int8_only, share
from edgert.kernels.jit.simd import I8, I64, at, vector
from edgert.kernels.requant import float32

CHUNK = 4  # vectors at a time

# sizes, strides_a, strides_b: the dimensions outside a row. moves_a, moves_b: 1, or 0 for one element along the row.
Binary = namedtuple(
    "Binary",
    "isa op sizes strides_a strides_b inner moves_a moves_b zero_a zero_b scale_a scale_b scale "
    "clamp_min clamp_max zero_point",
)


def make_binary(p, rows):
    combine = row_intrinsic(p)
    sizes, strides_a, strides_b, inner = (*p.sizes, 1), (*p.strides_a, 0), (*p.strides_b, 0), p.inner
    dims = len(p.sizes)
    chunks = inner // chunk_size(p)

    def binary(params, tensors, scratch, thread, n_threads):
        first, last, low, high = 0, rows, 0, chunks
        if rows == 1:
            low, high = share(chunks, thread, n_threads), share(chunks, thread + 1, n_threads)
        else:
            first, last = share(rows, thread, n_threads), share(rows, thread + 1, n_threads)
        tail = rows > 1 or thread == n_threads - 1
        for row in range(first, last):
            rest, a, b = row, 0, 0
            for k in range(dims):
                d = dims - 1 - k
                a += rest % sizes[d] * strides_a[d]
                b += rest % sizes[d] * strides_b[d]
                rest //= sizes[d]
            combine(advance(tensors[0], a), advance(tensors[1], b), advance(tensors[2], row * inner), low, high, tail)

    return binary


def chunk_size(p):
    return CHUNK * gemm.ISAS[p.isa].lanes


def row_intrinsic(p):
    """combine(a, b, out, first chunk, one past the last, whether to do what is left behind the last whole chunk)."""

    @intrinsic
    def combine(context, a, b, out, first, last, tail):
        def build(context, builder, signature, args):
            Emitter(builder, p).row(*args)
            return context.get_dummy_value()

        return types.void(*[types.voidptr] * 3, types.intp, types.intp, types.boolean), build

    return combine


class Emitter:
    def __init__(self, builder, p):
        self.builder, self.p = builder, p
        self.isa = gemm.ISAS[p.isa](builder, p.clamp_min, p.clamp_max, p.zero_point)

    def row(self, a, b, out, first, last, tail):
        size = chunk_size(self.p)
        with cgutils.for_range_slice(self.builder, first, last, I64(1)) as (chunk, _):
            self.elements(a, b, out, self.builder.mul(chunk, I64(size)), size)
        if self.p.inner % size:
            with self.builder.if_then(tail):
                self.elements(a, b, out, I64(self.p.inner // size * size), self.p.inner % size)

    def elements(self, a, b, out, start, count):
        isa, values = self.isa, []
        for first in range(0, count, isa.lanes):
            here = [self.builder.add(start, I64(first)), min(isa.lanes, count - first)]
            values.append(self.combine(self.operand(a, "a", *here), self.operand(b, "b", *here)))
        isa.store_words(at(self.builder, out, start), isa.narrow(values), 0, count)

    def operand(self, pointer, which, start, count):
        """float32(words - zero_point) in every lane, exact; lanes behind `count` hold anything."""
        b, isa = self.builder, self.isa
        moves, zero = getattr(self.p, f"moves_{which}"), getattr(self.p, f"zero_{which}")
        if not moves:
            words = isa.splat(isa.load(pointer, I8), isa.lanes)
        else:
            words = isa.load(at(b, pointer, start), vector(I8, count))
            if count < isa.lanes:
                words = isa.shuffle(words, words, [min(i, count - 1) for i in range(isa.lanes)])
        words = b.sub(b.sext(words, isa.i32v), ir.Constant(isa.i32v, [zero] * isa.lanes))
        return b.sitofp(words, isa.f32v)

    def combine(self, a, b):
        """The order of operations is the contract's, each rounded to float32; nothing may be fused."""
        p, build = self.p, self.builder
        scale_a, scale_b, scale = (self.isa.constant(value) for value in (p.scale_a, p.scale_b, p.scale))
        if p.op == "mul":
            return build.fmul(build.fmul(a, b), scale)
        a, b = build.fmul(a, scale_a), build.fmul(b, scale_b)
        if p.op == "add":
            return build.fadd(a, b)
        if p.op in ("minimum", "maximum"):
            return build.select(build.fcmp_ordered("<" if p.op == "minimum" else ">", a, b), a, b)
        difference = build.fsub(a, b)
        return difference if p.op == "sub" else build.fmul(build.fmul(difference, difference), scale)


def merged(a_shape, b_shape, shape):
    """[size, a moves, b moves] of the output's dimensions, outermost first; neighbours walked alike are one."""
    a, b = ((1,) * (len(shape) - len(s)) + tuple(s) for s in (a_shape, b_shape))
    dims = []
    for size_a, size_b, size in zip(a, b, shape):
        moves = [int(size_a != 1), int(size_b != 1)]
        if size != 1 and dims and dims[-1][1:] == moves:
            dims[-1][0] *= size
        elif size != 1:
            dims.append([size, *moves])
    return dims or [[1, 1, 1]]


def strides(dims, which):
    """Of the outer dimensions, in elements; 0 where the operand stands still."""
    found, step = [], 1
    for size, *moves in reversed(dims):
        found.append(step if moves[which] else 0)
        step *= size if moves[which] else 1
    return tuple(reversed(found[1:]))


def scales(op, s_a, s_b, s_out):
    """(of a, of b, of the result), each computed in double and rounded once."""
    if op == "mul":
        return 1.0, 1.0, float32(s_a * s_b / s_out)
    if op == "squared_difference":
        return float32(s_a), float32(s_b), float32(1.0 / s_out)
    return float32(s_a / s_out), float32(s_b / s_out), 1.0


def bind(op, inputs, outputs, attrs):
    (a, b), (out,) = inputs, outputs
    if not int8_only(a, b, out):
        return None
    dims = merged(a.shape, b.shape, out.shape)
    scale_a, scale_b, scale = scales(op, a.quant.scale[0], b.quant.scale[0], out.quant.scale[0])
    p = Binary(
        isa=simd.vocabulary().name,
        op=op,
        sizes=tuple([size for size, _, _ in dims[:-1]]),
        strides_a=strides(dims, 0),
        strides_b=strides(dims, 1),
        inner=dims[-1][0],
        moves_a=dims[-1][1],
        moves_b=dims[-1][2],
        zero_a=a.quant.zero_point,
        zero_b=b.quant.zero_point,
        scale_a=scale_a,
        scale_b=scale_b,
        scale=scale,
        clamp_min=attrs.get("clamp_min", -128),
        clamp_max=attrs.get("clamp_max", 127),
        zero_point=out.quant.zero_point,
    )
    rows = int(np.prod(p.sizes, dtype=np.int64))
    return step(op, compiled(make_binary, {"p": p, "rows": rows}), work=out.size * MOVE)

