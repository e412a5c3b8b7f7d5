# Parameters of the matrix product of gemm.pxi, made at load: panels of weights in the order in which the tiles read them,
# zero points folded into biases, and the rest of weights that have more than eight bits.

cdef enum:
    GEMM_ARRAYS = 5


cdef list gemm_reserve(Gemm *g, Layout layout, int groups, const int8_t *weights, Py_ssize_t *offsets):
    """Reserve the arrays of a Gemm whose sizes are set; gemm_attach points it at them. Returns the rest, see rest_groups."""
    g.segment_groups = (g.segment_bytes + 3) // 4
    if BLOCK_GROUPS > 1 and g.segment_groups % BLOCK_GROUPS == BLOCK_GROUPS - 1:
        g.segment_groups += 1  # what is read beyond the run meets weights of zero
    g.segment_blocks = g.segment_groups // BLOCK_GROUPS if BLOCK_GROUPS > 1 else 0
    g.n_blocks = g.n_segments * g.segment_blocks
    g.n_groups = g.n_segments * (g.segment_groups - g.segment_blocks * BLOCK_GROUPS)
    g.panels = (g.channels + LANES - 1) // LANES
    cdef list rest = rest_groups(g, groups, weights)
    cdef Py_ssize_t panels = <Py_ssize_t>groups * g.panels
    g.n_rest = <int>len(rest)
    g.panel_bytes = (<Py_ssize_t>g.n_segments * g.segment_groups + g.n_rest) * LANES * 4
    offsets[0] = layout.reserve((<Py_ssize_t>g.n_blocks + g.n_groups + g.n_rest) * sizeof(Py_ssize_t))
    offsets[1] = layout.reserve(panels * LANES * 4)
    offsets[2] = layout.reserve(panels * LANES * 4)
    offsets[3] = layout.reserve(panels * g.panel_bytes)
    offsets[4] = layout.reserve((panels + 1) * 4)
    return rest


cdef int gemm_attach(Gemm *g, Layout layout, const Py_ssize_t *offsets) except -1:
    g.offsets = <Py_ssize_t *>layout.at(offsets[0])
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


cdef inline Py_ssize_t weight_place(const Gemm *g, Py_ssize_t s, int lane, Py_ssize_t j, Py_ssize_t row) noexcept nogil:
    """Where weight j of segment s lies in its panel. row: bytes of a group of all panels that lie together."""
    cdef Py_ssize_t group = j // 4 - <Py_ssize_t>g.segment_blocks * BLOCK_GROUPS
    cdef int at = w_index(lane, <int>(j % 4))
    if group >= 0:
        group += g.n_blocks * BLOCK_GROUPS + s * (g.segment_groups - g.segment_blocks * BLOCK_GROUPS)
    else:
        at = block_index(lane, <int>(j % (4 * BLOCK_GROUPS)))
        group = (s * g.segment_blocks + j // (4 * BLOCK_GROUPS)) * BLOCK_GROUPS + at // (LANES * 4)
    return group * row + at % (LANES * 4)


cdef int64_t pack_run(int8_t *panels, const Gemm *g, Py_ssize_t s, int lane, const int8_t *weights, Py_ssize_t row, bint whole) noexcept nogil:
    """A run of one channel; returns the sum of its weights. whole: dot4 takes all of them as they are."""
    cdef Py_ssize_t j = 0
    cdef int64_t total = 0
    cdef bint together = w_index(0, 3) - w_index(0, 0) == 3  # four neighbours stay neighbours: here, and in blocks
    for j in range(g.segment_bytes):
        total += weights[j]
    total -= g.segment_bytes * <int64_t>g.weight_zero_point
    j = 0
    while whole and together and j + 4 <= g.segment_bytes:
        memcpy(panels + weight_place(g, s, lane, j, row), weights + j, 4)
        j += 4
    while j < g.segment_bytes:
        panels[weight_place(g, s, lane, j, row)] = <int8_t>weight_part(weights[j] - g.weight_zero_point, 0)
        j += 1
    return total


cdef int64_t pack_channel(int8_t *panels, const Gemm *g, int channel, const int8_t *weights, list rest, bint *has_rest):
    """Put one output channel into its lane of its panel; returns the sum of its weights, whole ones."""
    cdef Py_ssize_t s, j, panel = channel // LANES, row = panels_together(g, panel) * LANES * 4
    cdef int weight, group, part, lane = channel % LANES
    cdef bint whole = g.weight_zero_point == 0 and not rest
    cdef int64_t total = 0
    panels += panel * LANES * 4 // row * (row // (LANES * 4)) * g.panel_bytes + panel * LANES * 4 % row
    for s in range(g.n_segments):
        total += pack_run(panels, g, s, lane, weights + s * g.segment_bytes, row, whole)
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
    return 0


cdef int gemm_offsets(Gemm *g, Py_ssize_t[::1] segments, list rest) except -1:
    """Where blocks, groups and the rest are read. segments: bytes from a pixel's first to each of its runs."""
    cdef Py_ssize_t s, k, at = 0
    for s in range(g.n_segments):
        for k in range(g.segment_blocks):
            g.offsets[at] = segments[s] + 4 * BLOCK_GROUPS * k
            at += 1
    for s in range(g.n_segments):
        for k in range(g.segment_blocks * BLOCK_GROUPS, g.segment_groups):
            g.offsets[at] = segments[s] + 4 * k
            at += 1
    for s, k, _ in rest:
        g.offsets[at] = segments[s] + 4 * k
        at += 1
    return 0
