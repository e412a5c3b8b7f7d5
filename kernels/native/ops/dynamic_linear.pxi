# dynamic_linear: rows of activations are quantised, then multiplied by rows of weights as the file holds them. Nothing is
# packed at load, so plans of any number of tokens share the mapped weights; one row streams through them at the speed of
# memory. What many rows do is in panels.pxi.

cdef enum:
    ROWS_QUANTISED = 128          # at a time: what scratch has room for
    PANEL_ROWS = 8                # from as many on, weights are turned into panels
    GROUP = 32                    # int4 weights that share a scale: 16 bytes, four lanes

cdef struct DynamicLinear:
    Py_ssize_t rows, depth, outputs
    Py_ssize_t row_bytes          # of one quantised row
    Py_ssize_t weight_bytes       # of one row of weights
    Py_ssize_t steps              # int4: vectors of packed weights in a row; 0 for int8
    bint panels                   # many rows
    int bias, group_scale, out    # indices of tensors; 0: absent


cdef struct QuantisedRows:
    # words [row][row_bytes]; for single rows in int4 [row][step][low, high][VECTOR_BYTES]. starts, in int4: -8 times the
    # sum of each group's words, as nibbles are stored with 8 added: [row][step][LANES], or [row][group] for panels.
    int8_t *words
    int32_t *starts
    int32_t *sums
    float *scales
    int8_t *row
    int8_t *panels                # see panels.pxi
    int32_t *group_scales


cdef inline Py_ssize_t place_rows(const DynamicLinear *p, char *scratch, QuantisedRows *q) noexcept nogil:
    """Lays the arrays out in scratch; returns their size."""
    cdef Py_ssize_t rows = min(p.rows, <Py_ssize_t>ROWS_QUANTISED), at = 0
    q.words = <int8_t *>scratch
    at += rows * p.row_bytes
    q.starts = <int32_t *>(scratch + at)
    at += rows * p.steps * LANES * 4
    q.sums = <int32_t *>(scratch + at)
    at += round_up(rows * 4, 64)
    q.scales = <float *>(scratch + at)
    at += round_up(rows * 4, 64)
    q.row = <int8_t *>(scratch + at)
    if not p.panels:
        return at + (p.row_bytes if p.steps else 0)
    q.panels = q.row
    at += PANEL_OUTPUTS * p.row_bytes
    q.group_scales = <int32_t *>(scratch + at)
    return at + (PANEL_OUTPUTS * (p.depth // GROUP) * 4 if p.steps else 0)


cdef void quantise_rows(const DynamicLinear *p, const float *x, Py_ssize_t rows, QuantisedRows *q) noexcept nogil:
    cdef bint arranged = p.steps != 0 and not p.panels
    cdef Py_ssize_t r, group, groups = p.depth // GROUP if p.steps else 0
    cdef int8_t *words
    for r in range(rows):
        words = q.row if arranged else q.words + r * p.row_bytes
        q.scales[r] = quantise_row(x + r * p.depth, p.depth, words, p.row_bytes)
        q.sums[r] = sum_of_words(words, p.depth) * ROW_FLIP if ROW_FLIP and not p.steps else 0
        if arranged:
            arrange_groups(p, words, q.words + r * p.row_bytes, q.starts + r * p.steps * LANES)
        elif p.steps:
            for group in range(groups):
                q.starts[r * groups + group] = -8 * sum_of_words(words + group * GROUP, GROUP)


cdef inline void arrange_groups(const DynamicLinear *p, const int8_t *row, int8_t *words, int32_t *starts) noexcept nogil:
    """First and second halves of the groups of a step, side by side as their nibbles are."""
    cdef Py_ssize_t step, at
    cdef int g
    for step in range(p.steps):
        for g in range(GROUPS_AT_ONCE):
            at = (step * GROUPS_AT_ONCE + g) * GROUP
            memcpy(words + step * 2 * VECTOR_BYTES + g * 16, row + at, 16)
            memcpy(words + step * 2 * VECTOR_BYTES + VECTOR_BYTES + g * 16, row + at + 16, 16)
            starts[step * LANES + 4 * g] = -8 * sum_of_words(row + at, GROUP)
            starts[step * LANES + 4 * g + 1] = starts[step * LANES + 4 * g + 2] = starts[step * LANES + 4 * g + 3] = 0


cdef inline i32v nibble_step(const DynamicLinear *p, const QuantisedRows *q, Py_ssize_t row, Py_ssize_t step, i8v packed, i32v scales, i32v acc) noexcept nogil:
    """acc + group scales * (nibbles - 8) * words, of one step."""
    cdef const int8_t *x = q.words + row * p.row_bytes + step * 2 * VECTOR_BYTES
    cdef i32v dot = dot_nibbles(i32_load(q.starts + (row * p.steps + step) * LANES), w_load(x), nibbles_low(packed))
    return i32_hold(i32_add(acc, i32_mul(scales, dot_nibbles(dot, w_load(x + VECTOR_BYTES), nibbles_high(packed)))))


cdef inline void last_groups(const DynamicLinear *p, const int8_t *weights, const int8_t *scales, i8v *packed, i32v *scale) noexcept nogil:
    """What is left of a row behind its whole vectors."""
    cdef Py_ssize_t step = p.steps - 1, groups = p.depth // GROUP - step * GROUPS_AT_ONCE
    cdef uint32_t rest = 0
    if step > 0:  # a copy of a constant size: the last whole vector of scales, and off it what was used before
        memcpy(&rest, scales + p.depth // GROUP - GROUPS_AT_ONCE, GROUPS_AT_ONCE)
        rest >>= 8 * (GROUPS_AT_ONCE - groups)
    else:
        memcpy(&rest, scales, groups)
    packed[0] = i8_load_first(weights + step * VECTOR_BYTES, <int>(groups * 16))
    scale[0] = group_scales(<const int8_t *>&rest)


cdef inline i32v nibbles_dot(const DynamicLinear *p, const QuantisedRows *q, Py_ssize_t row, const int8_t *weights, const int8_t *scales) noexcept nogil:
    """As row_dot, in int4."""
    cdef i32v acc[2]
    cdef i32v total, scale
    cdef i8v packed
    cdef Py_ssize_t step = 0, whole = p.weight_bytes // VECTOR_BYTES
    acc[0] = acc[1] = i32_zero()
    while step + 2 <= whole:
        acc[0] = nibble_step(p, q, row, step, w_load(weights + step * VECTOR_BYTES), group_scales(scales + step * GROUPS_AT_ONCE), acc[0])
        step += 1
        acc[1] = nibble_step(p, q, row, step, w_load(weights + step * VECTOR_BYTES), group_scales(scales + step * GROUPS_AT_ONCE), acc[1])
        step += 1
    total = i32_add(acc[0], acc[1])
    if step < whole:
        total = nibble_step(p, q, row, step, w_load(weights + step * VECTOR_BYTES), group_scales(scales + step * GROUPS_AT_ONCE), total)
        step += 1
    if step < p.steps:
        last_groups(p, weights, scales, &packed, &scale)
        total = nibble_step(p, q, row, step, packed, scale, total)
    return total


cdef inline void linear_row(const DynamicLinear *p, const QuantisedRows *q, char *const *tensors, Py_ssize_t row, Py_ssize_t output,
                            Py_ssize_t last, int32_t *acc) noexcept nogil:
    """One row by BLOCK_WEIGHTS outputs, where those beyond `last` repeat it."""
    cdef i32v sums[BLOCK_WEIGHTS]
    cdef const int8_t *weights = <const int8_t *>tensors[1]
    cdef const int8_t *scales = <const int8_t *>tensors[p.group_scale]
    cdef const int8_t *x = q.words + row * p.row_bytes
    cdef Py_ssize_t c, at
    for c in range(BLOCK_WEIGHTS):
        at = min(output + c, last)
        if p.steps:
            sums[c] = nibbles_dot(p, q, row, weights + at * p.weight_bytes, scales + at * (p.depth // GROUP))
        else:
            sums[c] = row_dot(x, weights + at * p.weight_bytes, p.depth)
    c = 0
    while c < BLOCK_WEIGHTS:
        i32_store(acc + c, i32_sums(&sums[c]))
        c += LANES


cdef inline void linear_store(const DynamicLinear *p, const QuantisedRows *q, char *const *tensors, Py_ssize_t row, Py_ssize_t output,
                              Py_ssize_t count, const int32_t *acc, float *out) noexcept nogil:
    """float32(acc) * (row scale * scale) + bias of `count` outputs of one row; out: where the first of them goes."""
    cdef const float *scale = <const float *>tensors[2] + output
    cdef const float *bias = <const float *>tensors[p.bias] + output if p.bias and tensors[p.bias] != NULL else NULL
    cdef float row_scale = q.scales[row], value
    cdef f32v v
    cdef Py_ssize_t c = 0
    while c + LANES <= count:
        v = f32_mul(f32_from_i32(i32_sub(i32_load(acc + c), i32_set(q.sums[row]))), f32_mul(f32_set(row_scale), f32_load(scale + c)))
        f32_store(out + c, f32_add(v, f32_load(bias + c)) if bias != NULL else v)
        c += LANES
    while c < count:
        value = <float>(acc[c] - q.sums[row]) * (row_scale * scale[c])
        out[c] = value + bias[c] if bias != NULL else value
        c += 1


cdef void linear_block(const DynamicLinear *p, const QuantisedRows *q, char *const *tensors, Py_ssize_t first_row, Py_ssize_t rows,
                       Py_ssize_t output) noexcept nogil:
    """Row after row by BLOCK_WEIGHTS outputs: these weights stay in the nearest cache meanwhile."""
    cdef Py_ssize_t count = min(p.outputs - output, <Py_ssize_t>BLOCK_WEIGHTS), r
    cdef float *out = <float *>tensors[p.out] + first_row * p.outputs + output
    cdef int32_t acc[BLOCK_WEIGHTS]
    for r in range(rows):
        linear_row(p, q, tensors, r, output, p.outputs - 1, acc)
        linear_store(p, q, tensors, r, output, count, acc, out + r * p.outputs)


cdef void dynamic_linear_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const DynamicLinear *p = <const DynamicLinear *>params
    cdef QuantisedRows q
    cdef Py_ssize_t first = 0, rows, block, size = PANEL_OUTPUTS if p.panels else BLOCK_WEIGHTS
    cdef Py_ssize_t blocks = (p.outputs + size - 1) // size
    place_rows(p, scratch, &q)
    while first < p.rows:
        rows = min(p.rows - first, <Py_ssize_t>ROWS_QUANTISED)
        quantise_rows(p, <const float *>tensors[0] + first * p.depth, rows, &q)
        for block in range(share(blocks, thread, n_threads), share(blocks, thread + 1, n_threads)):
            if p.panels:
                panels_block(p, &q, tensors, first, rows, block * PANEL_OUTPUTS)
            else:
                linear_block(p, &q, tensors, first, rows, block * BLOCK_WEIGHTS)
        first += rows


def bind_dynamic_linear(op, inputs, outputs, attrs):
    x, weight = inputs[0], inputs[1]
    if x.data is not None:
        return None
    cdef QuantisedRows q
    cdef Layout layout = Layout(sizeof(DynamicLinear))
    cdef DynamicLinear *p = <DynamicLinear *>layout.at()
    cdef bint int4 = len(inputs) > 4 and inputs[4] is not None
    p.depth = x.shape[-1]
    p.rows = x.size // p.depth
    p.outputs, p.weight_bytes = weight.shape
    p.steps = (p.depth // GROUP + GROUPS_AT_ONCE - 1) // GROUPS_AT_ONCE if int4 else 0
    p.row_bytes = 2 * p.steps * VECTOR_BYTES if int4 else round_up(p.depth, VECTOR_BYTES)
    p.panels = p.rows >= PANEL_ROWS
    p.bias = 3 if len(inputs) > 3 and inputs[3] is not None else 0
    p.group_scale = 4 if int4 else 0
    p.out = len(inputs)
    scratch_bytes = place_rows(p, NULL, &q)
    return make_step(op, <uintptr_t>&dynamic_linear_kernel, layout, p.rows * p.outputs * p.depth, scratch_bytes)
