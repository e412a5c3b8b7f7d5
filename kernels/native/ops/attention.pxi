# attention over a cache of keys and values, and what fills the cache. A head's rows lie together, so its scores are the
# product of one row by rows in place; in int8 their scales lie behind them.

cdef struct Attention:
    Py_ssize_t tokens, heads, kv_heads, context, head_dim
    Py_ssize_t padded             # head_dim in whole vectors of bytes
    Py_ssize_t plane              # bytes of one head of a cache
    Py_ssize_t window
    float scale
    bint words                    # int8 caches


cdef inline const float *scales_of(const Attention *p, const char *plane) noexcept nogil:
    return <const float *>(plane + p.context * p.head_dim)


cdef inline float score_words(const Attention *p, const float *q, const char *keys, Py_ssize_t first, Py_ssize_t count, int8_t *words, float *scores) noexcept nogil:
    """scores[c] of keys first .. first + count - 1, and the largest."""
    cdef float by = quantise_row(q, p.head_dim, words, p.padded) * p.scale
    cdef i32v flip = i32_set(sum_of_words(words, p.head_dim) * ROW_FLIP if ROW_FLIP else 0)
    cdef const float *scales = scales_of(p, keys) + first
    cdef f32v scale = f32_set(by)
    cdef i32v sums[LANES]
    cdef Py_ssize_t c = 0, i
    while c < count:
        # x is zero behind head_dim, so whole vectors may be read there; caches have room behind their last byte.
        for i in range(LANES):
            sums[i] = row_dot(words, <const int8_t *>keys + (first + min(c + i, count - 1)) * p.head_dim, p.padded)
        f32_store(scores + c, f32_mul(f32_from_i32(i32_sub(i32_sums(sums), flip)), f32_mul(scale, f32_load(scales + c))))
        c += LANES
    return largest_of(scores, count)


cdef inline float largest_of(const float *x, Py_ssize_t n) noexcept nogil:
    cdef f32v largest = f32_set(-3.4e38)
    cdef float lanes[LANES]
    cdef float most = -3.4e38
    cdef Py_ssize_t i = 0
    while i + LANES <= n:
        largest = f32_max(f32_load(x + i), largest)
        i += LANES
    f32_store(lanes, largest)
    for l in range(LANES):
        most = max(most, lanes[l])
    while i < n:
        most = max(most, x[i])
        i += 1
    return most


cdef inline float score_floats(const Attention *p, const float *q, const char *keys, Py_ssize_t first, Py_ssize_t count, float *scores) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(count):
        scores[c] = dot_floats(q, <const float *>keys + (first + c) * p.head_dim, p.head_dim) * p.scale
    return largest_of(scores, count)


cdef inline void weighted_words(int vecs, const int8_t *values, Py_ssize_t stride, Py_ssize_t count, const float *weights, float inverse, float *out) noexcept nogil:
    """vecs * LANES numbers of the sum of weights[c] * row c, times inverse. vecs: a constant."""
    cdef f32v acc[4]
    cdef Py_ssize_t c
    cdef int v
    for v in range(vecs):
        acc[v] = f32_set(0.0)
    for c in range(count):
        for v in range(vecs):
            acc[v] = f32_add(acc[v], f32_mul(f32_set(weights[c]), f32_from_i32(i32_from_i8(values + c * stride + v * LANES))))
    for v in range(vecs):
        f32_store(out + v * LANES, f32_mul(acc[v], f32_set(inverse)))


cdef inline void weighted_floats(int vecs, const float *values, Py_ssize_t stride, Py_ssize_t count, const float *weights, float inverse, float *out) noexcept nogil:
    """The same for a float cache."""
    cdef f32v acc[4]
    cdef Py_ssize_t c
    cdef int v
    for v in range(vecs):
        acc[v] = f32_set(0.0)
    for c in range(count):
        for v in range(vecs):
            acc[v] = f32_add(acc[v], f32_mul(f32_set(weights[c]), f32_load(values + c * stride + v * LANES)))
    for v in range(vecs):
        f32_store(out + v * LANES, f32_mul(acc[v], f32_set(inverse)))


cdef inline void weighted_values(int vecs, const Attention *p, const char *values, Py_ssize_t first, Py_ssize_t count, Py_ssize_t at,
                                 const float *weights, float inverse, float *out) noexcept nogil:
    """Numbers at .. at + vecs * LANES - 1 of a head."""
    if p.words:
        weighted_words(vecs, <const int8_t *>values + first * p.head_dim + at, p.head_dim, count, weights, inverse, out + at)
    else:
        weighted_floats(vecs, <const float *>values + first * p.head_dim + at, p.head_dim, count, weights, inverse, out + at)


cdef void attend(const Attention *p, const float *q, const char *keys, const char *values, Py_ssize_t first, Py_ssize_t count,
                 char *scratch, float *out) noexcept nogil:
    """One head of one token over `count` rows of the caches from `first` on."""
    cdef float *scores = <float *>scratch
    cdef float *result = scores + round_up(p.context, 16)
    cdef int8_t *words = <int8_t *>(result + round_up(p.head_dim, 16))
    cdef float largest, inverse
    cdef const float *scales
    cdef Py_ssize_t c = 0, at = 0
    if p.words:
        largest = score_words(p, q, keys, first, count, words, scores)
    else:
        largest = score_floats(p, q, keys, first, count, scores)
    while c < count:
        f32_store(scores + c, exp_floats(f32_sub(f32_load(scores + c), f32_set(largest))))
        c += LANES
    inverse = <float>1.0 / sum_floats(scores, count)
    if p.words:
        scales = scales_of(p, values) + first
        for c in range(count):
            scores[c] = scores[c] * scales[c]
    while at + 4 * LANES <= p.head_dim:
        weighted_values(4, p, values, first, count, at, scores, inverse, result)
        at += 4 * LANES
    while at < p.head_dim:
        weighted_values(1, p, values, first, count, at, scores, inverse, result)
        at += LANES
    memcpy(out, result, p.head_dim * sizeof(float))


cdef void attention_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Attention *p = <const Attention *>params
    cdef Py_ssize_t item, token, head, last, first, plane
    cdef Py_ssize_t position = max((<const int32_t *>tensors[3])[0], 0)
    cdef Py_ssize_t items = p.tokens * p.heads
    for item in range(share(items, thread, n_threads), share(items, thread + 1, n_threads)):
        head, token = item // p.tokens, item % p.tokens
        last = min(position + token, p.context - 1)
        first = max(last + 1 - p.window, <Py_ssize_t>0) if p.window else 0
        plane = head // (p.heads // p.kv_heads) * p.plane
        attend(p, <const float *>tensors[0] + (token * p.heads + head) * p.head_dim, tensors[1] + plane, tensors[2] + plane,
               first, last + 1 - first, scratch, <float *>tensors[4] + (token * p.heads + head) * p.head_dim)


cdef set_heads(Attention *p, x, cache):
    p.tokens, p.heads, p.head_dim = x.shape
    p.kv_heads, p.context = cache.shape[:2]
    p.padded = round_up(p.head_dim, VECTOR_BYTES)
    p.words = cache.dtype == "int8"
    p.plane = cache.nbytes // p.kv_heads


def bind_attention(op, inputs, outputs, attrs):
    if inputs[0].data is not None:
        return None
    cdef Layout layout = Layout(sizeof(Attention))
    cdef Attention *p = <Attention *>layout.at()
    set_heads(p, inputs[0], inputs[1])
    p.scale, p.window = attrs["scale"], attrs.get("window", 0)
    scratch_bytes = (round_up(p.context, 16) + round_up(p.head_dim, 16)) * sizeof(float) + p.padded
    return make_step(op, <uintptr_t>&attention_kernel, layout, p.tokens * p.heads * p.context * p.head_dim, scratch_bytes)


cdef void cache_append_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Attention *p = <const Attention *>params
    cdef Py_ssize_t position = max((<const int32_t *>tensors[1])[0], 0), token, head
    cdef const float *x
    cdef char *plane
    for token in range(min(p.tokens, p.context - position)):
        for head in range(p.kv_heads):
            x = <const float *>tensors[0] + (token * p.kv_heads + head) * p.head_dim
            plane = tensors[2] + head * p.plane
            if p.words:
                (<float *>scales_of(p, plane))[position + token] = quantise_row(x, p.head_dim, <int8_t *>scratch, p.padded)
                memcpy(plane + (position + token) * p.head_dim, scratch, p.head_dim)
            else:
                memcpy(<float *>plane + (position + token) * p.head_dim, x, p.head_dim * sizeof(float))


def bind_cache_append(op, inputs, outputs, attrs):
    if inputs[0].data is not None:
        return None
    cdef Layout layout = Layout(sizeof(Attention))
    cdef Attention *p = <Attention *>layout.at()
    set_heads(p, inputs[0], outputs[0])
    return make_step(op, <uintptr_t>&cache_append_kernel, layout, 0, p.padded)
