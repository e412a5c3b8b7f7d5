# What happens to the sums of a matrix product: scaled, narrowed to bytes four vectors together, stored.

cdef inline f32v joined(const i32h *half, int i, f32v multiplier) noexcept nogil:
    return f32_mul(f32_from_i32(i32_join(half[2 * i], half[2 * i + 1])), multiplier)


cdef inline void store_halves(int8_t *out, Py_ssize_t stride, const i32h *half, f32v multiplier, const requant *q, int channels) noexcept nogil:
    """Eight rows of half a panel, two in each vector."""
    cdef i8v words = narrow4(joined(half, 0, multiplier), joined(half, 1, multiplier), joined(half, 2, multiplier), joined(half, 3, multiplier), q)
    cdef int i
    if channels == HALF_LANES:
        for i in range(8):
            i8_store_half(out + i * stride, words, i, HALF_LANES)
    else:
        for i in range(8):
            i8_store_half(out + i * stride, words, i, channels)


cdef inline f32v scaled(const i32v *acc, int i, int count, int vecs, const float *multiplier) noexcept nogil:
    i = min(i, count - 1)
    return f32_mul(f32_from_i32(acc[i]), f32_load(multiplier + i % vecs * LANES))


cdef inline i8v tile_words(bint clamped, int quad, int count, int vecs, const i32v *acc, const float *multiplier, const requant *q) noexcept nogil:
    """Four vectors from 4 * quad on; what is beyond count is narrowed as a copy of the last, and not stored."""
    cdef f32v a = scaled(acc, 4 * quad, count, vecs, multiplier), b = scaled(acc, 4 * quad + 1, count, vecs, multiplier)
    cdef f32v c = scaled(acc, 4 * quad + 2, count, vecs, multiplier), d = scaled(acc, 4 * quad + 3, count, vecs, multiplier)
    return narrow4(a, b, c, d, q) if clamped else narrow4_whole(a, b, c, d, q)


cdef inline void store_tile(int count, int vecs, int8_t *out, Py_ssize_t stride, const i32v *acc, const float *multiplier, const requant *q,
                            bint clamped, int last_channels) noexcept nogil:
    """Scale and narrow `count` vectors, four together, and store them. count, vecs: constants."""
    cdef i8v words[5]
    cdef int i
    if clamped:
        for i in range((count + 3) // 4):
            words[i] = tile_words(True, i, count, vecs, acc, multiplier, q)
    else:
        for i in range((count + 3) // 4):
            words[i] = tile_words(False, i, count, vecs, acc, multiplier, q)
    if last_channels < LANES:
        for i in range((count + 3) // 4):
            store_quad(i, count, vecs, out, stride, words[i], last_channels)
    else:
        for i in range((count + 3) // 4):
            store_quad(i, count, vecs, out, stride, words[i], LANES)


cdef inline void store_quad(int quad, int count, int vecs, int8_t *out, Py_ssize_t stride, i8v words, int last_channels) noexcept nogil:
    """Store vectors 4 * quad .. 4 * quad + 3 of `count`: part of a row, a row, two, or four. quad, count, vecs: constants."""
    cdef int left = min(4, count - 4 * quad), i
    out += 4 * quad // vecs * stride + 4 * quad % vecs * LANES
    if vecs >= 4:
        if (4 * quad + 4) % vecs == 0 and last_channels < LANES:
            i8_store_first(out, words, 0, 3 * LANES + last_channels)
        else:
            i8_store4(out, words)
    elif vecs == 2:
        for i in range(left // 2):
            if last_channels < LANES:
                i8_store_first(out + i * stride, words, 2 * i, LANES + last_channels)
            else:
                i8_store2(out + i * stride, words, i)
    else:
        for i in range(left):
            if last_channels < LANES:
                i8_store_first(out + i * stride, words, i, last_channels)
            else:
                i8_store1(out + i * stride, words, i)
