# Depthwise kernels of up to six rows through the dot product: the bytes of three rows are interleaved so that a lane
# holds one channel's column, and dot4 multiplies it by the column of weights (the fourth weight is zero). A kernel of more
# rows is its upper three and its lower three; a row that is in both meets a zero in the lower. A column that was interleaved
# for one output serves its right neighbours too. A block has four vectors of channels, the last one as many as it needs:
# `vecs` is 4, 2 or 1, a constant.

cdef inline void quad_column(int vecs, x4v *q, const Depthwise *p, const uint8_t *x) noexcept nogil:
    quad_load(vecs, q, x, x + p.second_row, x + p.third_row)


cdef inline f32v quad_scaled(int vecs, int v, const i32v *acc, const float *multiplier) noexcept nogil:
    v = min(v, vecs - 1)  # what is beyond the last is not stored
    return f32_mul(f32_from_i32(acc[v]), f32_load(multiplier + v * LANES))


cdef inline void quad_output(int vecs, const i32v *acc, const float *multiplier, const requant *q, int8_t *out, int n) noexcept nogil:
    quad_store(vecs, out, n, quad_scaled(vecs, 0, acc, multiplier), quad_scaled(vecs, 1, acc, multiplier),
               quad_scaled(vecs, 2, acc, multiplier), quad_scaled(vecs, 3, acc, multiplier), q)


cdef inline void quad_dot(int vecs, i32v *acc, const x4v *column, const i8v *w) noexcept nogil:
    cdef int v
    for v in range(vecs):
        acc[v] = dot4(acc[v], column[v], w[v])


cdef inline void quad_rest_dot(int vecs, i32v *acc, const x4v *column, const int8_t *w) noexcept nogil:
    cdef int v
    for v in range(vecs):
        acc[v] = dot4_at(acc[v], column[v], w + v * LANES * 4)


cdef inline void quad_sliding(int vecs, bint has_rest, const Depthwise *p, const x4v *left, const x4v *middle, const x4v *right, const i8v *w,
                              Py_ssize_t block, const requant *q, int8_t *out, int n) noexcept nogil:
    """One output under a kernel three columns wide. has_rest: a constant."""
    cdef i32v acc[4]
    cdef const int8_t *rest = p.quad_rest + block * 48 * LANES
    cdef int v
    for v in range(vecs):
        acc[v] = i32_load(p.bias + (block * 4 + v) * LANES)
    quad_dot(vecs, acc, left, w)
    quad_dot(vecs, acc, middle, w + 4)
    quad_dot(vecs, acc, right, w + 8)
    if has_rest:
        quad_rest_dot(vecs, acc, left, rest)
        quad_rest_dot(vecs, acc, middle, rest + 16 * LANES)
        quad_rest_dot(vecs, acc, right, rest + 32 * LANES)
    quad_output(vecs, acc, p.multiplier + block * 4 * LANES, q, out, n)


cdef inline void quad_row_sliding(int vecs, bint has_rest, const Depthwise *p, const uint8_t *x, Py_ssize_t block, const requant *q, int8_t *out, int n) noexcept nogil:
    """A row of outputs under three columns at stride 1: each step interleaves one new column in place of the oldest."""
    cdef x4v a[4]
    cdef x4v b[4]
    cdef x4v c[4]
    cdef i8v w[12]
    cdef Py_ssize_t step = p.c_out
    cdef int i, left = p.w_out
    for i in range(12):
        w[i] = w_load(p.quad_weights + (block * 12 + i) * LANES * 4)
    quad_column(vecs, a, p, x)
    quad_column(vecs, b, p, x + step)
    x += 2 * step
    while left >= 3:
        quad_column(vecs, c, p, x)
        quad_sliding(vecs, has_rest, p, a, b, c, w, block, q, out, n)
        quad_column(vecs, a, p, x + step)
        quad_sliding(vecs, has_rest, p, b, c, a, w, block, q, out + step, n)
        quad_column(vecs, b, p, x + 2 * step)
        quad_sliding(vecs, has_rest, p, c, a, b, w, block, q, out + 2 * step, n)
        x += 3 * step
        out += 3 * step
        left -= 3
    if left > 0:
        quad_column(vecs, c, p, x)
        quad_sliding(vecs, has_rest, p, a, b, c, w, block, q, out, n)
        if left > 1:
            quad_column(vecs, a, p, x + step)
            quad_sliding(vecs, has_rest, p, b, c, a, w, block, q, out + step, n)


cdef inline void quad_middle(int vecs, bint between, x4v *middle, const x4v *left, const x4v *right, const Depthwise *p, const uint8_t *x) noexcept nogil:
    """The column at x, between two that are known; of which it may be halves."""
    if between:
        quad_between(middle, left, right)
    else:
        quad_column(vecs, middle, p, x)


cdef inline void quad_row_by_two(int vecs, bint has_rest, bint between, const Depthwise *p, const uint8_t *x, Py_ssize_t block, const requant *q, int8_t *out, int n) noexcept nogil:
    """A row of outputs that lie two columns apart (stride 2, or pixels folded in pairs) under three: two new columns a step,
    the third was the last one's right."""
    cdef x4v a[4]
    cdef x4v b[4]
    cdef x4v c[4]
    cdef i8v w[12]
    cdef Py_ssize_t step = p.c_out, out_step = p.wide_c
    cdef int i, left = p.wide_w
    for i in range(12):
        w[i] = w_load(p.quad_weights + (block * 12 + i) * LANES * 4)
    quad_column(vecs, a, p, x)
    while left > 1:
        quad_column(vecs, c, p, x + 2 * step)
        quad_middle(vecs, between, b, a, c, p, x + step)
        quad_sliding(vecs, has_rest, p, a, b, c, w, block, q, out, n)
        quad_column(vecs, a, p, x + 4 * step)
        quad_middle(vecs, between, b, c, a, p, x + 3 * step)
        if left == 2 and p.last_c < n:
            n = p.last_c
        quad_sliding(vecs, has_rest, p, c, b, a, w, block, q, out + out_step, n)
        x += 4 * step
        out += 2 * out_step
        left -= 2
    if left > 0:
        quad_column(vecs, c, p, x + 2 * step)
        quad_middle(vecs, between, b, a, c, p, x + step)
        quad_sliding(vecs, has_rest, p, a, b, c, w, block, q, out, min(n, p.last_c))


cdef inline void quad_row(int vecs, bint has_rest, const Depthwise *p, const uint8_t *x, Py_ssize_t block, const requant *q, int8_t *out, int n) noexcept nogil:
    """A row of outputs under any number of columns at any stride."""
    cdef x4v column[4]
    cdef i32v acc[4]
    cdef const int8_t *w
    cdef Py_ssize_t to_rest = p.quad_rest - p.quad_weights
    cdef int left = p.wide_w, k, v
    while left > 0:
        w = p.quad_weights + block * p.quads * 16 * LANES
        for v in range(vecs):
            acc[v] = i32_load(p.bias + (block * 4 + v) * LANES)
        for k in range(p.quads):
            quad_column(vecs, column, p, x + (k * p.column_step if k < p.kernel_columns
                                              else (k - p.kernel_columns) * p.column_step + p.lower_rows))
            quad_rest_dot(vecs, acc, column, w)
            if has_rest:
                quad_rest_dot(vecs, acc, column, w + to_rest)
            w += 16 * LANES
        quad_output(vecs, acc, p.multiplier + block * 4 * LANES, q, out, min(n, p.last_c) if left == 1 else n)
        x += <Py_ssize_t>p.stride_w * p.wide_c
        out += p.wide_c
        left -= 1


cdef inline void quad_dot_five(int vecs, int known, const Depthwise *p, const uint8_t *x, const int8_t *w, i32v *a, i32v *b, i32v *c,
                               i32v *d, i32v *e) noexcept nogil:
    """Three rows of one column, which is the fifth under output a, the fourth under b, ... the first under e. known: how
    many of the five exist, from e on; a constant."""
    cdef x4v column[4]
    quad_column(vecs, column, p, x)
    if known > 4:
        quad_rest_dot(vecs, a, column, w + 64 * LANES)
    if known > 3:
        quad_rest_dot(vecs, b, column, w + 48 * LANES)
    if known > 2:
        quad_rest_dot(vecs, c, column, w + 32 * LANES)
    if known > 1:
        quad_rest_dot(vecs, d, column, w + 16 * LANES)
    quad_rest_dot(vecs, e, column, w)


cdef inline void quad_five(int vecs, int known, const Depthwise *p, const uint8_t *x, Py_ssize_t block, i32v *a, i32v *b, i32v *c,
                           i32v *d, i32v *e) noexcept nogil:
    """The column at x begins output e and ends output a. The upper rows first: both at once would not fit the registers."""
    cdef const int8_t *w = p.quad_weights + block * p.quads * 16 * LANES
    cdef int v
    for v in range(vecs):
        e[v] = i32_load(p.bias + (block * 4 + v) * LANES)
    quad_dot_five(vecs, known, p, x, w, a, b, c, d, e)
    quad_dot_five(vecs, known, p, x + p.lower_rows, w + 5 * 16 * LANES, a, b, c, d, e)


cdef inline bint quad_five_done(int vecs, int i, const Depthwise *p, const uint8_t *x, Py_ssize_t block, i32v *a, i32v *b, i32v *c,
                                i32v *d, i32v *e, const requant *q, int8_t *out, int n, int left) noexcept nogil:
    """Output i of five, a; whether it is the last of the `left`. i: a constant."""
    quad_five(vecs, 5, p, x + i * p.c_out, block, a, b, c, d, e)
    quad_output(vecs, a, p.multiplier + block * 4 * LANES, q, out + i * p.c_out, n)
    return left == i + 1


cdef inline void quad_row_five(int vecs, const Depthwise *p, const uint8_t *x, Py_ssize_t block, const requant *q, int8_t *out, int n) noexcept nogil:
    """A row of outputs under five columns at stride 1: each column is interleaved once, for the five outputs that it is
    under. Their sums stay in registers and change places, the weights come from the cache."""
    cdef i32v a[4]
    cdef i32v b[4]
    cdef i32v c[4]
    cdef i32v d[4]
    cdef i32v e[4]
    cdef Py_ssize_t step = p.c_out
    cdef int left = p.w_out
    quad_five(vecs, 1, p, x, block, b, c, d, e, a)
    quad_five(vecs, 2, p, x + step, block, c, d, e, a, b)
    quad_five(vecs, 3, p, x + 2 * step, block, d, e, a, b, c)
    quad_five(vecs, 4, p, x + 3 * step, block, e, a, b, c, d)
    x += 4 * step
    while True:
        if quad_five_done(vecs, 0, p, x, block, a, b, c, d, e, q, out, n, left):
            return
        if quad_five_done(vecs, 1, p, x, block, b, c, d, e, a, q, out, n, left):
            return
        if quad_five_done(vecs, 2, p, x, block, c, d, e, a, b, q, out, n, left):
            return
        if quad_five_done(vecs, 3, p, x, block, d, e, a, b, c, q, out, n, left):
            return
        if quad_five_done(vecs, 4, p, x, block, e, a, b, c, d, q, out, n, left):
            return
        left -= 5
        x += 5 * step
        out += 5 * step


cdef inline void quad_block(int vecs, bint has_rest, const Depthwise *p, const uint8_t *x, Py_ssize_t block, const requant *q, int8_t *out, int n) noexcept nogil:
    if p.sliding and p.kernel_columns == 5 and not has_rest:
        quad_row_five(vecs, p, x, block, q, out, n)
    elif p.sliding == 1 and p.kernel_columns == 3:
        quad_row_sliding(vecs, has_rest, p, x, block, q, out, n)
    elif p.sliding == 2:
        if vecs == 4 and p.wide_c == 2 * p.c_out == 4 * LANES:
            quad_row_by_two(4, has_rest, True, p, x, block, q, out, n)
        else:
            quad_row_by_two(vecs, has_rest, False, p, x, block, q, out, n)
    else:
        quad_row(vecs, has_rest, p, x, block, q, out, n)


cdef inline int quad_vecs(const Depthwise *p, Py_ssize_t block) noexcept nogil:
    cdef Py_ssize_t channels = p.wide_c - block * 4 * LANES
    if channels > 2 * LANES or p.has_rest[block]:
        return 4
    return 2 if channels > LANES else 1


cdef inline void quad_rows(const Depthwise *shared, const uint8_t *band, Py_ssize_t band_step, int rows, int8_t *out) noexcept nogil:
    cdef int row, n, vecs
    cdef Py_ssize_t block
    cdef Depthwise p = shared[0]  # a copy: stores to `out` cannot change it, so the compiler need not read it again
    cdef requant q = requant_of(&p.out)
    for row in range(rows):
        for block in range(p.blocks):
            n = <int>min(<Py_ssize_t>4 * LANES, p.wide_c - block * 4 * LANES)
            vecs = quad_vecs(&p, block)
            if p.has_rest[block]:
                quad_block(4, True, &p, band + block * 4 * LANES, block, &q, out + block * 4 * LANES, n)
            elif vecs == 4:
                quad_block(4, False, &p, band + block * 4 * LANES, block, &q, out + block * 4 * LANES, n)
            elif vecs == 2:
                quad_block(2, False, &p, band + block * 4 * LANES, block, &q, out + block * 4 * LANES, n)
            else:
                quad_block(1, False, &p, band + block * 4 * LANES, block, &q, out + block * 4 * LANES, n)
        band += band_step
        out += <Py_ssize_t>p.w_out * p.c_out


cdef fold_narrow(Depthwise *p):
    """Few channels leave most lanes empty. At stride 1 neighbouring pixels are neighbouring bytes, under the same kernel:
    as many as fit 4 * LANES are taken as one wide pixel whose channels repeat."""
    cdef int fold = max(1, 4 * LANES // p.c_out) if p.stride_w == 1 else 1
    p.wide_c = fold * p.c_out
    p.wide_w = (p.w_out + fold - 1) // fold
    p.last_c = p.wide_c if fold == 1 else (p.w_out - (p.wide_w - 1) * fold) * p.c_out
    p.lower_rows = (p.kernel_rows - 3) * p.row_step if p.kernel_rows > 3 else 0
    most = 2 if p.quads == 3 else 1 if p.quads == 2 * 5 and p.lower_rows else 0
    p.sliding = fold * p.stride_w if p.column_step == p.c_out and fold * p.stride_w <= most else 0
    # a row that the kernel does not have meets weights of zero; one that is there is read in its place
    p.second_row = p.row_step if p.kernel_rows > 1 else 0
    p.third_row = 2 * p.row_step if p.kernel_rows > 2 else 0


cdef bint quads_can_hold(weight):
    """Whether every weight is the sum of two that dot4 takes, as all are but those furthest from an extreme zero point."""
    cdef const int8_t *weights = <const int8_t *><uintptr_t>address_of(weight.data)
    cdef int zero_point = weight.quant.zero_point
    cdef Py_ssize_t i
    for i in range(weight.size if zero_point != 0 else 0):
        if weight_part(weights[i] - zero_point, 2):
            return False
    return True


cdef bint quad_has_rest(const Depthwise *p, const int8_t *weights, int zero_point, Py_ssize_t block):
    """Whether a weight of this block's channels is more than dot4 takes."""
    cdef Py_ssize_t channel, tap
    for channel in range(block * 4 * LANES, min(<Py_ssize_t>p.wide_c, (block + 1) * 4 * LANES)):
        for tap in range(p.kernel_rows * p.kernel_columns):
            if weight_part(weights[tap * p.c_out + channel % p.c_out] - zero_point, 1):
                return True
    return False


cdef Layout quad_parameters(Depthwise *p, weight, const int32_t *biases, double[::1] multipliers, int x_zero_point):
    """Weights, biases and multipliers in the order in which quad_rows wants them."""
    cdef const int8_t *weights = <const int8_t *><uintptr_t>address_of(weight.data)
    cdef int block, v, l, k, ky, lower, top, channel, w, vecs, zero_point = weight.quant.zero_point
    cdef int64_t folded, shift = x_zero_point + ACT_FLIP
    cdef Py_ssize_t at
    fold_narrow(p)
    p.blocks = (p.wide_c + 4 * LANES - 1) // (4 * LANES)
    cdef Layout layout = Layout(sizeof(Depthwise))
    at_weights = layout.reserve(<Py_ssize_t>p.blocks * p.quads * 16 * LANES)
    at_rest = layout.reserve(<Py_ssize_t>p.blocks * p.quads * 16 * LANES if weight.quant.zero_point else 0)
    at_has_rest = layout.reserve(p.blocks)
    at_bias = layout.reserve(p.blocks * 16 * LANES)
    at_multiplier = layout.reserve(p.blocks * 16 * LANES)
    p.quad_weights = <int8_t *>layout.at(at_weights)
    p.quad_rest = <int8_t *>layout.at(at_rest)
    p.has_rest = <uint8_t *>layout.at(at_has_rest)
    p.bias = <int32_t *>layout.at(at_bias)
    p.multiplier = <float *>layout.at(at_multiplier)
    for block in range(p.blocks):
        p.has_rest[block] = quad_has_rest(p, weights, zero_point, block)
        vecs = quad_vecs(p, block)
        for v in range(vecs):
            for l in range(LANES):
                channel = block * 4 * LANES + quad_channel(vecs, v, l)
                if channel >= p.wide_c:
                    continue
                channel = channel % p.c_out
                folded = biases[channel] if biases != NULL else 0
                for k in range(p.quads):
                    at = (((<Py_ssize_t>block * p.quads + k) * 4 + v) * LANES + l) * 4
                    lower = k >= p.kernel_columns
                    top = p.kernel_rows - 3 if lower else 0
                    for ky in range(3 if lower else 0, p.kernel_rows if lower else min(3, p.kernel_rows)):
                        w = weights[(ky * p.kernel_columns + k % p.kernel_columns) * p.c_out + channel] - zero_point
                        folded -= shift * w
                        p.quad_weights[at + ky - top] = <int8_t>weight_part(w, 0)
                        if weight_part(w, 1):
                            p.quad_rest[at + ky - top] = <int8_t>weight_part(w, 1)
                p.bias[(block * 4 + v) * LANES + l] = <int32_t><uint32_t>folded
                p.multiplier[(block * 4 + v) * LANES + l] = <float>multipliers[channel]
    return layout
