# batch_matmul on int8: two computed operands, so nothing can be packed ahead. Plain loops; the hot products of a model
# have constant weights and go through the GEMM.

cdef struct Matmul:
    Broadcast shape               # over the leading dimensions, in matrices
    Output out
    int m, n, k
    Py_ssize_t a_row, a_step      # elements from one row to the next, and along k
    Py_ssize_t b_step, b_column   # along k, and from one column to the next
    int32_t zero_a, zero_b
    float multiplier


cdef void matmul_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Matmul *p = <const Matmul *>params
    cdef Py_ssize_t row, column, k
    cdef Walk at
    cdef const int8_t *a
    cdef const int8_t *b
    cdef int8_t *out
    cdef int32_t acc
    for row in range(share(p.shape.rows * p.m, thread, n_threads), share(p.shape.rows * p.m, thread + 1, n_threads)):
        at = walk_from(&p.shape, row // p.m)
        a = <const int8_t *>tensors[0] + at.a * p.m * p.k + row % p.m * p.a_row
        out = <int8_t *>tensors[2] + row * p.n
        for column in range(p.n):
            b = <const int8_t *>tensors[1] + at.b * p.k * p.n + column * p.b_column
            acc = 0
            for k in range(p.k):
                acc += (a[k * p.a_step] - p.zero_a) * (b[k * p.b_step] - p.zero_b)
            out[column] = <int8_t>rne_clamped(<float>acc * p.multiplier, &p.out)


def bind_batch_matmul(op, inputs, outputs, attrs):
    a, b, out = inputs[0], inputs[1], outputs[0]
    if not all_int8((a, b, out)) or len(b.quant.scale) != 1:
        return None
    cdef Layout layout = Layout(sizeof(Matmul))
    cdef Matmul *p = <Matmul *>layout.at()
    set_broadcast(&p.shape, a.shape[:-2], b.shape[:-2], out.shape[:-2])
    fold_inner(&p.shape)
    p.m, p.n = out.shape[-2:]
    p.k = a.shape[-2] if attrs.get("transpose_a", 0) else a.shape[-1]
    p.a_row, p.a_step, p.b_step, p.b_column = p.k, 1, p.n, 1
    if attrs.get("transpose_a", 0):
        p.a_row, p.a_step = 1, p.m
    if attrs.get("transpose_b", 0):
        p.b_step, p.b_column = 1, p.k
    p.zero_a, p.zero_b = a.quant.zero_point, b.quant.zero_point
    p.multiplier = <float>(scale_of(a) * scale_of(b) / scale_of(out))
    set_output(&p.out, out, attrs)
    return make_step(op, <uintptr_t>&matmul_kernel, layout, out.size * p.k * MOVE)


cdef fold_inner(Broadcast *s):
    """Make the inner loop one more outer dimension, so that `rows` counts every matrix."""
    s.size[s.dims], s.stride_a[s.dims], s.stride_b[s.dims] = s.inner, s.inner_a, s.inner_b
    s.rows *= s.inner
    s.dims += 1
    s.inner = 1
