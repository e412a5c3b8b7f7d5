# Depthwise kernels of up to three rows through the dot product: the bytes of three rows are interleaved so that a lane
# holds one channel's column, and dot4 multiplies it by the column of weights (the fourth weight is zero). A column that
# was interleaved for one output serves its right neighbours too.

cdef inline void quad_column(x4v *q, const Depthwise *p, const uint8_t *x) noexcept nogil:
    # a row that the kernel does not have meets weights of zero; the last one that is there is read in its place
    quad_load(q, x, x + (p.row_step if p.kernel_rows > 1 else 0), x + (2 * p.row_step if p.kernel_rows > 2 else 0))


cdef inline void quad_output(const Depthwise *p, const i32v *acc, int block, const requant *q, int8_t *out, int n) noexcept nogil:
    cdef f32v value[4]
    cdef int v
    for v in range(4):
        value[v] = f32_mul(f32_from_i32(acc[v]), f32_load(p.multiplier + (block * 4 + v) * LANES))
    if n >= 4 * LANES:
        i8_store4(out, quad_narrow(value[0], value[1], value[2], value[3], q))
    else:
        i8_store_first(out, quad_narrow(value[0], value[1], value[2], value[3], q), 0, n)


cdef inline void quad_sliding(const Depthwise *p, int a, int b, int c, const x4v *columns, const i8v *w, int block, const requant *q,
                              int8_t *out, int n) noexcept nogil:
    """One output under a kernel three columns wide; a, b, c: which of the held columns are left, middle and right."""
    cdef i32v acc[4]
    cdef const int8_t *rest = p.quad_rest + <Py_ssize_t>block * 48 * LANES
    cdef int v
    for v in range(4):
        acc[v] = dot4(i32_load(p.bias + (block * 4 + v) * LANES), columns[4 * a + v], w[v])
    for v in range(4):
        acc[v] = dot4(acc[v], columns[4 * b + v], w[4 + v])
    for v in range(4):
        acc[v] = dot4(acc[v], columns[4 * c + v], w[8 + v])
    if p.has_rest[block]:
        for v in range(4):
            acc[v] = dot4(acc[v], columns[4 * a + v], w_load(rest + v * LANES * 4))
        for v in range(4):
            acc[v] = dot4(acc[v], columns[4 * b + v], w_load(rest + (4 + v) * LANES * 4))
        for v in range(4):
            acc[v] = dot4(acc[v], columns[4 * c + v], w_load(rest + (8 + v) * LANES * 4))
    quad_output(p, acc, block, q, out, n)


cdef inline void quad_row_sliding(const Depthwise *p, const uint8_t *x, int block, const requant *q, int8_t *out, int n) noexcept nogil:
    """A row of outputs under three columns at stride 1: each step interleaves one new column in place of the oldest."""
    cdef x4v columns[12]
    cdef i8v w[12]
    cdef int i, at = 0
    for i in range(12):
        w[i] = w_load(p.quad_weights + (block * 12 + i) * LANES * 4)
    quad_column(&columns[0], p, x)
    quad_column(&columns[4], p, x + p.c_out)
    x += 2 * p.c_out
    while at + 3 <= p.w_out:
        quad_column(&columns[8], p, x)
        quad_sliding(p, 0, 1, 2, columns, w, block, q, out, n)
        quad_column(&columns[0], p, x + p.c_out)
        quad_sliding(p, 1, 2, 0, columns, w, block, q, out + p.c_out, n)
        quad_column(&columns[4], p, x + 2 * p.c_out)
        quad_sliding(p, 2, 0, 1, columns, w, block, q, out + 2 * p.c_out, n)
        x += 3 * p.c_out
        out += 3 * p.c_out
        at += 3
    if at < p.w_out:
        quad_column(&columns[8], p, x)
        quad_sliding(p, 0, 1, 2, columns, w, block, q, out, n)
        if at + 1 < p.w_out:
            quad_column(&columns[0], p, x + p.c_out)
            quad_sliding(p, 1, 2, 0, columns, w, block, q, out + p.c_out, n)


cdef inline void quad_row_stride_2(const Depthwise *p, const uint8_t *x, int block, const requant *q, int8_t *out, int n) noexcept nogil:
    """A row of outputs under three columns at stride 2: two new columns a step, the third was the last one's right."""
    cdef x4v columns[12]
    cdef i8v w[12]
    cdef int i, at = 0
    for i in range(12):
        w[i] = w_load(p.quad_weights + (block * 12 + i) * LANES * 4)
    quad_column(&columns[0], p, x)
    while at + 2 <= p.w_out:
        quad_column(&columns[4], p, x + p.c_out)
        quad_column(&columns[8], p, x + 2 * p.c_out)
        quad_sliding(p, 0, 1, 2, columns, w, block, q, out, n)
        quad_column(&columns[4], p, x + 3 * p.c_out)
        quad_column(&columns[0], p, x + 4 * p.c_out)
        quad_sliding(p, 2, 1, 0, columns, w, block, q, out + p.c_out, n)
        x += 4 * p.c_out
        out += 2 * p.c_out
        at += 2
    if at < p.w_out:
        quad_column(&columns[4], p, x + p.c_out)
        quad_column(&columns[8], p, x + 2 * p.c_out)
        quad_sliding(p, 0, 1, 2, columns, w, block, q, out, n)


cdef inline void quad_row(const Depthwise *p, const uint8_t *x, int block, const requant *q, int8_t *out, int n) noexcept nogil:
    """A row of outputs under any number of columns at any stride."""
    cdef x4v column[4]
    cdef i32v acc[4]
    cdef const int8_t *w
    cdef Py_ssize_t to_rest = p.quad_rest - p.quad_weights
    cdef int at, k, v
    for at in range(p.wide_w):
        w = p.quad_weights + <Py_ssize_t>block * p.quads * 16 * LANES
        for v in range(4):
            acc[v] = i32_load(p.bias + (block * 4 + v) * LANES)
        for k in range(p.quads):
            quad_column(column, p, x + k * p.column_step)
            for v in range(4):
                acc[v] = dot4(acc[v], column[v], w_load(w + v * LANES * 4))
            if p.has_rest[block]:
                for v in range(4):
                    acc[v] = dot4(acc[v], column[v], w_load(w + to_rest + v * LANES * 4))
            w += 16 * LANES
        quad_output(p, acc, block, q, out, n if n < 4 * LANES or at + 1 < p.wide_w or p.wide_c == p.c_out else p.w_out * p.c_out - at * p.wide_c)
        x += <Py_ssize_t>p.stride_w * p.wide_c
        out += p.wide_c


cdef inline void quad_rows(const Depthwise *p, const uint8_t *band, Py_ssize_t band_step, int rows, int8_t *out) noexcept nogil:
    cdef int row, block, n
    cdef requant q = requant_of(&p.out)
    for row in range(rows):
        for block in range(p.blocks):
            n = min(4 * LANES, p.wide_c - block * 4 * LANES)
            if p.sliding and p.stride_w == 1:
                quad_row_sliding(p, band + block * 4 * LANES, block, &q, out + block * 4 * LANES, n)
            elif p.sliding:
                quad_row_stride_2(p, band + block * 4 * LANES, block, &q, out + block * 4 * LANES, n)
            else:
                quad_row(p, band + block * 4 * LANES, block, &q, out + block * 4 * LANES, n)
        band += band_step
        out += <Py_ssize_t>p.w_out * p.c_out


cdef fold_narrow(Depthwise *p):
    """Few channels leave most lanes empty. At stride 1 neighbouring pixels are neighbouring bytes, under the same kernel:
    4 * LANES / c of them are taken as one wide pixel whose channels repeat."""
    p.wide_c, p.wide_w = p.c_out, p.w_out
    if p.stride_w == 1 and 4 * LANES % p.c_out == 0:
        p.wide_c = 4 * LANES
        p.wide_w = (p.w_out * p.c_out + p.wide_c - 1) // p.wide_c


cdef bint quads_can_hold(weight):
    """Whether every weight is the sum of two that dot4 takes, as all are but those furthest from an extreme zero point."""
    cdef const int8_t *weights = <const int8_t *><uintptr_t>address_of(weight.data)
    cdef int zero_point = weight.quant.zero_point
    cdef Py_ssize_t i
    for i in range(weight.size if zero_point != 0 else 0):
        if weight_part(weights[i] - zero_point, 2):
            return False
    return True


cdef Layout quad_parameters(Depthwise *p, weight, const int32_t *biases, double[::1] multipliers, int x_zero_point):
    """Weights, biases and multipliers in the order in which quad_rows wants them."""
    cdef const int8_t *weights = <const int8_t *><uintptr_t>address_of(weight.data)
    cdef int block, v, l, k, ky, channel, w, zero_point = weight.quant.zero_point
    cdef int64_t folded, shift = x_zero_point + ACT_FLIP
    cdef Py_ssize_t at
    fold_narrow(p)
    p.sliding = p.quads == 3 and p.stride_w <= 2 and p.column_step == p.c_out and p.wide_c == p.c_out
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
        for v in range(4):
            for l in range(LANES):
                channel = block * 4 * LANES + quad_channel(v, l)
                if channel >= p.wide_c:
                    continue
                channel = channel % p.c_out
                folded = biases[channel] if biases != NULL else 0
                for k in range(p.quads):
                    at = (((<Py_ssize_t>block * p.quads + k) * 4 + v) * LANES + l) * 4
                    for ky in range(p.kernel_rows):
                        w = weights[(ky * p.quads + k) * p.c_out + channel] - zero_point
                        folded -= shift * w
                        p.quad_weights[at + ky] = <int8_t>weight_part(w, 0)
                        if weight_part(w, 1):
                            p.quad_rest[at + ky] = <int8_t>weight_part(w, 1)
                            p.has_rest[block] = 1
                p.bias[(block * 4 + v) * LANES + l] = <int32_t><uint32_t>folded
                p.multiplier[(block * 4 + v) * LANES + l] = <float>multipliers[channel]
    return layout
