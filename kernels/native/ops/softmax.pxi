# softmax on int8: exp of the distance to the row's maximum comes from a table of 256 integers, so the sum is exact in any
# order and every tier agrees bit for bit.

cdef extern from "math.h" nogil:
    double exp(double x)
    double rint(double x)


cdef struct Softmax:
    Output out
    Py_ssize_t rows, depth
    float inverse_scale           # float32(1 / s_out)
    int32_t table[256]            # rne(2**23 * exp(-distance * s_in * beta))


cdef inline int32_t rne_clamped(float v, const Output *out) noexcept nogil:
    """Clamp, round half to even, add the zero point; for the scalar ends of kernels."""
    v = max(v, <float>(out.clamp_min - out.zero_point))
    v = min(v, <float>(out.clamp_max - out.zero_point))
    return <int32_t>rint(v) + out.zero_point


cdef void softmax_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Softmax *p = <const Softmax *>params
    cdef const int8_t *x
    cdef int8_t *out
    cdef Py_ssize_t row, i
    cdef int largest
    cdef int64_t total
    cdef float inverse
    for row in range(share(p.rows, thread, n_threads), share(p.rows, thread + 1, n_threads)):
        x = <const int8_t *>tensors[0] + row * p.depth
        out = <int8_t *>tensors[1] + row * p.depth
        largest = -128
        for i in range(p.depth):
            largest = max(largest, <int>x[i])
        total = 0
        for i in range(p.depth):
            total += p.table[largest - x[i]]
        inverse = p.inverse_scale / <float>total
        for i in range(p.depth):
            out[i] = <int8_t>rne_clamped(<float>p.table[largest - x[i]] * inverse, &p.out)


def bind_softmax(op, inputs, outputs, attrs):
    x, out = inputs[0], outputs[0]
    if not all_int8((x, out)):
        return None
    cdef Layout layout = Layout(sizeof(Softmax))
    cdef Softmax *p = <Softmax *>layout.at()
    cdef double step = scale_of(x) * <double>attrs.get("beta", 1.0)
    cdef int distance
    p.depth = x.shape[-1]
    p.rows = x.size // p.depth
    p.inverse_scale = <float>(1.0 / scale_of(out))
    for distance in range(256):
        p.table[distance] = <int32_t>rint(exp(-distance * step) * 8388608.0)
    set_output(&p.out, out, attrs)
    return make_step(op, <uintptr_t>&softmax_kernel, layout, x.size * MOVE)
