# attention over a cache of keys and values, and what fills the cache. A head's rows lie together, so its scores are the
# product of one row by rows in place; in int8 their scales lie behind them. There the tokens of a prompt are taken QUERIES
# at a time: keys are turned into lanes, and values made float, once for all of them.

cdef enum:
    QUERIES = 4

cdef struct Attention:
    Py_ssize_t tokens, heads, kv_heads, context, head_dim
    Py_ssize_t padded             # head_dim in whole vectors of bytes
    Py_ssize_t plane              # bytes of one head of a cache
    Py_ssize_t window
    Py_ssize_t stride             # floats of a query's scores in scratch
    float scale
    bint words                    # int8 caches


cdef inline const float *scales_of(const Attention *p, const char *plane) noexcept nogil:
    return <const float *>(plane + p.context * p.head_dim)


cdef inline void score_words(const Attention *p, const float *q, const char *keys, Py_ssize_t first, Py_ssize_t count, int8_t *words, float *scores) noexcept nogil:
    """scores[c] of keys first .. first + count - 1."""
    cdef f32v by = f32_set(quantise_row(q, p.head_dim, words, p.padded) * p.scale)
    cdef i32v flip = i32_set(sum_of_words(words, p.head_dim) * ROW_FLIP if ROW_FLIP else 0)
    cdef const float *scales = scales_of(p, keys) + first
    cdef i32v sums[LANES]
    cdef Py_ssize_t c = 0, i
    while c < count:
        # x is zero behind head_dim, so whole vectors may be read there; caches have room behind their last byte.
        for i in range(LANES):
            sums[i] = row_dot(words, <const int8_t *>keys + (first + min(c + i, count - 1)) * p.head_dim, p.padded)
        f32_store(scores + c, f32_mul(f32_from_i32(i32_sub(i32_sums(sums), flip)), f32_mul(by, f32_load(scales + c))))
        c += LANES


cdef inline void score_words_together(const Attention *p, const float *const *q, const char *keys, Py_ssize_t first, Py_ssize_t count, int8_t *words,
                                      float *scores) noexcept nogil:
    """The same for QUERIES of them, each p.stride behind the other."""
    cdef const float *scales = scales_of(p, keys) + first
    cdef const int8_t *rows[LANES]
    cdef f32v by[QUERIES]
    cdef i32v flip[QUERIES]
    cdef i32v acc[QUERIES]
    cdef i8v turned[LANES]
    cdef Py_ssize_t c = 0, k
    cdef int i, g
    for i in range(QUERIES):
        by[i] = f32_set(quantise_row(q[i], p.head_dim, words + i * p.padded, p.padded) * p.scale)
        flip[i] = i32_set(-ROW_FLIP * sum_of_words(words + i * p.padded, p.head_dim) if ROW_FLIP else 0)
    while c < count:
        for i in range(QUERIES):
            acc[i] = flip[i]
        k = 0
        while k < p.head_dim:
            for g in range(LANES):
                rows[g] = <const int8_t *>keys + (first + min(c + g, count - 1)) * p.head_dim + k
            panel_turn(turned, rows)
            for g in range(LANES):
                for i in range(QUERIES):
                    acc[i] = dot_panel(acc[i], x4_load(<const uint8_t *>words + i * p.padded + k + 4 * g), row_flip(turned[g]))
            k += VECTOR_BYTES
        for i in range(QUERIES):
            f32_store(scores + i * p.stride + c, f32_mul(f32_from_i32(acc[i]), f32_mul(by[i], f32_load(scales + c))))
        c += LANES


cdef inline void score_floats(const Attention *p, const float *q, const char *keys, Py_ssize_t first, Py_ssize_t count, float *scores) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(count):
        scores[c] = dot_floats(q, <const float *>keys + (first + c) * p.head_dim, p.head_dim) * p.scale


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


cdef inline float soften(float *scores, Py_ssize_t count, const float *value_scales) noexcept nogil:
    """Scores become weights, times the scales of their values (NULL: none); what their sum is to be multiplied by."""
    cdef f32v largest = f32_set(largest_of(scores, count))
    cdef float inverse
    cdef Py_ssize_t c = 0
    while c < count:
        f32_store(scores + c, exp_floats(f32_sub(f32_load(scores + c), largest)))
        c += LANES
    inverse = <float>1.0 / sum_floats(scores, count)
    if value_scales != NULL:
        for c in range(count):
            scores[c] = scores[c] * value_scales[c]
    return inverse


cdef inline f32v value_at(bint words, const char *values, Py_ssize_t at) noexcept nogil:
    return f32_from_i32(i32_from_i8(<const int8_t *>values + at)) if words else f32_load(<const float *>values + at)


cdef inline void weighted_sums(int queries, int vecs, bint words, const Attention *p, const char *values, Py_ssize_t at, Py_ssize_t count, const float *weights,
                               const float *inverse, float *const *out) noexcept nogil:
    """Numbers at .. at + vecs * LANES - 1 of the sum of weights[c] * row c, times inverse. queries, vecs, words: constants."""
    cdef f32v acc[8]
    cdef f32v row[4]
    cdef Py_ssize_t c
    cdef int i
    for i in range(queries * vecs):
        acc[i] = f32_set(0.0)
    for c in range(count):
        for i in range(vecs):
            row[i] = value_at(words, values, c * p.head_dim + at + i * LANES)
        for i in range(queries * vecs):
            acc[i] = f32_add(acc[i], f32_mul(f32_set(weights[i // vecs * p.stride + c]), row[i % vecs]))
    for i in range(queries * vecs):
        f32_store(out[i // vecs] + at + i % vecs * LANES, f32_mul(acc[i], f32_set(inverse[i // vecs])))


cdef inline void weighted_values(int queries, bint words, const Attention *p, const char *values, Py_ssize_t count, const float *weights, const float *inverse,
                                 float *const *out) noexcept nogil:
    """queries, words: constants."""
    cdef Py_ssize_t at = 0
    cdef int vecs = 8 // queries if queries > 2 else 4
    while at + vecs * LANES <= p.head_dim:
        weighted_sums(queries, 8 // queries if queries > 2 else 4, words, p, values, at, count, weights, inverse, out)
        at += vecs * LANES
    while at < p.head_dim:
        weighted_sums(queries, 1, words, p, values, at, count, weights, inverse, out)
        at += LANES


cdef inline void attend(int queries, const Attention *p, char *const *tensors, Py_ssize_t head, Py_ssize_t token, char *scratch) noexcept nogil:
    """One head of `queries` tokens (a constant), over the rows that any of them looks at; a row that one does not gets no weight."""
    cdef Py_ssize_t position = max((<const int32_t *>tensors[3])[0], 0), plane = head // (p.heads // p.kv_heads) * p.plane
    cdef Py_ssize_t last = min(position + token + queries - 1, p.context - 1), first = first_row(p, min(position + token, p.context - 1))
    cdef Py_ssize_t count = last + 1 - first, begin, end
    cdef const char *keys = tensors[1] + plane
    cdef const char *values = tensors[2] + plane
    cdef float *scores = <float *>scratch
    cdef int8_t *words = <int8_t *>(scores + queries * (p.stride + round_up(p.head_dim, 16)))
    cdef const float *q[QUERIES]
    cdef float *result[QUERIES]
    cdef float inverse[QUERIES]
    cdef int i
    for i in range(queries):
        q[i] = <const float *>tensors[0] + ((token + i) * p.heads + head) * p.head_dim
        result[i] = scores + queries * p.stride + i * round_up(p.head_dim, 16)
    if queries > 1:
        score_words_together(p, q, keys, first, count, words, scores)
    elif p.words:
        score_words(p, q[0], keys, first, count, words, scores)
    else:
        score_floats(p, q[0], keys, first, count, scores)
    for i in range(queries):
        end = min(position + token + i, p.context - 1) + 1 - first
        begin = first_row(p, end - 1 + first) - first
        inverse[i] = soften(scores + i * p.stride + begin, end - begin, scales_of(p, values) + first + begin if p.words else NULL)
        memset(scores + i * p.stride, 0, begin * sizeof(float))
        memset(scores + i * p.stride + end, 0, (count - end) * sizeof(float))
    if queries > 1 or p.words:
        weighted_values(queries, True, p, values + first * p.head_dim, count, scores, inverse, result)
    else:
        weighted_values(1, False, p, values + first * p.head_dim * 4, count, scores, inverse, result)
    for i in range(queries):
        memcpy(<float *>tensors[4] + ((token + i) * p.heads + head) * p.head_dim, result[i], p.head_dim * sizeof(float))


cdef inline Py_ssize_t first_row(const Attention *p, Py_ssize_t last) noexcept nogil:
    """The first row that a token looks at whose own is `last`."""
    return max(last + 1 - p.window, <Py_ssize_t>0) if p.window else 0


cdef void attention_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Attention *p = <const Attention *>params
    cdef Py_ssize_t together = p.tokens // QUERIES if p.words else 0
    cdef Py_ssize_t each = p.tokens - together * (QUERIES - 1), items = each * p.heads, item, part
    for item in range(share(items, thread, n_threads), share(items, thread + 1, n_threads)):
        part = item % each
        if part < together:
            attend(QUERIES, p, tensors, item // each, part * QUERIES, scratch)
        else:
            attend(1, p, tensors, item // each, part - together + together * QUERIES, scratch)


cdef set_heads(Attention *p, x, cache):
    p.tokens, p.heads, p.head_dim = x.shape
    p.kv_heads, p.context = cache.shape[:2]
    p.padded = round_up(p.head_dim, VECTOR_BYTES)
    p.words = cache.dtype == "int8"
    p.plane = cache.nbytes // p.kv_heads
    p.stride = round_up(p.context, 16) + 16  # whole vectors are stored, from any row on


def bind_attention(op, inputs, outputs, attrs):
    if inputs[0].data is not None:
        return None
    cdef Layout layout = Layout(sizeof(Attention))
    cdef Attention *p = <Attention *>layout.at()
    set_heads(p, inputs[0], inputs[1])
    p.scale, p.window = attrs["scale"], attrs.get("window", 0)
    cdef Py_ssize_t queries = QUERIES if p.words and p.tokens >= QUERIES else 1
    scratch_bytes = queries * ((p.stride + round_up(p.head_dim, 16)) * sizeof(float) + p.padded)
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
