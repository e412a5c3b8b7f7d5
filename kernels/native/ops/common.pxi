# Shared by the ops: reading specs and attributes, the requantisation every int8 kernel ends with, memory for parameters.

from edgert.kernels.native.program import AlignedBuffer, Step, address_of

cdef enum:
    PARALLEL_WORK = 262144  # one or two microseconds of multiplications: what it costs to hand a step to another core
    MOVE = 16               # multiplications in the time of handling one byte
    MAX_DIMS = 8   # rank 6 in a graph; space and depth ops split two of them


cdef struct Output:
    # q = clamp(rne(v) + zero_point, clamp_min, clamp_max)
    int clamp_min
    int clamp_max
    int zero_point


cdef int set_output(Output *out, spec, dict attrs) except -1:
    out.clamp_min = attrs.get("clamp_min", -128)
    out.clamp_max = attrs.get("clamp_max", 127)
    out.zero_point = spec.quant.zero_point
    return 0


cdef inline requant requant_of(const Output *out) noexcept nogil:
    return requant_set(out.clamp_min, out.clamp_max, out.zero_point)


cdef inline void i8_store_one(int8_t *out, int n, f32v v, const requant *r) noexcept nogil:
    """The first n words of a single vector."""
    i8_store_first(out, narrow4(v, v, v, v, r), 0, n)


cdef double largest_sum(Py_ssize_t depth, const int32_t *bias, Py_ssize_t channels):
    """A bound of |sum of `depth` products + bias|; validate() proved the sum to fit int32, and with a bias it wraps."""
    cdef Py_ssize_t i
    cdef double bound = 255.0 * 255.0 * depth, most = 0.0
    for i in range(channels if bias != NULL else 0):
        most = max(most, abs(<double>bias[i]))
    return min(bound + most, 2147483648.0)


cdef double scale_of(spec) except? -1:
    """The per-tensor scale of an 8-bit tensor."""
    return spec.quant.scale[0]


cdef bint all_int8(specs):
    for spec in specs:
        if spec.dtype != "int8" or spec.quant is None:
            return False
    return True


cdef Py_ssize_t product(values):
    cdef Py_ssize_t n = 1
    for value in values:
        n *= <Py_ssize_t>value
    return n


cdef inline Py_ssize_t round_up(Py_ssize_t n, Py_ssize_t to) noexcept nogil:
    return (n + to - 1) // to * to


cdef inline Py_ssize_t share(Py_ssize_t total, int part, int parts) noexcept nogil:
    """First item of a thread's share; share(total, parts, parts) == total."""
    return total * part // parts


cdef class Layout:
    """Lays several arrays behind a parameter struct into one aligned buffer: reserve all, then allocate, then at()."""

    cdef Py_ssize_t nbytes
    cdef object buffer

    def __cinit__(self, Py_ssize_t struct_bytes):
        self.nbytes = round_up(struct_bytes, 64)

    cdef Py_ssize_t reserve(self, Py_ssize_t nbytes):
        cdef Py_ssize_t offset = self.nbytes
        self.nbytes += round_up(nbytes, 64)
        return offset

    cdef char *at(self, Py_ssize_t offset=0) except NULL:
        if self.buffer is None:
            self.buffer = AlignedBuffer(self.nbytes + 64)  # vector loads may run past the last array
        return <char *><uintptr_t>self.buffer.address + offset


cdef str variant_suffix(str variant):
    return "_" + variant if variant else ""


cdef make_step(str op, uintptr_t kernel, Layout layout, work=0, Py_ssize_t scratch_bytes=0):
    """work: multiplications, or bytes moved times MOVE; a step with little of it is not worth waking threads for."""
    parallel = work >= PARALLEL_WORK
    return Step(f"{op}__{ISA}", kernel, layout.buffer, layout.buffer.address, scratch_bytes, parallel)
