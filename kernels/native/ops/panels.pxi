# Products of many rows of activations, as a prompt has: PANEL_OUTPUTS rows of weights at a time are turned, in scratch,
# into panels whose lanes run along the outputs. Turning is shared by all rows, and then no sum lies spread over lanes and
# has to be added up: a tile's sums stay in registers over the whole depth, as in gemm.pxi.
#
# A panel is [group of 4 weights][LANES][4]; TILE_VECS of them lie behind one another. int4 becomes a byte each, 8 too
# large, and the scales of groups become int32 [group of 32][TILE_VECS][LANES].

cdef enum:
    NIBBLE_ROWS = TILE_ROWS // 2  # a tile in int4 has sums of a group, and sums of groups


cdef void turn_words(const DynamicLinear *p, const int8_t *weights, Py_ssize_t output, int8_t *panel) noexcept nogil:
    """LANES rows from `output` on; those beyond the last repeat it."""
    cdef const int8_t *rows[LANES]
    cdef int8_t rest[LANES * VECTOR_BYTES]
    cdef i8v turned[LANES]
    cdef Py_ssize_t k = 0
    cdef int l
    while k < p.depth:
        for l in range(LANES):
            rows[l] = weights + min(output + l, p.outputs - 1) * p.weight_bytes + k
        if k + VECTOR_BYTES > p.depth:
            memset(rest, 0, sizeof(rest))
            for l in range(LANES):
                memcpy(rest + l * VECTOR_BYTES, rows[l], p.depth - k)
                rows[l] = rest + l * VECTOR_BYTES
        panel_turn(turned, rows)
        for l in range(LANES):
            i8_store4(panel + (k + 4 * l) * LANES, row_flip(turned[l]))
        k += VECTOR_BYTES


cdef void turn_nibbles(const DynamicLinear *p, const int8_t *weights, Py_ssize_t output, int8_t *panel) noexcept nogil:
    """The same in int4: of each group first the low halves of its bytes, then the high ones."""
    cdef const int8_t *rows[2][LANES]
    cdef int8_t bytes[2][LANES * VECTOR_BYTES]
    cdef i8v turned[LANES]
    cdef i8v packed
    cdef Py_ssize_t at = 0
    cdef int l, half
    for l in range(LANES):
        rows[0][l] = bytes[0] + l * VECTOR_BYTES
        rows[1][l] = bytes[1] + l * VECTOR_BYTES
    while at < p.weight_bytes:
        for l in range(LANES):
            packed = nibbles_at(p, weights + min(output + l, p.outputs - 1) * p.weight_bytes, at)
            i8_store4(bytes[0] + l * VECTOR_BYTES, nibbles_low(packed))
            i8_store4(bytes[1] + l * VECTOR_BYTES, nibbles_high(packed))
        for half in range(2):
            panel_turn(turned, rows[half])
            for l in range(LANES):
                i8_store4(panel + (2 * at + l // 4 * GROUP + 16 * half + l % 4 * 4) * LANES, turned[l])
        at += VECTOR_BYTES


cdef inline i8v nibbles_at(const DynamicLinear *p, const int8_t *row, Py_ssize_t at) noexcept nogil:
    if at + VECTOR_BYTES <= p.weight_bytes:
        return w_load(row + at)
    return i8_load_first(row + at, <int>(p.weight_bytes - at))


cdef void turn_scales(const DynamicLinear *p, const int8_t *scales, Py_ssize_t output, int32_t *turned) noexcept nogil:
    cdef Py_ssize_t groups = p.depth // GROUP, group
    cdef const int8_t *row
    cdef int l
    for l in range(PANEL_OUTPUTS):
        row = scales + min(output + l, p.outputs - 1) * groups
        for group in range(groups):
            turned[group * PANEL_OUTPUTS + l] = row[group]


cdef inline void words_tile(const DynamicLinear *p, const int8_t *const *x, const int8_t *panels, const char *ahead, const char *end, i32v *sums) noexcept nogil:
    """sums[r * TILE_VECS + v] of TILE_ROWS rows by all panels. ahead .. end: what to fetch into the cache meanwhile."""
    cdef i32v acc[TILE_ROWS * TILE_VECS]
    cdef i8v w[TILE_VECS]
    cdef Py_ssize_t k = 0, panel_bytes = p.row_bytes * LANES
    cdef int i
    for i in range(TILE_ROWS * TILE_VECS):
        acc[i] = i32_zero()
    while k < p.depth:
        for i in range(TILE_VECS):
            w[i] = w_load(panels + i * panel_bytes + k * LANES)
        for i in range(TILE_ROWS * TILE_VECS):
            acc[i] = dot_panel(acc[i], x4_load(<const uint8_t *>x[i // TILE_VECS] + k), w[i % TILE_VECS])
        prefetch(min(ahead, end))
        ahead += 64
        k += 4
    for i in range(TILE_ROWS * TILE_VECS):
        sums[i] = acc[i]


cdef inline void nibbles_tile(const DynamicLinear *p, const int8_t *const *x, const int32_t *const *starts, const int8_t *panels, const int32_t *scales,
                              const char *ahead, const char *end, i32v *sums) noexcept nogil:
    """The same in int4, of NIBBLE_ROWS rows."""
    cdef i32v total[NIBBLE_ROWS * TILE_VECS]
    cdef i32v acc[NIBBLE_ROWS * TILE_VECS]
    cdef i8v w[TILE_VECS]
    cdef Py_ssize_t group = 0, k, panel_bytes = p.row_bytes * LANES
    cdef int i
    for i in range(NIBBLE_ROWS * TILE_VECS):
        total[i] = i32_zero()
    while group < p.depth // GROUP:
        for i in range(NIBBLE_ROWS * TILE_VECS):
            acc[i] = i32_set(starts[i // TILE_VECS][group])
        k = group * GROUP
        while k < (group + 1) * GROUP:
            for i in range(TILE_VECS):
                w[i] = w_load(panels + i * panel_bytes + k * LANES)
            for i in range(NIBBLE_ROWS * TILE_VECS):
                acc[i] = dot_panel_nibbles(acc[i], x4_load(<const uint8_t *>x[i // TILE_VECS] + k), w[i % TILE_VECS])
            k += 4
        for i in range(NIBBLE_ROWS * TILE_VECS):
            total[i] = i32_add(total[i], i32_mul(acc[i], i32_load(scales + group * PANEL_OUTPUTS + i % TILE_VECS * LANES)))
        prefetch(min(ahead, end))
        ahead += 64
        group += 1
    for i in range(NIBBLE_ROWS * TILE_VECS):
        sums[i] = total[i]


cdef inline void tile_of_rows(int tile, const DynamicLinear *p, const QuantisedRows *q, Py_ssize_t first, Py_ssize_t rows, const char *ahead, const char *end,
                              i32v *sums) noexcept nogil:
    """`tile` rows from `first` on; those beyond the last repeat it. tile: a constant."""
    cdef const int8_t *x[TILE_ROWS]
    cdef const int32_t *starts[TILE_ROWS]
    cdef int i
    for i in range(tile):
        x[i] = q.words + min(first + i, rows - 1) * p.row_bytes
        starts[i] = q.starts + min(first + i, rows - 1) * (p.depth // GROUP)
    if p.steps:
        nibbles_tile(p, x, starts, q.panels, q.group_scales, ahead, end, sums)
    else:
        words_tile(p, x, q.panels, ahead, end, sums)


cdef void panels_block(const DynamicLinear *p, const QuantisedRows *q, char *const *tensors, Py_ssize_t first_row, Py_ssize_t rows, Py_ssize_t output) noexcept nogil:
    """All `rows` quantised rows by PANEL_OUTPUTS outputs."""
    cdef Py_ssize_t count = min(p.outputs - output, <Py_ssize_t>PANEL_OUTPUTS), r = 0, tile = NIBBLE_ROWS if p.steps else TILE_ROWS
    cdef float *out = <float *>tensors[p.out] + first_row * p.outputs + output
    cdef const int8_t *weights = <const int8_t *>tensors[1]
    cdef const char *ahead = <const char *>weights + (output + PANEL_OUTPUTS) * p.weight_bytes
    cdef const char *end = <const char *>weights + min(output + 2 * PANEL_OUTPUTS, p.outputs) * p.weight_bytes - 1
    cdef i32v sums[TILE_ROWS * TILE_VECS]
    cdef int32_t acc[TILE_ROWS * PANEL_OUTPUTS]
    cdef int i
    for i in range(TILE_VECS):
        if p.steps:
            turn_nibbles(p, weights, output + i * LANES, q.panels + i * p.row_bytes * LANES)
        else:
            turn_words(p, weights, output + i * LANES, q.panels + i * p.row_bytes * LANES)
    if p.steps:
        turn_scales(p, <const int8_t *>tensors[p.group_scale], output, q.group_scales)
    while r < rows:
        if p.steps:
            tile_of_rows(NIBBLE_ROWS, p, q, r, rows, ahead, end, sums)
        else:
            tile_of_rows(TILE_ROWS, p, q, r, rows, ahead, end, sums)
        for i in range(tile * TILE_VECS):
            i32_store(acc + i * LANES, sums[i])
        for i in range(min(tile, rows - r)):
            linear_store(p, q, tensors, r + i, output, count, acc + i * PANEL_OUTPUTS, out + (r + i) * p.outputs)
        ahead += 2 * p.depth if p.steps else 16 * p.depth
        r += tile
