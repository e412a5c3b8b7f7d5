# What the ops of language models share: rows of activations as int8, dot products of rows as they are stored, and float
# arithmetic in the one order that kernels/reference/float_order.py defines.

cdef extern from "math.h" nogil:
    float sqrtf(float x)


cdef inline float tree_of(float *s) noexcept nogil:
    """The sum of 16 partial sums: l + 8, l + 4, l + 2, l + 1."""
    cdef int half, l
    for l in range(8):
        s[l] += s[l + 8]
    for l in range(4):
        s[l] += s[l + 4]
    return (s[0] + s[2]) + (s[1] + s[3])


cdef inline float sum_floats(const float *x, Py_ssize_t n) noexcept nogil:
    cdef f32v part[PARTS]
    cdef float s[16]
    cdef Py_ssize_t i = 0
    cdef int v
    for v in range(PARTS):
        part[v] = f32_set(0.0)
    while i + 16 <= n:
        for v in range(PARTS):
            part[v] = f32_add(part[v], f32_load(x + i + v * LANES))
        i += 16
    for v in range(PARTS):
        f32_store(s + v * LANES, part[v])
    for v in range(<int>(n - i)):
        s[v] += x[i + v]
    return tree_of(s)


cdef inline float dot_floats(const float *x, const float *y, Py_ssize_t n) noexcept nogil:
    cdef f32v part[PARTS]
    cdef float s[16]
    cdef Py_ssize_t i = 0
    cdef int v
    for v in range(PARTS):
        part[v] = f32_set(0.0)
    while i + 16 <= n:
        for v in range(PARTS):
            part[v] = f32_add(part[v], f32_mul(f32_load(x + i + v * LANES), f32_load(y + i + v * LANES)))
        i += 16
    for v in range(PARTS):
        f32_store(s + v * LANES, part[v])
    for v in range(<int>(n - i)):
        s[v] += x[i + v] * y[i + v]
    return tree_of(s)


cdef inline f32v exp_floats(f32v x) noexcept nogil:
    cdef f32v shifted, n, r, y
    x = f32_min(f32_max(x, f32_set(-87.0)), f32_set(88.0))
    shifted = f32_add(f32_mul(x, f32_set(1.44269504088896341)), f32_set(12582912.0))
    n = f32_sub(shifted, f32_set(12582912.0))
    r = f32_sub(x, f32_mul(n, f32_set(0.693359375)))
    r = f32_sub(r, f32_mul(n, f32_set(-2.12194440e-4)))
    y = f32_add(f32_mul(f32_set(1.9875691500e-4), r), f32_set(1.3981999507e-3))
    y = f32_add(f32_mul(y, r), f32_set(8.3334519073e-3))
    y = f32_add(f32_mul(y, r), f32_set(4.1665795894e-2))
    y = f32_add(f32_mul(y, r), f32_set(1.6666665459e-1))
    y = f32_add(f32_mul(y, r), f32_set(5.0000001201e-1))
    y = f32_add(f32_add(f32_mul(y, f32_mul(r, r)), r), f32_set(1.0))
    return f32_mul(y, f32_pow2(shifted))


cdef inline float largest_magnitude(const float *x, Py_ssize_t n) noexcept nogil:
    cdef f32v largest = f32_set(0.0), v
    cdef float lanes[LANES]
    cdef float most = 0.0
    cdef Py_ssize_t i = 0
    while i + LANES <= n:
        v = f32_load(x + i)
        largest = f32_max(f32_max(v, f32_sub(f32_set(0.0), v)), largest)
        i += LANES
    f32_store(lanes, largest)
    for l in range(LANES):
        most = max(most, lanes[l])
    while i < n:
        most = max(most, max(x[i], -x[i]))
        i += 1
    return most


cdef inline float quantise_row(const float *x, Py_ssize_t n, int8_t *words, Py_ssize_t padded) noexcept nogil:
    """The row's scale; its words, zero from n to `padded`, a multiple of VECTOR_BYTES."""
    cdef float largest = largest_magnitude(x, n), inverse
    cdef requant q = requant_set(-127, 127, 0)
    cdef f32v v[4]
    cdef f32v by
    cdef float tail[VECTOR_BYTES]
    cdef Py_ssize_t i = 0
    cdef int j
    if not largest >= <float>1e-30:
        memset(words, 0, padded)
        return 0.0
    inverse = <float>127.0 / largest
    by = f32_set(inverse)
    while i + VECTOR_BYTES <= n:
        for j in range(4):
            v[j] = f32_mul(f32_load(x + i + j * LANES), by)
        i8_store4(words + i, narrow4(v[0], v[1], v[2], v[3], &q))
        i += VECTOR_BYTES
    if i < n:
        memset(tail, 0, sizeof(tail))
        memcpy(tail, x + i, (n - i) * sizeof(float))
        for j in range(4):
            v[j] = f32_mul(f32_load(tail + j * LANES), by)
        i8_store4(words + i, narrow4(v[0], v[1], v[2], v[3], &q))
        i += VECTOR_BYTES
    if i < padded:
        memset(words + i, 0, padded - i)
    return largest / <float>127.0


cdef inline int32_t sum_of_words(const int8_t *words, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef int32_t total = 0
    for i in range(n):
        total += words[i]
    return total


cdef inline i32v row_dot(const int8_t *x, const int8_t *weights, Py_ssize_t depth) noexcept nogil:
    """The dot product of two rows, still spread over lanes; x is zero from `depth` on.

    One row after another is how memory streams fastest: 97 % of what a plain read reaches, where four rows side by side
    reach 45 %. Four sums, so that none waits for the one before.
    """
    cdef i32v acc[4]
    cdef Py_ssize_t k = 0
    cdef int i
    for i in range(4):
        acc[i] = i32_zero()
    while k + 4 * VECTOR_BYTES <= depth:
        for i in range(4):
            acc[i] = i32_hold(dot_rows(acc[i], w_load(x + k + i * VECTOR_BYTES), w_load(weights + k + i * VECTOR_BYTES)))
        k += 4 * VECTOR_BYTES
    cdef i32v total = i32_add(i32_add(acc[0], acc[1]), i32_add(acc[2], acc[3]))
    while k + VECTOR_BYTES <= depth:
        total = dot_rows(total, w_load(x + k), w_load(weights + k))
        k += VECTOR_BYTES
    if k < depth:
        total = dot_rows(total, w_load(x + k), i8_load_first(weights + k, <int>(depth - k)))
    return total
