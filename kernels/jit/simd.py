"""The SIMD vocabulary of the jit tier: the words of kernels/native/simd/*.h, spoken in LLVM IR.

A tile written over these words is built instruction by instruction when its kernel is compiled; loops over registers
are plain Python loops. `Plain` runs on every CPU; the others use the int8 dot instruction, so `vocabulary()` asks
first what the code generator may emit: LLVM ends the process when told to select an instruction that the CPU lacks.
"""

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils
from numba.core.registry import cpu_target

from edgert.kernels import cpu

I8, I16, I32, I64, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
LLVM = llvmlite.binding.llvm_version_info


def vector(element, lanes):
    return ir.VectorType(element, lanes)


def at(builder, pointer, offset):
    """The pointer `offset` bytes on; offset: an int or an i64 value."""
    offset = I64(offset) if isinstance(offset, int) else offset
    return builder.gep(pointer, [offset], inbounds=True, source_etype=I8)


class Plain:
    """`lanes` int32 in a vector; activations as stored (xor `flip`); weights of one vector: [lanes][4] bytes."""

    name = "plain"
    lanes = 8
    flip = 0
    tile_rows = 4
    accumulators = 8

    def __init__(self, builder, clamp_min, clamp_max, zero_point):
        self.builder = builder
        self.clamp_min, self.clamp_max, self.zero_point = clamp_min, clamp_max, zero_point
        self.i32v, self.f32v = vector(I32, self.lanes), vector(F32, self.lanes)

    def load(self, pointer, kind):
        return self.builder.load(self.builder.bitcast(pointer, kind.as_pointer()), align=1)

    def splat(self, value, lanes):
        kind = vector(value.type, lanes)
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), value, I32(0))
        return self.shuffle(one, one, [0] * lanes)

    def shuffle(self, a, b, order):
        return self.builder.shuffle_vector(a, b, ir.Constant(vector(I32, len(order)), list(order)))

    def call(self, name, result, *args):
        kind = ir.FunctionType(result, [arg.type for arg in args])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), args)

    def weights(self, pointer):
        return self.load(pointer, vector(I8, 4 * self.lanes))

    def x4(self, pointer):
        """The 4 activations at `pointer`, the same in every lane."""
        return self.builder.bitcast(self.splat(self.load(pointer, I32), self.lanes), vector(I8, 4 * self.lanes))

    def dot4(self, acc, x, w):
        """acc + the sum of 4 products in every lane. A product of two int8 fits int16."""
        b, wide = self.builder, vector(I16, 4 * self.lanes)
        product = b.mul(b.sext(x, wide), b.sext(w, wide))
        for k in range(4):
            part = self.shuffle(product, product, range(k, 4 * self.lanes, 4))
            acc = b.add(acc, b.sext(part, self.i32v))
        return acc

    # Depthwise: blocks of dw_vectors * lanes channels. Vector v, lane l of a block holds channel dw_channel(v, l).
    dw_vectors = 2
    dw_taps_last = False  # weights of a vector: [tap][lane], or [lane][tap]

    @classmethod
    def dw_channel(cls, v, lane):
        return v * cls.lanes + lane

    def dw_pair(self, acc, x0, x1, weights):
        """acc[v] + x0 * w0 + x1 * w1: two taps of one block. weights: int16."""
        b, size = self.builder, self.lanes
        made = []
        for v, total in enumerate(acc):
            for tap, x in enumerate((x0, x1)):
                word = b.sext(self.load(at(b, x, v * size), vector(I8, size)), self.i32v)
                w = b.sext(self.load(at(b, weights, (2 * v + tap) * 2 * size), vector(I16, size)), self.i32v)
                total = b.add(total, b.mul(word, w))
            made.append(total)
        return made

    def dw_narrow(self, values):
        """A finished block as int8, channels in order."""
        return self.narrow(values)

    def scaled(self, acc, multiplier):
        return self.builder.fmul(self.builder.sitofp(acc, self.f32v), multiplier)

    def narrow(self, values):
        """clamp(rne(v) + zero_point) of up to 4 vectors, as int8, one behind the other."""
        return self.join([self._words(value) for value in values])

    def _words(self, value):
        b = self.builder
        low, high = (self.constant(bound - self.zero_point) for bound in (self.clamp_min, self.clamp_max))
        value = b.select(b.fcmp_ordered("<", value, high), value, high)
        value = b.select(b.fcmp_ordered(">", value, low), value, low)
        words = b.fptosi(self.call(f"llvm.roundeven.v{self.lanes}f32", self.f32v, value), self.i32v)
        return b.trunc(b.add(words, ir.Constant(self.i32v, [self.zero_point] * self.lanes)), vector(I8, self.lanes))

    def constant(self, value):
        """A float32 in every lane."""
        return ir.Constant(self.f32v, [float(value)] * self.lanes)

    def join(self, parts):
        if len(parts) == 1:
            return parts[0]
        parts = parts + parts[-1:] * (len(parts) % 2)
        pairs = [self.shuffle(a, b, range(2 * a.type.count)) for a, b in zip(parts[::2], parts[1::2])]
        return self.join(pairs)

    def store_words(self, pointer, words, first, count):
        """words[first .. first + count - 1], and not a byte more."""
        if (first, count) != (0, words.type.count):
            words = self.shuffle(words, words, range(first, first + count))
        self.builder.store(words, self.builder.bitcast(pointer, words.type.as_pointer()), align=1)


class Neondot(Plain):
    """sdot of Armv8.2: signed by signed bytes."""

    name = "neondot"
    lanes = 4
    accumulators = 16

    def dot4(self, acc, x, w):
        return self.call("llvm.aarch64.neon.sdot.v4i32.v16i8", self.i32v, acc, w, x)


class Avx512vnni(Plain):
    """vpdpbusd multiplies unsigned by signed bytes: activations are stored with their sign bit flipped."""

    name = "avx512vnni"
    lanes = 16
    flip = 0x80
    tile_rows = 8
    accumulators = 16

    def dot4(self, acc, x, w):
        if LLVM[0] < 22:
            x, w = self.builder.bitcast(x, self.i32v), self.builder.bitcast(w, self.i32v)
        return self.call("llvm.x86.avx512.vpdpbusd.512", self.i32v, acc, x, w)

    dw_taps_last = True

    @classmethod
    def dw_channel(cls, v, lane):
        """Words of two taps are interleaved inside each 128-bit lane; packing brings them back in order."""
        return lane // 4 * 8 + v * 4 + lane % 4

    def dw_pair(self, acc, x0, x1, weights):
        b, wide = self.builder, vector(I16, 32)
        one, two = (b.sext(self.load(x, vector(I8, 32)), wide) for x in (x0, x1))
        made = []
        for v, total in enumerate(acc):
            order = [8 * group + 4 * v + k + 32 * tap for group in range(4) for k in range(4) for tap in range(2)]
            w = self.load(at(b, weights, 64 * v), wide)
            sums = self.call("llvm.x86.avx512.pmaddw.d.512", self.i32v, self.shuffle(one, two, order), w)
            made.append(b.add(total, sums))
        return made

    def dw_narrow(self, values):
        b, words = self.builder, self._pair(*values)
        words = self._limit(self._limit(words, self.clamp_min, ">"), self.clamp_max, "<")
        return b.trunc(words, vector(I8, 32))

    def _limit(self, words, bound, keep):
        bound = ir.Constant(words.type, [bound] * words.type.count)
        return self.builder.select(self.builder.icmp_signed(keep, words, bound), words, bound)

    def narrow(self, values):
        """cvtps turns what is too large into the lowest int, so the upper clamp is first; packs saturate the rest."""
        values = values + values[-1:] * (4 - len(values))
        ab, cd = (self._pair(*values[i : i + 2]) for i in (0, 2))
        words = self.call("llvm.x86.avx512.packsswb.512", vector(I8, 64), ab, cd)
        words = self._limit(words, self.clamp_min, ">")
        order = [16 * group + 4 * part + k for part in range(4) for group in range(4) for k in range(4)]
        return self.shuffle(words, words, order)

    def _pair(self, a, b):
        words = self.call("llvm.x86.avx512.packssdw.512", vector(I16, 32), self._rounded(a), self._rounded(b))
        return self.call("llvm.sadd.sat.v32i16", words.type, words, ir.Constant(words.type, [self.zero_point] * 32))

    def _rounded(self, value):
        b, high = self.builder, self.constant(self.clamp_max - self.zero_point)
        value = b.select(b.fcmp_ordered("<", value, high), value, high)
        nothing, all_lanes, current_rounding = ir.Constant(self.i32v, [0] * 16), I16(-1), I32(4)
        return self.call(
            "llvm.x86.avx512.mask.cvtps2dq.512", self.i32v, value, nothing, all_lanes, current_rounding
        )


def features():
    """What the code generator may emit, and the CPU has: names as LLVM spells them."""
    _, _, text = cpu_target.target_context.codegen().magic_tuple()
    return {name[1:] for name in text.split(",") if name.startswith("+")}


def vocabulary():
    """The fastest vocabulary that both the code generator and (where it is known) the CPU have."""
    emitted, present = features(), cpu.flags()
    avx512vnni = {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni"}
    if emitted >= avx512vnni and "avx512vnni" in (present or emitted):
        return Avx512vnni
    if "dotprod" in emitted and "asimddp" in (present or {"asimddp"}):
        return Neondot
    return Plain
