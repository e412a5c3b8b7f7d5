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


cdef inline void put_index(const ArgExtreme *p, char *out, Py_ssize_t at, Py_ssize_t index) noexcept nogil:
    if p.wide:
        (<int64_t *>out)[at] = index
    else:
        (<int32_t *>out)[at] = <int32_t>index


cdef inline double number_at(const char *x, int dtype, Py_ssize_t i) noexcept nogil:
    return (<const int32_t *>x)[i] if dtype == 1 else (<const float *>x)[i]


cdef inline void arg_extreme(int dtype, const ArgExtreme *p, const char *x, char *out) noexcept nogil:
    cdef Py_ssize_t o, i, k, best
    cdef double value, extreme
    for o in range(p.outer):
        for i in range(p.inner):
            best = 0
            extreme = number_at(x, dtype, o * p.size * p.inner + i)
            for k in range(1, p.size):
                value = number_at(x, dtype, (o * p.size + k) * p.inner + i)
                if extreme != extreme:  # the first NaN is the answer, as in NumPy
                    break
                if value != value or (value < extreme if p.smallest else value > extreme):
                    extreme = value
                    best = k
            put_index(p, out, o * p.inner + i, best)


# Words and where they lie in one number, so that the largest is the answer: the word above, turned round for the smallest,
# below it how far from the end it lies, so that the first of equals wins. 8 bits of word leave 23 for places.
cdef enum:
    PLACES = 1 << 23


cdef inline i32v arg_key(const int8_t *x, i32v factor, i32v place) noexcept nogil:
    return i32_add(i32_mul(i32_from_i8(x), factor), place)


cdef void arg_columns(const ArgExtreme *p, const int8_t *x, char *out, Py_ssize_t at, int n) noexcept nogil:
    """n <= 2 * LANES columns that lie side by side; what is read beyond them is not stored."""
    cdef int32_t keys[2 * LANES]
    cdef i32v best[2]
    cdef i32v factor = i32_set(-PLACES if p.smallest else PLACES), place = i32_set(PLACES - 1), one = i32_set(1)
    cdef Py_ssize_t k
    cdef int i
    best[0] = arg_key(x, factor, place)
    best[1] = arg_key(x + LANES, factor, place)
    for k in range(1, p.size):
        x += p.inner
        place = i32_sub(place, one)
        best[0] = i32_max(best[0], arg_key(x, factor, place))
        best[1] = i32_max(best[1], arg_key(x + LANES, factor, place))
    i32_store(keys, best[0])
    i32_store(keys + LANES, best[1])
    for i in range(n):
        put_index(p, out, at + i, PLACES - 1 - (keys[i] & (PLACES - 1)))


cdef void arg_run(const ArgExtreme *p, const int8_t *x, char *out, Py_ssize_t at) noexcept nogil:
    """A single column, LANES of its words at a time."""
    cdef int32_t keys[LANES]
    cdef i32v best = i32_set(-0x7FFFFFFF), factor = i32_set(-PLACES if p.smallest else PLACES), step = i32_set(LANES), place
    cdef Py_ssize_t k = 0
    cdef int32_t most = -0x7FFFFFFF
    cdef int i
    for i in range(LANES):
        keys[i] = PLACES - 1 - i
    place = i32_load(keys)
    while k + LANES <= p.size:
        best = i32_max(best, arg_key(x + k, factor, place))
        place = i32_sub(place, step)
        k += LANES
    i32_store(keys, best)
    for i in range(LANES):
        most = max(most, keys[i])
    while k < p.size:
        most = max(most, x[k] * (-PLACES if p.smallest else PLACES) + <int32_t>(PLACES - 1 - k))
        k += 1
    put_index(p, out, at, PLACES - 1 - (most & (PLACES - 1)))


cdef void arg_words(const ArgExtreme *p, const int8_t *x, char *out) noexcept nogil:
    cdef Py_ssize_t o, i
    for o in range(p.outer):
        if p.inner == 1:
            arg_run(p, x + o * p.size, out, o)
            continue
        i = 0
        while i < p.inner:
            arg_columns(p, x + o * p.size * p.inner + i, out, o * p.inner + i, <int>min(<Py_ssize_t>2 * LANES, p.inner - i))
            i += 2 * LANES


cdef void arg_extreme_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const ArgExtreme *p = <const ArgExtreme *>params
    if p.dtype == 0:
        arg_words(p, <const int8_t *>tensors[0], tensors[1])
    elif p.dtype == 1:
        arg_extreme(1, p, tensors[0], tensors[1])
    else:
        arg_extreme(2, p, tensors[0], tensors[1])


def bind_arg_extreme(op, inputs, outputs, attrs):
    x, axis = inputs[0], attrs["axis"]
    dtypes = {"int8": 0, "int32": 1, "float32": 2}
    if x.dtype not in dtypes or x.dtype == "int8" and (x.data is not None or x.shape[axis] > PLACES):
        return None
    cdef Layout layout = Layout(sizeof(ArgExtreme))
    cdef ArgExtreme *p = <ArgExtreme *>layout.at()
    p.outer, p.size, p.inner = product(x.shape[:axis]), x.shape[axis], product(x.shape[axis + 1:])
    p.smallest = op == "arg_min"
    p.wide = outputs[0].dtype == "int64"
    p.dtype = dtypes[x.dtype]
    return make_step(op, <uintptr_t>&arg_extreme_kernel, layout)
