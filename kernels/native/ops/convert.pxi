# quantize, dequantize and cast: the ways between number types.

cdef struct Convert:
    Output out
    Py_ssize_t size
    float scale
    int32_t zero_point


cdef inline f32v steps_at(const Convert *p, const float *x) noexcept nogil:
    """x / scale, within what narrow4 takes; NaN must come out as the lower clamp on every instruction set."""
    return f32_min(f32_max(f32_div(f32_load(x), f32_set(p.scale)), f32_set(-256.0)), f32_set(512.0))


cdef void quantize_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Convert *p = <const Convert *>params
    cdef const float *x = <const float *>tensors[0]
    cdef int8_t *out = <int8_t *>tensors[1]
    cdef Py_ssize_t i = share(p.size, thread, n_threads), last = share(p.size, thread + 1, n_threads)
    cdef requant q = requant_of(&p.out)
    while i + 4 * LANES <= last:
        i8_store4(out + i, narrow4(steps_at(p, x + i), steps_at(p, x + i + LANES), steps_at(p, x + i + 2 * LANES), steps_at(p, x + i + 3 * LANES), &q))
        i += 4 * LANES
    while i < last:
        i8_store_one(out + i, <int>min(<Py_ssize_t>LANES, last - i), steps_at(p, x + i), &q)
        i += LANES


cdef void dequantize_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Convert *p = <const Convert *>params
    cdef const int8_t *x = <const int8_t *>tensors[0]
    cdef float *out = <float *>tensors[1]
    cdef Py_ssize_t i
    for i in range(share(p.size, thread, n_threads), share(p.size, thread + 1, n_threads)):
        out[i] = <float>(x[i] - p.zero_point) * p.scale


def bind_quantize(op, inputs, outputs, attrs):
    x, out = inputs[0], outputs[0]
    cdef Layout layout = Layout(sizeof(Convert))
    cdef Convert *p = <Convert *>layout.at()
    if x.dtype != "float32" or not all_int8((out,)) or x.data is not None or len(out.quant.scale) != 1:
        return None
    p.size, p.scale = x.size, scale_of(out)
    set_output(&p.out, out, attrs)
    return make_step(op, <uintptr_t>&quantize_kernel, layout, p.size * MOVE)


def bind_dequantize(op, inputs, outputs, attrs):
    x, out = inputs[0], outputs[0]
    cdef Layout layout = Layout(sizeof(Convert))
    cdef Convert *p = <Convert *>layout.at()
    if not all_int8((x,)) or out.dtype != "float32" or len(x.quant.scale) != 1:
        return None
    p.size, p.scale, p.zero_point = x.size, scale_of(x), x.quant.zero_point
    return make_step(op, <uintptr_t>&dequantize_kernel, layout, p.size * MOVE)


cdef enum WordType:
    FLOAT32, INT8, UINT8, INT16, INT32, INT64, BOOL

WORD_TYPES = {"float32": FLOAT32, "int8": INT8, "uint8": UINT8, "int16": INT16, "int32": INT32, "int64": INT64, "bool": BOOL}


cdef struct Cast:
    Py_ssize_t size
    int source
    int target
    double lowest                 # of the target, for floats that do not fit
    double highest


cdef inline int64_t load_integer(const char *x, int type, Py_ssize_t i) noexcept nogil:
    if type == INT8:
        return (<const int8_t *>x)[i]
    if type == INT16:
        return (<const int16_t *>x)[i]
    if type == INT32:
        return (<const int32_t *>x)[i]
    if type == INT64:
        return (<const int64_t *>x)[i]
    return (<const uint8_t *>x)[i]


cdef inline void store_integer(char *out, int type, Py_ssize_t i, int64_t word) noexcept nogil:
    """Keeps the low bits: between integers words wrap."""
    if type == INT16:
        (<int16_t *>out)[i] = <int16_t>word
    elif type == INT32:
        (<int32_t *>out)[i] = <int32_t>word
    elif type == INT64:
        (<int64_t *>out)[i] = word
    elif type == BOOL:
        out[i] = word != 0
    else:
        out[i] = <char>word


cdef inline int64_t truncate(float v, const Cast *p) noexcept nogil:
    """Toward zero, saturating; NaN is 0. 2**63 is the first float beyond int64."""
    if v != v:
        return 0
    if v <= p.lowest:
        return <int64_t>p.lowest
    if v >= p.highest:
        return <int64_t>9223372036854775807 if p.target == INT64 else <int64_t>p.highest
    return <int64_t>v


cdef void cast_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Cast *p = <const Cast *>params
    cdef const float *reals = <const float *>tensors[0]
    cdef Py_ssize_t i
    for i in range(share(p.size, thread, n_threads), share(p.size, thread + 1, n_threads)):
        if p.source != FLOAT32 and p.target == FLOAT32:
            (<float *>tensors[1])[i] = <float>load_integer(tensors[0], p.source, i)
        elif p.source != FLOAT32:
            store_integer(tensors[1], p.target, i, load_integer(tensors[0], p.source, i))
        elif p.target == FLOAT32:
            (<float *>tensors[1])[i] = reals[i]
        elif p.target == BOOL:
            tensors[1][i] = reals[i] != 0
        else:
            store_integer(tensors[1], p.target, i, truncate(reals[i], p))


def bind_cast(op, inputs, outputs, attrs):
    cdef Layout layout = Layout(sizeof(Cast))
    cdef Cast *p = <Cast *>layout.at()
    p.size, p.source, p.target = inputs[0].size, WORD_TYPES[inputs[0].dtype], WORD_TYPES[outputs[0].dtype]
    bits = 8 * item_bytes(outputs[0])
    signed = p.target != UINT8
    p.lowest = -(2.0 ** (bits - 1)) if signed else 0.0
    p.highest = 2.0 ** 63 if bits == 64 else 2.0 ** (bits - 1 if signed else bits) - 1
    return make_step(op, <uintptr_t>&cast_kernel, layout, p.size * MOVE)
