# quantize, dequantize and cast: the ways between number types.

cdef struct Convert:
    Output out
    Py_ssize_t size
    float scale
    int32_t zero_point


cdef void quantize_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Convert *p = <const Convert *>params
    cdef const float *x = <const float *>tensors[0]
    cdef int8_t *out = <int8_t *>tensors[1]
    cdef Py_ssize_t i = share(p.size, thread, n_threads), last = share(p.size, thread + 1, n_threads)
    cdef f32v lo = f32_set(p.out.lo), hi = f32_set(p.out.hi), scale = f32_set(p.scale)
    cdef i32v zero_point = i32_set(p.out.zero_point)
    while i < last:
        i8_store_first(out + i, <int>min(<Py_ssize_t>LANES, last - i), f32_div(f32_load(x + i), scale), lo, hi, zero_point)
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
    return make_step(op, <uintptr_t>&quantize_kernel, layout)


def bind_dequantize(op, inputs, outputs, attrs):
    x, out = inputs[0], outputs[0]
    cdef Layout layout = Layout(sizeof(Convert))
    cdef Convert *p = <Convert *>layout.at()
    if not all_int8((x,)) or out.dtype != "float32" or len(x.quant.scale) != 1:
        return None
    p.size, p.scale, p.zero_point = x.size, scale_of(x), x.quant.zero_point
    return make_step(op, <uintptr_t>&dequantize_kernel, layout)


cdef enum CastPair:
    CAST_INT32_FLOAT, CAST_FLOAT_INT32, CAST_INT8_FLOAT, CAST_INT8_INT32, CAST_INT64_INT32, CAST_INT32_INT64


cdef struct Cast:
    Py_ssize_t size
    int pair


cdef inline int32_t truncate(float v) noexcept nogil:
    """Toward zero, saturating; NaN is 0."""
    if v != v:
        return 0
    if v >= 2147483648.0:
        return 2147483647
    return <int32_t>v if v > -2147483648.0 else <int32_t>(-2147483647 - 1)


cdef void cast_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Cast *p = <const Cast *>params
    cdef const char *x = tensors[0]
    cdef char *out = tensors[1]
    cdef Py_ssize_t i
    for i in range(share(p.size, thread, n_threads), share(p.size, thread + 1, n_threads)):
        if p.pair == CAST_INT32_FLOAT:
            (<float *>out)[i] = <float>(<const int32_t *>x)[i]
        elif p.pair == CAST_FLOAT_INT32:
            (<int32_t *>out)[i] = truncate((<const float *>x)[i])
        elif p.pair == CAST_INT8_FLOAT:
            (<float *>out)[i] = <float>(<const int8_t *>x)[i]
        elif p.pair == CAST_INT8_INT32:
            (<int32_t *>out)[i] = (<const int8_t *>x)[i]
        elif p.pair == CAST_INT64_INT32:
            (<int32_t *>out)[i] = <int32_t>(<const int64_t *>x)[i]
        else:
            (<int64_t *>out)[i] = (<const int32_t *>x)[i]


def bind_cast(op, inputs, outputs, attrs):
    pairs = {("int32", "float32"): CAST_INT32_FLOAT, ("float32", "int32"): CAST_FLOAT_INT32, ("int8", "float32"): CAST_INT8_FLOAT,
             ("int8", "int32"): CAST_INT8_INT32, ("int64", "int32"): CAST_INT64_INT32, ("int32", "int64"): CAST_INT32_INT64}
    pair = pairs.get((inputs[0].dtype, outputs[0].dtype))
    if pair is None:
        return None
    cdef Layout layout = Layout(sizeof(Cast))
    cdef Cast *p = <Cast *>layout.at()
    p.size, p.pair = inputs[0].size, pair
    return make_step(op, <uintptr_t>&cast_kernel, layout)
