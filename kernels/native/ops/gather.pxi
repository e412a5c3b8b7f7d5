# gather, gather_nd, arg_max and arg_min. An index that points outside is moved to the nearest valid one: native code
# cannot raise, and a wrong index from a computed tensor must never become a wrong address.

cdef struct Gather:
    Py_ssize_t batches, outer, axis_size, count    # count: indices per batch
    Py_ssize_t inner                               # bytes
    int wide                                       # int64 indices
    int depth                                      # gather_nd: numbers in an index
    Py_ssize_t size[MAX_DIMS]
    Py_ssize_t stride[MAX_DIMS]                    # bytes


cdef inline Py_ssize_t index_at(const char *indices, int wide, Py_ssize_t i, Py_ssize_t size) noexcept nogil:
    cdef int64_t index = (<const int64_t *>indices)[i] if wide else (<const int32_t *>indices)[i]
    return <Py_ssize_t>max(<int64_t>0, min(index, <int64_t>(size - 1)))


cdef void gather_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Gather *p = <const Gather *>params
    cdef Py_ssize_t batch, outer, i, row
    cdef const char *x
    for batch in range(p.batches):
        for outer in range(p.outer):
            row = batch * p.outer + outer
            x = tensors[0] + row * p.axis_size * p.inner
            for i in range(p.count):
                memcpy(tensors[2] + (row * p.count + i) * p.inner,
                       x + index_at(tensors[1], p.wide, batch * p.count + i, p.axis_size) * p.inner, p.inner)


def bind_gather(op, inputs, outputs, attrs):
    x, indices = inputs[0], inputs[1]
    axis, batch_dims = attrs.get("axis", 0), attrs.get("batch_dims", 0)
    cdef Layout layout = Layout(sizeof(Gather))
    cdef Gather *p = <Gather *>layout.at()
    p.batches = product(x.shape[:batch_dims])
    p.outer = product(x.shape[batch_dims:axis])
    p.axis_size = x.shape[axis]
    p.inner = product(x.shape[axis + 1:]) * item_bytes(x)
    p.count = product(indices.shape[batch_dims:])
    p.wide = indices.dtype == "int64"
    return make_step(op, <uintptr_t>&gather_kernel, layout)


cdef void gather_nd_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Gather *p = <const Gather *>params
    cdef Py_ssize_t i, offset
    cdef int d
    for i in range(p.count):
        offset = 0
        for d in range(p.depth):
            offset += index_at(tensors[1], p.wide, i * p.depth + d, p.size[d]) * p.stride[d]
        memcpy(tensors[2] + i * p.inner, tensors[0] + offset, p.inner)


def bind_gather_nd(op, inputs, outputs, attrs):
    x, indices = inputs[0], inputs[1]
    cdef Layout layout = Layout(sizeof(Gather))
    cdef Gather *p = <Gather *>layout.at()
    p.depth = indices.shape[-1]
    p.count = product(indices.shape[:-1])
    p.inner = product(x.shape[p.depth:]) * item_bytes(x)
    p.wide = indices.dtype == "int64"
    for d, (size, stride) in enumerate(zip(x.shape[:p.depth], strides_of(x.shape))):
        p.size[d], p.stride[d] = size, stride * item_bytes(x)
    return make_step(op, <uintptr_t>&gather_nd_kernel, layout)


cdef struct ArgExtreme:
    Py_ssize_t outer, size, inner
    int smallest
    int wide
    int dtype                     # 0 int8, 1 int32, 2 float32


cdef inline double word_at(const char *x, int dtype, Py_ssize_t i) noexcept nogil:
    if dtype == 0:
        return (<const int8_t *>x)[i]
    return (<const int32_t *>x)[i] if dtype == 1 else (<const float *>x)[i]


cdef inline void arg_extreme(int dtype, const ArgExtreme *p, const char *x, char *out) noexcept nogil:
    cdef Py_ssize_t o, i, k, best
    cdef double value, extreme
    for o in range(p.outer):
        for i in range(p.inner):
            best = 0
            extreme = word_at(x, dtype, o * p.size * p.inner + i)
            for k in range(1, p.size):
                value = word_at(x, dtype, (o * p.size + k) * p.inner + i)
                if extreme != extreme:  # the first NaN is the answer, as in NumPy
                    break
                if value != value or (value < extreme if p.smallest else value > extreme):
                    extreme = value
                    best = k
            if p.wide:
                (<int64_t *>out)[o * p.inner + i] = best
            else:
                (<int32_t *>out)[o * p.inner + i] = <int32_t>best


cdef inline int32_t integer_at(const char *x, int dtype, Py_ssize_t i) noexcept nogil:
    return (<const int8_t *>x)[i] if dtype == 0 else (<const int32_t *>x)[i]


cdef inline void arg_extreme_columns(int dtype, const ArgExtreme *p, const char *x, char *out) noexcept nogil:
    """The same for integers that lie side by side: up to 64 columns go down together."""
    cdef int32_t extreme[64]
    cdef int32_t best[64]
    cdef int32_t value, flip = -1 if p.smallest else 0  # ~v turns the order round and cannot overflow
    cdef Py_ssize_t o, k, at, first
    cdef int i, n
    for o in range(p.outer):
        for first in range(0, p.inner, 64):
            n = <int>min(<Py_ssize_t>64, p.inner - first)
            at = o * p.size * p.inner + first
            for i in range(n):
                extreme[i] = integer_at(x, dtype, at + i) ^ flip
                best[i] = 0
            for k in range(1, p.size):
                at += p.inner
                for i in range(n):
                    value = integer_at(x, dtype, at + i) ^ flip
                    best[i] = <int32_t>k if value > extreme[i] else best[i]
                    extreme[i] = max(value, extreme[i])
            for i in range(n):
                if p.wide:
                    (<int64_t *>out)[o * p.inner + first + i] = best[i]
                else:
                    (<int32_t *>out)[o * p.inner + first + i] = best[i]


cdef void arg_extreme_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const ArgExtreme *p = <const ArgExtreme *>params
    if p.dtype == 0 and p.inner > 1:
        arg_extreme_columns(0, p, tensors[0], tensors[1])
    elif p.dtype == 1 and p.inner > 1:
        arg_extreme_columns(1, p, tensors[0], tensors[1])
    elif p.dtype == 0:
        arg_extreme(0, p, tensors[0], tensors[1])
    elif p.dtype == 1:
        arg_extreme(1, p, tensors[0], tensors[1])
    else:
        arg_extreme(2, p, tensors[0], tensors[1])


def bind_arg_extreme(op, inputs, outputs, attrs):
    x, axis = inputs[0], attrs["axis"]
    dtypes = {"int8": 0, "int32": 1, "float32": 2}
    if x.dtype not in dtypes:
        return None
    cdef Layout layout = Layout(sizeof(ArgExtreme))
    cdef ArgExtreme *p = <ArgExtreme *>layout.at()
    p.outer, p.size, p.inner = product(x.shape[:axis]), x.shape[axis], product(x.shape[axis + 1:])
    p.smallest = op == "arg_min"
    p.wide = outputs[0].dtype == "int64"
    p.dtype = dtypes[x.dtype]
    return make_step(op, <uintptr_t>&arg_extreme_kernel, layout)
