# The int8 matrix product under conv2d and linear: rows of activations by packed panels of LANES output channels.
#
# A row is an output pixel. What it multiplies lies in `n_segments` runs of consecutive bytes at fixed distances from the
# pixel's first byte (a 3x3 conv: three runs of 3 * c_in), so no im2col copy exists. Weights of one panel lie in the order
# they are read: [segment][group of 4 bytes][LANES][4], zero where a run is no multiple of 4. Where one instruction loads
# several vectors, PANELS_TOGETHER neighbours lie as one: [segment][group of 4 bytes][panel][LANES][4].
#
# A weight less its zero point may have nine bits, and dot4 takes eight, on some instruction sets from -127 on (WEIGHT_MIN).
# Where that happens, groups of 4 activations are read again at the end, as runs of their own, with what was left of the
# weights they meet: the `rest`. It is few of them: an outlier or two in a layer.

cdef struct Gemm:
    int n_segments
    int segment_groups            # groups of 4 bytes in a run
    int segment_bytes
    int blocked_bytes             # of a run, those that are read in blocks of BLOCK_GROUPS groups
    int channels                  # output channels of one group of the conv
    int panels                    # panels of LANES of them
    int out_stride                # bytes from one output pixel to the next
    int weight_zero_point
    Output out
    Py_ssize_t panel_bytes
    Py_ssize_t *segment_offset
    int8_t *weights               # [conv groups * panels][panel_bytes]
    int32_t *bias                 # [conv groups * panels][LANES], zero points folded in
    float *multiplier             # the same
    int n_runs                    # segments, then runs of one group for the rest
    int32_t *rested               # [conv groups * panels + 1] how many panels before this one have a rest


cdef inline int runs_of(const Gemm *g, Py_ssize_t panel, int vecs) noexcept nogil:
    return g.n_runs if g.rested[panel] < g.rested[panel + vecs] else g.n_segments


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
    cdef Py_ssize_t k, stride = g.out_stride, run_bytes = 4 * g.segment_groups, blocked_bytes = g.blocked_bytes
    cdef bint has_tail = blocked_bytes < run_bytes
    cdef int i, s, n_runs = runs_of(g, panel, vecs)
    # One loop over i = r * vecs + v and not two nested ones, and all of it inside the loops of conv_band: GCC unrolls only
    # innermost loops that have two around them early enough to keep these arrays in registers. Loops that run at least
    # once end in a break: a way around them would cost a move in and out of them for every sum.
    for i in range(rows * vecs):
        acc[i] = i32_load(bias + i % vecs * LANES)
    s = 0
    while True:
        for i in range(rows):
            row[i] = pixels[i] + g.segment_offset[s]
        k = 0
        if BLOCK_GROUPS > 1:
            while k < blocked_bytes:
                for i in range(rows):
                    x[i] = block_load(row[i] + k)
                weights = gemm_step(rows, vecs, 0, g, weights, x, acc)
                weights = gemm_step(rows, vecs, 1, g, weights, x, acc)
                weights = gemm_step(rows, vecs, 2, g, weights, x, acc)
                weights = gemm_step(rows, vecs, 3, g, weights, x, acc)
                k += 4 * BLOCK_GROUPS
        while BLOCK_GROUPS == 1 or has_tail:
            for i in range(vecs):
                w[i] = w_load(weights + panel_offset(g, i))
            weights += LANES * 4 * min(vecs, PANELS_TOGETHER)
            for i in range(rows * vecs):
                acc[i] = dot4(acc[i], x4_load(row[i // vecs] + k), w[i % vecs])
            k += 4
            if k >= run_bytes:
                break
        s += 1
        if s >= g.n_segments:
            if s >= n_runs:
                break
            run_bytes = 4
            blocked_bytes = 0
            has_tail = True
    store_tile(rows * vecs, vecs, out, stride, acc, multiplier, q, last_channels)


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
    cdef Py_ssize_t k, run_bytes = 4 * g.segment_groups
    cdef int i, s, n_runs = runs_of(g, panel, vecs)
    for i in range(TILE_ROWS):
        acc[i] = i32_load(bias)
        half[i] = i32_load_half(bias + (vecs - 1) * LANES)
    s = 0
    while True:
        for i in range(TILE_ROWS):
            row[i] = pixels[i] + g.segment_offset[s]
        k = 0
        while True:
            w[0] = w_load(weights)
            w[1] = w_load(last)
            weights += LANES * 4
            last += LANES * 4
            for i in range(TILE_ROWS):
                x = x4_load(row[i] + k) if vecs == 2 else x4_load_half(row[i] + k)
                if vecs == 2:
                    acc[i] = dot4(acc[i], x, w[0])
                half[i] = dot4_half(half[i], x, w[1])
            k += 4
            if k >= run_bytes:
                break
        s += 1
        if s >= g.n_segments:
            if s >= n_runs:
                break
            run_bytes = 4
    if vecs == 2:
        store_tile(TILE_ROWS, 1, out, g.out_stride, acc, multiplier, q, LANES)
        out += LANES
    store_halves(out, g.out_stride, half, f32_twice(f32_load(multiplier + (vecs - 1) * LANES)), q, last_channels)


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


cdef inline void store_tile(int count, int vecs, int8_t *out, Py_ssize_t stride, const i32v *acc, const float *multiplier, const requant *q,
                            int last_channels) noexcept nogil:
    """Scale and narrow `count` vectors, four together, and store them. count, vecs: constants."""
    cdef i8v words[5]
    cdef int i
    for i in range((count + 3) // 4):  # what is beyond count is narrowed as a copy of the last, and not stored
        words[i] = narrow4(scaled(acc, 4 * i, count, vecs, multiplier), scaled(acc, 4 * i + 1, count, vecs, multiplier),
                           scaled(acc, 4 * i + 2, count, vecs, multiplier), scaled(acc, 4 * i + 3, count, vecs, multiplier), q)
    if last_channels < LANES:
        for i in range((count + 3) // 4):
            store_quad(i, count, vecs, out, stride, words[i], last_channels)
    else:
        for i in range((count + 3) // 4):
            store_quad(i, count, vecs, out, stride, words[i], LANES)


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


cdef enum:
    GEMM_ARRAYS = 5


cdef list gemm_reserve(Gemm *g, Layout layout, int groups, const int8_t *weights, Py_ssize_t *offsets):
    """Reserve the arrays of a Gemm whose sizes are set; gemm_attach points it at them. Returns the rest, see rest_groups."""
    g.segment_groups = (g.segment_bytes + 3) // 4
    if BLOCK_GROUPS > 1 and g.segment_groups % BLOCK_GROUPS == BLOCK_GROUPS - 1:
        g.segment_groups += 1  # what is read beyond the run meets weights of zero
    g.blocked_bytes = g.segment_groups // BLOCK_GROUPS * BLOCK_GROUPS * 4 if BLOCK_GROUPS > 1 else 0
    g.panels = (g.channels + LANES - 1) // LANES
    cdef list rest = rest_groups(g, groups, weights)
    cdef Py_ssize_t panels = <Py_ssize_t>groups * g.panels
    g.n_runs = g.n_segments + <int>len(rest)
    g.panel_bytes = (<Py_ssize_t>g.n_segments * g.segment_groups + len(rest)) * LANES * 4
    offsets[0] = layout.reserve(g.n_runs * sizeof(Py_ssize_t))
    offsets[1] = layout.reserve(panels * LANES * 4)
    offsets[2] = layout.reserve(panels * LANES * 4)
    offsets[3] = layout.reserve(panels * g.panel_bytes)
    offsets[4] = layout.reserve((panels + 1) * 4)
    return rest


cdef int gemm_attach(Gemm *g, Layout layout, const Py_ssize_t *offsets) except -1:
    g.segment_offset = <Py_ssize_t *>layout.at(offsets[0])
    g.bias = <int32_t *>layout.at(offsets[1])
    g.multiplier = <float *>layout.at(offsets[2])
    g.weights = <int8_t *>layout.at(offsets[3])
    g.rested = <int32_t *>layout.at(offsets[4])
    return 0


cdef inline int weight_part(int weight, int part) noexcept nogil:
    """What dot4 can take of a weight; part 1, 2 ...: of what was left of it."""
    while part > 0:
        weight -= max(WEIGHT_MIN, min(127, weight))
        part -= 1
    return max(WEIGHT_MIN, min(127, weight))


cdef list rest_groups(const Gemm *g, int groups, const int8_t *weights):
    """(segment, group of 4 in it, part) wherever a weight has parts beyond part 0."""
    cdef Py_ssize_t channel, j, depth = <Py_ssize_t>g.n_segments * g.segment_bytes
    cdef int part, least = WEIGHT_MIN + g.weight_zero_point, most = 127 + g.weight_zero_point
    cdef set found = set()
    if least <= -128 and most >= 127:
        return []
    for channel in range(<Py_ssize_t>groups * g.channels):
        for j in range(depth):
            if least <= weights[channel * depth + j] <= most:
                continue
            part = 1
            while weight_part(weights[channel * depth + j] - g.weight_zero_point, part):
                found.add((j // g.segment_bytes, j % g.segment_bytes // 4, part))
                part += 1
    return sorted(found)


cdef int64_t pack_channel(int8_t *panels, const Gemm *g, int channel, const int8_t *weights, list rest, bint *has_rest):
    """Put one output channel into its lane of its panel; returns the sum of its weights, whole ones."""
    cdef Py_ssize_t s, j, panel = channel // LANES, row = panels_together(g, panel) * LANES * 4
    cdef int weight, lane = channel % LANES
    cdef int group, at, part
    cdef int64_t total = 0
    panels += panel * LANES * 4 // row * (row // (LANES * 4)) * g.panel_bytes + panel * LANES * 4 % row
    for s in range(g.n_segments):
        for j in range(g.segment_bytes):
            weight = weights[s * g.segment_bytes + j] - g.weight_zero_point
            group, at = <int>(j // 4), w_index(lane, j % 4)
            if j < g.blocked_bytes:
                at = block_index(lane, j % (4 * BLOCK_GROUPS))
                group = <int>(j // (4 * BLOCK_GROUPS)) * BLOCK_GROUPS + at // (LANES * 4)
            panels[(s * g.segment_groups + group) * row + at % (LANES * 4)] = <int8_t>weight_part(weight, 0)
            total += weight
    panels += g.n_segments * g.segment_groups * row
    for s, group, part in rest:
        for j in range(4 * group, min(4 * group + 4, g.segment_bytes)):
            weight = weight_part(weights[s * g.segment_bytes + j] - g.weight_zero_point, part)
            panels[w_index(lane, j % 4)] = <int8_t>weight
            if weight:
                has_rest[0] = True
        panels += row
    return total


cdef int gemm_pack(Gemm *g, int groups, const int8_t *weights, const int32_t *bias, double[::1] multipliers, int x_zero_point, list rest) except -1:
    """Pack weights (groups * channels, n_segments * segment_bytes) and fold what does not depend on the activations.

    The kernel sums X * W with X = x + ACT_FLIP as stored and W = w - zw; wanted is the sum of (x - zx) * W.
    """
    cdef Py_ssize_t depth = <Py_ssize_t>g.n_segments * g.segment_bytes, lane, panel
    cdef int64_t folded
    cdef int channel, s
    cdef bint has_rest
    for channel in range(groups * g.channels):
        has_rest = False
        lane = <Py_ssize_t>(channel // g.channels) * g.panels * LANES + channel % g.channels
        folded = pack_channel(g.weights + <Py_ssize_t>(channel // g.channels) * g.panels * g.panel_bytes, g, channel % g.channels,
                              weights + channel * depth, rest, &has_rest)
        folded = -folded * (x_zero_point + ACT_FLIP) + (bias[channel] if bias != NULL else 0)
        g.bias[lane] = <int32_t><uint32_t>folded  # modulo 2**32: the finished sum fits, validate() proved it
        g.multiplier[lane] = <float>multipliers[channel]
        if has_rest:
            g.rested[lane // LANES + 1] = 1
    for panel in range(<Py_ssize_t>groups * g.panels):
        g.rested[panel + 1] += g.rested[panel]
    for s in range(g.n_segments, g.n_runs):
        g.segment_offset[s] = g.segment_offset[rest[s - g.n_segments][0]] + 4 * rest[s - g.n_segments][1]
    return 0
