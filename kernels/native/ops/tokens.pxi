# The smaller ops of language models: norms, gates, rope, looking up and selecting rows.

cdef struct Norm:
    Py_ssize_t rows, depth
    float epsilon
    bint centred                  # layer_norm; else rms_norm
    int bias, out                 # indices of tensors; bias 0: absent


cdef inline void norm_row(const Norm *p, const float *x, const float *weight, const float *bias, float *out) noexcept nogil:
    cdef float count = <float>p.depth, mean, inverse, value
    cdef f32v v
    cdef Py_ssize_t i
    if p.centred:
        mean = sum_floats(x, p.depth) / count
        for i in range(p.depth):
            out[i] = x[i] - mean
        x = out
    inverse = <float>1.0 / sqrtf(dot_floats(x, x, p.depth) / count + p.epsilon)
    i = 0
    while i + LANES <= p.depth:
        v = f32_mul(f32_mul(f32_load(x + i), f32_set(inverse)), f32_load(weight + i))
        f32_store(out + i, f32_add(v, f32_load(bias + i)) if bias != NULL else v)
        i += LANES
    while i < p.depth:
        value = x[i] * inverse * weight[i]
        out[i] = value + bias[i] if bias != NULL else value
        i += 1


cdef void norm_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Norm *p = <const Norm *>params
    cdef const float *bias = <const float *>tensors[p.bias] if p.bias else NULL
    cdef Py_ssize_t row
    for row in range(share(p.rows, thread, n_threads), share(p.rows, thread + 1, n_threads)):
        norm_row(p, <const float *>tensors[0] + row * p.depth, <const float *>tensors[1], bias, <float *>tensors[p.out] + row * p.depth)


def bind_norm(op, inputs, outputs, attrs):
    cdef Layout layout = Layout(sizeof(Norm))
    cdef Norm *p = <Norm *>layout.at()
    p.depth = inputs[0].shape[-1]
    p.rows = inputs[0].size // p.depth
    p.epsilon, p.centred = attrs.get("epsilon", 1e-5), op == "layer_norm"
    p.bias = 2 if len(inputs) > 2 and inputs[2] is not None else 0
    p.out = len(inputs)
    return make_step(op, <uintptr_t>&norm_kernel, layout, inputs[0].size * MOVE)


cdef enum GateFunction:
    SILU, GELU, GELU_TANH

GATES = {"silu": SILU, "gelu": GELU, "gelu_tanh": GELU_TANH}

cdef struct Gate:
    Py_ssize_t size
    int function
    int other, out                # indices of tensors; other 0: absent


cdef inline f32v normal_tail(f32v x) noexcept nogil:
    """1 - Phi(|x|), see reference/float_order.py."""
    cdef f32v one = f32_set(1.0), z = f32_mul(f32_max(x, f32_sub(f32_set(0.0), x)), f32_set(0.70710678118654752)), t, y
    t = f32_div(one, f32_add(one, f32_mul(f32_set(0.3275911), z)))
    y = f32_add(f32_mul(f32_set(1.061405429), t), f32_set(-1.453152027))
    y = f32_add(f32_mul(y, t), f32_set(1.421413741))
    y = f32_add(f32_mul(y, t), f32_set(-0.284496736))
    y = f32_add(f32_mul(y, t), f32_set(0.254829592))
    return f32_mul(f32_mul(f32_mul(y, t), exp_floats(f32_sub(f32_set(0.0), f32_mul(z, z)))), f32_set(0.5))


cdef inline f32v gate_of(int function, f32v x) noexcept nogil:
    """function: a constant."""
    cdef f32v u = x, zero = f32_set(0.0), one = f32_set(1.0), tail
    if function == GELU:
        tail = normal_tail(x)
        return f32_add(f32_mul(f32_max(x, zero), f32_sub(one, tail)), f32_mul(f32_min(x, zero), tail))
    if function == GELU_TANH:
        u = f32_mul(x, f32_add(f32_set(1.5957691216057308), f32_mul(f32_set(0.0713548162726009), f32_mul(x, x))))
    return f32_div(x, f32_add(one, exp_floats(f32_sub(zero, u))))


cdef inline void gate_span(int function, const float *x, const float *other, float *out, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef float tail[LANES]
    cdef f32v v
    cdef Py_ssize_t i = first
    while i < last:
        v = gate_of(function, f32_load(x + i))
        if other != NULL:
            v = f32_mul(v, f32_load(other + i))
        if i + LANES <= last:
            f32_store(out + i, v)
        else:
            f32_store(tail, v)
            memcpy(out + i, tail, (last - i) * sizeof(float))
        i += LANES


cdef void gate_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Gate *p = <const Gate *>params
    cdef const float *other = <const float *>tensors[p.other] if p.other else NULL
    cdef Py_ssize_t first = share(p.size, thread, n_threads), last = share(p.size, thread + 1, n_threads)
    if p.function == SILU:
        gate_span(SILU, <const float *>tensors[0], other, <float *>tensors[p.out], first, last)
    elif p.function == GELU:
        gate_span(GELU, <const float *>tensors[0], other, <float *>tensors[p.out], first, last)
    else:
        gate_span(GELU_TANH, <const float *>tensors[0], other, <float *>tensors[p.out], first, last)


def bind_gate(op, inputs, outputs, attrs):
    if any([spec is not None and spec.data is not None for spec in inputs]):
        return None
    cdef Layout layout = Layout(sizeof(Gate))
    cdef Gate *p = <Gate *>layout.at()
    p.size, p.function, p.out = inputs[0].size, GATES[attrs["function"]], len(inputs)
    p.other = 1 if len(inputs) > 1 and inputs[1] is not None else 0
    return make_step(op, <uintptr_t>&gate_kernel, layout, p.size * MOVE * 4)


cdef struct Rope:
    Py_ssize_t tokens, heads, head_dim, context, half
    bint interleaved


cdef inline void turn(const Rope *p, const float *x, const float *cosines, float *out) noexcept nogil:
    cdef const float *sines = cosines + p.half
    cdef Py_ssize_t i
    cdef float a, b
    if p.interleaved:
        for i in range(p.half):
            a, b = x[2 * i], x[2 * i + 1]
            out[2 * i] = a * cosines[i] - b * sines[i]
            out[2 * i + 1] = b * cosines[i] + a * sines[i]
    else:
        for i in range(p.half):
            a, b = x[i], x[p.half + i]
            out[i] = a * cosines[i] - b * sines[i]
            out[p.half + i] = b * cosines[i] + a * sines[i]
    for i in range(2 * p.half, p.head_dim):
        out[i] = x[i]


cdef void rope_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Rope *p = <const Rope *>params
    cdef Py_ssize_t token, head, row, at, position = (<const int32_t *>tensors[2])[0]
    for token in range(share(p.tokens, thread, n_threads), share(p.tokens, thread + 1, n_threads)):
        row = min(max(position + token, <Py_ssize_t>0), p.context - 1)
        for head in range(p.heads):
            at = (token * p.heads + head) * p.head_dim
            turn(p, <const float *>tensors[0] + at, <const float *>tensors[1] + row * 2 * p.half, <float *>tensors[3] + at)


def bind_rope(op, inputs, outputs, attrs):
    cdef Layout layout = Layout(sizeof(Rope))
    cdef Rope *p = <Rope *>layout.at()
    p.tokens, p.heads, p.head_dim = inputs[0].shape
    p.context, p.half = inputs[1].shape[0], inputs[1].shape[1] // 2
    p.interleaved = attrs.get("interleaved", 0)
    return make_step(op, <uintptr_t>&rope_kernel, layout, inputs[0].size * MOVE)


cdef enum TableKind:
    TABLE_FLOAT, TABLE_INT8, TABLE_INT4

cdef struct Embedding:
    Py_ssize_t tokens, width, vocabulary, row_bytes
    int kind, out


cdef inline void look_up(const Embedding *p, Py_ssize_t id, char *const *tensors, float *out) noexcept nogil:
    cdef const char *row = tensors[1] + id * p.row_bytes
    cdef const uint8_t *packed
    cdef const int8_t *group_scale
    cdef float scale
    cdef Py_ssize_t i, group
    if p.kind == TABLE_FLOAT:
        memcpy(out, row, p.row_bytes)
        return
    scale = (<const float *>tensors[2])[id]
    if p.kind == TABLE_INT8:
        for i in range(p.width):
            out[i] = <float>(<const int8_t *>row)[i] * scale
        return
    group_scale = <const int8_t *>tensors[3] + id * (p.width // GROUP)
    for group in range(p.width // GROUP):
        packed = <const uint8_t *>row + group * 16
        for i in range(16):
            out[group * GROUP + i] = <float>((<int>(packed[i] & 15) - 8) * group_scale[group]) * scale
            out[group * GROUP + 16 + i] = <float>((<int>(packed[i] >> 4) - 8) * group_scale[group]) * scale


cdef void embedding_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Embedding *p = <const Embedding *>params
    cdef Py_ssize_t token, id
    for token in range(p.tokens):
        id = min(max(<Py_ssize_t>(<const int32_t *>tensors[0])[token], <Py_ssize_t>0), p.vocabulary - 1)
        look_up(p, id, tensors, <float *>tensors[p.out] + token * p.width)


def bind_embedding(op, inputs, outputs, attrs):
    cdef Layout layout = Layout(sizeof(Embedding))
    cdef Embedding *p = <Embedding *>layout.at()
    table = inputs[1]
    p.tokens, p.width = outputs[0].shape
    p.vocabulary, p.row_bytes = table.shape[0], table.nbytes // table.shape[0]
    p.kind = {"float32": TABLE_FLOAT, "int8": TABLE_INT8, "uint8": TABLE_INT4}[table.dtype]
    p.out = len(inputs)
    return make_step(op, <uintptr_t>&embedding_kernel, layout)


cdef void positions_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint32_t first = <uint32_t>max((<const int32_t *>tensors[1])[0], 0)
    for i in range((<const Py_ssize_t *>params)[0]):
        (<uint32_t *>tensors[2])[i] = first + <uint32_t>i


def bind_positions(op, inputs, outputs, attrs):
    cdef Layout layout = Layout(sizeof(Py_ssize_t))
    (<Py_ssize_t *>layout.at())[0] = outputs[0].size
    return make_step(op, <uintptr_t>&positions_kernel, layout)


cdef struct LastRow:
    Py_ssize_t offset, nbytes


cdef void last_row_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const LastRow *p = <const LastRow *>params
    memcpy(tensors[1], tensors[0] + p.offset, p.nbytes)


def bind_last_row(op, inputs, outputs, attrs):
    cdef Layout layout = Layout(sizeof(LastRow))
    cdef LastRow *p = <LastRow *>layout.at()
    p.nbytes = outputs[0].nbytes
    p.offset = inputs[0].nbytes - p.nbytes
    return make_step(op, <uintptr_t>&last_row_kernel, layout)
