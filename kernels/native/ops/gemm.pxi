# The int8 matrix product under conv2d and linear: rows of activations by packed panels of LANES output channels.
#
# A row is an output pixel. What it multiplies lies in `n_segments` runs of consecutive bytes at fixed distances from the
# pixel's first byte (a 3x3 conv: three runs of 3 * c_in), so no im2col copy exists: every group of 4 bytes (and before
# them, where there are such, every block of BLOCK_GROUPS groups) is read at an offset that was computed at load. Weights of
# one panel lie in the order they are read: [group][LANES][4], zero where a run is no multiple of 4. Where one instruction
# loads several vectors, PANELS_TOGETHER neighbours lie as one: [group][panel][LANES][4].
#
# A weight less its zero point may have nine bits, and dot4 takes eight, on some instruction sets from -127 on (WEIGHT_MIN).
# Where that happens, groups of 4 activations are read again at the end, with what was left of the weights they meet: the
# `rest`. It is few of them: an outlier or two in a layer.

cdef struct Gemm:
    int n_segments
    int segment_groups            # groups of 4 bytes in a run
    int segment_bytes
    int segment_blocks            # of BLOCK_GROUPS groups in a run; what is left of it is read by groups
    int channels                  # output channels of one group of the conv
    int panels                    # panels of LANES of them
    int out_stride                # bytes from one output pixel to the next
    int weight_zero_point
    bint clamped                  # beyond what saturating to int8 does
    Output out
    Py_ssize_t panel_bytes
    Py_ssize_t *offsets           # bytes from a pixel to its blocks, then to its groups, then to those of the rest
    int n_blocks, n_groups        # of all segments, without the rest
    int8_t *weights               # [conv groups * panels][panel_bytes]
    int32_t *bias                 # [conv groups * panels][LANES], zero points folded in
    float *multiplier             # the same
    int n_rest
    int32_t *rested               # [conv groups * panels + 1] how many panels before this one have a rest


cdef inline const Py_ssize_t *groups_end(const Gemm *g, Py_ssize_t panel, int vecs) noexcept nogil:
    """Behind the last offset that these panels read at."""
    return g.offsets + g.n_blocks + g.n_groups + (g.n_rest if g.rested[panel] < g.rested[panel + vecs] else 0)


cdef inline void gemm_tile(int rows, int vecs, const Gemm *g, const uint8_t *const *pixels, const requant *q,
                           Py_ssize_t panel, int8_t *out, int last_channels) noexcept nogil:
    """rows x (vecs * LANES) outputs in registers. rows, vecs: constants. last_channels: valid ones of the last panel."""
    cdef i32v acc[20]
    cdef i8v w[8]
    cdef xblock x[8]
    cdef const uint8_t *row[8]
    cdef const int8_t *weights = g.weights + panel * g.panel_bytes
    cdef const int32_t *bias = g.bias + panel * LANES
    cdef const float *multiplier = g.multiplier + panel * LANES
    cdef Py_ssize_t stride = g.out_stride
    cdef const Py_ssize_t *offset = g.offsets
    cdef const Py_ssize_t *blocks_end = offset + g.n_blocks
    cdef const Py_ssize_t *end = groups_end(g, panel, vecs)
    cdef int i
    # One loop over i = r * vecs + v and not two nested ones, and all of it inside the loops of conv_band: GCC unrolls only
    # innermost loops that have two around them early enough to keep these arrays in registers. Loops that run at least
    # once end in a break: a way around them would cost a move in and out of them for every sum.
    for i in range(rows * vecs):
        acc[i] = i32_load(bias + i % vecs * LANES)
    for i in range(rows):
        row[i] = pixels[i]
    if BLOCK_GROUPS > 1:
        while offset < blocks_end:
            for i in range(rows):
                x[i] = block_load(row[i] + offset[0])
            weights = gemm_step(rows, vecs, 0, g, weights, x, acc)
            weights = gemm_step(rows, vecs, 1, g, weights, x, acc)
            weights = gemm_step(rows, vecs, 2, g, weights, x, acc)
            weights = gemm_step(rows, vecs, 3, g, weights, x, acc)
            offset += 1
    while BLOCK_GROUPS == 1 or offset < end:
        for i in range(vecs):
            w[i] = w_load(weights + panel_offset(g, i))
        weights += LANES * 4 * min(vecs, PANELS_TOGETHER)
        for i in range(rows * vecs):
            acc[i] = dot4(acc[i], x4_load(row[i // vecs] + offset[0]), w[i % vecs])
        offset += 1
        if BLOCK_GROUPS == 1 and offset >= end:
            break
    store_tile(rows * vecs, vecs, out, stride, acc, multiplier, q, g.clamped, last_channels)


cdef inline void gemm_half_tile(int vecs, const Gemm *g, const uint8_t *const *pixels, const requant *q,
                                Py_ssize_t panel, int8_t *out, int last_channels) noexcept nogil:
    """TILE_ROWS rows whose last panel has at most HALF_LANES channels. vecs: with that one; a constant, 1 or 2."""
    cdef i32v acc[8]
    cdef i32h half[8]
    cdef i8v w[2]
    cdef x4v x
    cdef const uint8_t *row[8]
    cdef const int8_t *weights = g.weights + panel * g.panel_bytes
    cdef const int8_t *last = weights + (vecs - 1) * g.panel_bytes
    cdef const int32_t *bias = g.bias + panel * LANES
    cdef const float *multiplier = g.multiplier + panel * LANES
    cdef const Py_ssize_t *offset = g.offsets
    cdef const Py_ssize_t *end = groups_end(g, panel, vecs)
    cdef int i
    for i in range(TILE_ROWS):
        acc[i] = i32_load(bias)
        half[i] = i32_load_half(bias + (vecs - 1) * LANES)
        row[i] = pixels[i]
    while True:
        w[0] = w_load(weights)
        w[1] = w_load(last)
        weights += LANES * 4
        last += LANES * 4
        for i in range(TILE_ROWS):
            x = x4_load(row[i] + offset[0]) if vecs == 2 else x4_load_half(row[i] + offset[0])
            if vecs == 2:
                acc[i] = dot4(acc[i], x, w[0])
            half[i] = dot4_half(half[i], x, w[1])
        offset += 1
        if offset >= end:
            break
    if vecs == 2:
        store_tile(TILE_ROWS, 1, out, g.out_stride, acc, multiplier, q, g.clamped, LANES)
        out += LANES
    store_halves(out, g.out_stride, half, f32_twice(f32_load(multiplier + (vecs - 1) * LANES)), q, last_channels)


cdef inline const int8_t *gemm_step(int rows, int vecs, int step, const Gemm *g, const int8_t *weights, xblock *x, i32v *acc) noexcept nogil:
    """A quarter of the products of a block of 16 activations; returns the next step's weights. rows, vecs, step: constants."""
    cdef i8v w[8]
    cdef int i
    for i in range(rows):
        x[i] = block_turn(x[i], step)
    if vecs > 4:  # one row: four vectors are done with before the next four are loaded
        w_load4(w, weights)
        for i in range(4):
            acc[i] = dot_block(acc[i], x[0], w[i], step)
        w_load4(w, weights + panel_offset(g, 4))
        for i in range(4):
            acc[4 + i] = dot_block(acc[4 + i], x[0], w[i], step)
        return weights + LANES * 4 * PANELS_TOGETHER
    if vecs == 4:
        weights = w_load4(w, weights)
    else:
        for i in range(vecs):
            w[i] = w_load(weights + panel_offset(g, i))
        weights += LANES * 4 * vecs
    for i in range(rows * vecs):
        acc[i] = dot_block(acc[i], x[i // vecs], w[i % vecs], step)
    return weights


cdef inline Py_ssize_t panel_offset(const Gemm *g, int i) noexcept nogil:
    """Bytes from the weights of a tile's first panel to those of the i-th after it."""
    return i // PANELS_TOGETHER * PANELS_TOGETHER * g.panel_bytes + i % PANELS_TOGETHER * LANES * 4


cdef inline int panels_together(const Gemm *g, Py_ssize_t panel) noexcept nogil:
    """As many panels as lie together with this one: PANELS_TOGETHER, at the end as many as panels_at_once will take."""
    cdef Py_ssize_t left = g.panels - panel // PANELS_TOGETHER * PANELS_TOGETHER
    if left >= PANELS_TOGETHER:
        return PANELS_TOGETHER
    return 2 if left >= 2 and panel % PANELS_TOGETHER < 2 else 1


cdef inline void gemm_rows(int vecs, int rows, const Gemm *g, const uint8_t *const *pixels, const requant *q,
                           Py_ssize_t panel, int8_t *out, int last_channels) noexcept nogil:
    """The tile for 1 to TILE_ROWS rows; every branch is an instance of its own."""
    if rows == TILE_ROWS:
        gemm_tile(TILE_ROWS, vecs, g, pixels, q, panel, out, last_channels)
    elif rows == 1:
        gemm_tile(1, vecs, g, pixels, q, panel, out, last_channels)
    elif rows == 2:
        gemm_tile(2, vecs, g, pixels, q, panel, out, last_channels)
    elif rows == 3:
        gemm_tile(3, vecs, g, pixels, q, panel, out, last_channels)
    elif TILE_ROWS > 4:
        if rows == 4:
            gemm_tile(4, vecs, g, pixels, q, panel, out, last_channels)
        elif rows == 5:
            gemm_tile(5, vecs, g, pixels, q, panel, out, last_channels)
        elif rows == 6:
            gemm_tile(6, vecs, g, pixels, q, panel, out, last_channels)
        else:
            gemm_tile(7, vecs, g, pixels, q, panel, out, last_channels)


cdef inline void gemm_block(int rows, int vecs, const Gemm *g, const uint8_t *const *pixels, const requant *q,
                            Py_ssize_t panel, int8_t *out, int last_channels) noexcept nogil:
    if HALF_LANES and last_channels <= HALF_LANES and rows == TILE_ROWS:
        if vecs == 2:
            gemm_half_tile(2, g, pixels, q, panel, out, last_channels)
        else:
            gemm_half_tile(1, g, pixels, q, panel, out, last_channels)
    elif vecs == ROW_VECS:
        gemm_tile(1, ROW_VECS, g, pixels, q, panel, out, last_channels)
    elif vecs == TILE_VECS:
        gemm_rows(TILE_VECS, rows, g, pixels, q, panel, out, last_channels)
    elif TILE_VECS > 2 and vecs == 2:
        gemm_rows(2, rows, g, pixels, q, panel, out, last_channels)
    else:
        gemm_rows(1, rows, g, pixels, q, panel, out, last_channels)


cdef inline int panels_at_once(Py_ssize_t left, Py_ssize_t pixels) noexcept nogil:
    """For one pixel (a linear layer of a batch of one) many panels: too few sums in flight would wait for each other."""
    if pixels == 1 and left >= ROW_VECS:
        return ROW_VECS
    if left >= TILE_VECS:
        return TILE_VECS
    return 2 if TILE_VECS > 2 and left >= 2 else 1


cdef inline int tile_rows(Py_ssize_t left) noexcept nogil:
    """Rows of the next tile, so that the last two share what is left: 9 rows are 5 + 4, not 8 + 1."""
    if left > TILE_ROWS and left < 2 * TILE_ROWS:
        return <int>((left + 1) // 2)
    return TILE_ROWS if left > TILE_ROWS else <int>left
