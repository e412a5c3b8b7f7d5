# resize: nearest neighbour moves words, bilinear weighs four of them with integer weights. Where each output pixel reads
# is computed at load, by the rule that the reference tier uses too.

from edgert.kernels import coordinates

cdef struct Line:
    # one output row or column: offsets of its two input lines in bytes, and the weight of the second in 2048ths
    Py_ssize_t lower
    Py_ssize_t upper
    int32_t weight


cdef struct Resize:
    Output out
    int n, h_in, w_in, h_out, w_out
    Py_ssize_t c                  # bytes of a pixel
    int32_t zero_in
    float multiplier
    Line *rows
    Line *columns


cdef void nearest_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Resize *p = <const Resize *>params
    cdef Py_ssize_t row, x
    cdef const char *line
    for row in range(share(p.n * p.h_out, thread, n_threads), share(p.n * p.h_out, thread + 1, n_threads)):
        line = tensors[0] + (row // p.h_out) * p.h_in * p.w_in * p.c + p.rows[row % p.h_out].lower
        for x in range(p.w_out):
            memcpy(tensors[1] + (row * p.w_out + x) * p.c, line + p.columns[x].lower, p.c)


cdef void weigh_columns(const Resize *p, const int8_t *line, int32_t *to) noexcept nogil:
    """An input row at the output's width: (w_out, c) sums of two pixels by their weights."""
    cdef Py_ssize_t x, c
    cdef const int8_t *left
    cdef const int8_t *right
    cdef i32v w_left, w_right
    for x in range(p.w_out):
        left, right = line + p.columns[x].lower, line + p.columns[x].upper
        w_left, w_right = i32_set(2048 - p.columns[x].weight), i32_set(p.columns[x].weight)
        c = 0
        while c < p.c:  # what is written beyond the pixel is the next one's place
            i32_store(to + c, i32_add(i32_mul(i32_from_i8(left + c), w_left), i32_mul(i32_from_i8(right + c), w_right)))
            c += LANES
        to += p.c


cdef inline f32v weigh_rows(const Resize *p, const int32_t *top, i32v w_top, const int32_t *bottom, i32v w_bottom) noexcept nogil:
    # the weights add up to 2**22, and so many times the zero point is in the sum: |sum| < 2**30
    cdef i32v acc = i32_add(i32_mul(i32_load(top), w_top), i32_mul(i32_load(bottom), w_bottom))
    return f32_mul(f32_from_i32(i32_sub(acc, i32_set(p.zero_in * 4194304))), f32_set(p.multiplier))


cdef void bilinear_row(const Resize *p, const int32_t *top, const int32_t *bottom, int32_t weight, int8_t *out) noexcept nogil:
    cdef Py_ssize_t i = 0, n = p.w_out * p.c
    cdef i32v w_top = i32_set(2048 - weight), w_bottom = i32_set(weight)
    cdef requant q = requant_of(&p.out)
    cdef f32v v[4]
    cdef int k
    while i + 4 * LANES <= n:
        for k in range(4):
            v[k] = weigh_rows(p, top + i + k * LANES, w_top, bottom + i + k * LANES, w_bottom)
        i8_store4(out + i, narrow4(v[0], v[1], v[2], v[3], &q))
        i += 4 * LANES
    while i < n:
        i8_store_one(out + i, <int>min(<Py_ssize_t>LANES, n - i), weigh_rows(p, top + i, w_top, bottom + i, w_bottom), &q)
        i += LANES


cdef void bilinear_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    """Two input rows at the output's width are kept in scratch: the next output row mostly needs the same."""
    cdef const Resize *p = <const Resize *>params
    cdef Py_ssize_t row
    cdef const Line *line
    cdef const int8_t *image
    cdef const int8_t *kept[2]
    cdef int32_t *weighed[2]
    cdef int top, bottom
    kept[0] = kept[1] = NULL
    weighed[0] = <int32_t *>scratch
    weighed[1] = weighed[0] + p.w_out * p.c + LANES
    for row in range(share(p.n * p.h_out, thread, n_threads), share(p.n * p.h_out, thread + 1, n_threads)):
        image = <const int8_t *>tensors[0] + (row // p.h_out) * p.h_in * p.w_in * p.c
        line = &p.rows[row % p.h_out]
        top = 1 if kept[1] == image + line.lower or kept[0] == image + line.upper != image + line.lower else 0
        bottom = top if line.lower == line.upper else 1 - top
        if kept[top] != image + line.lower:
            kept[top] = image + line.lower
            weigh_columns(p, kept[top], weighed[top])
        if kept[bottom] != image + line.upper:
            kept[bottom] = image + line.upper
            weigh_columns(p, kept[bottom], weighed[bottom])
        bilinear_row(p, weighed[top], weighed[bottom], line.weight, <int8_t *>tensors[1] + row * p.w_out * p.c)


cdef set_lines(Line *lines, found, Py_ssize_t stride, bint bilinear):
    for i, source in enumerate(found):
        lower, upper, fraction = source if bilinear else (source, source, 0.0)
        lines[i].lower, lines[i].upper = lower * stride, upper * stride
        lines[i].weight = coordinates.integer_weight(fraction)


def bind_resize(op, inputs, outputs, attrs):
    x, out = inputs[0], outputs[0]
    cdef bint bilinear = attrs["mode"] == "bilinear"
    if (bilinear and (not all_int8((x, out)) or x.data is not None)) or x.dtype != out.dtype:
        return None
    cdef Layout layout = Layout(sizeof(Resize))
    at_rows = layout.reserve(out.shape[1] * sizeof(Line))
    at_columns = layout.reserve(out.shape[2] * sizeof(Line))
    cdef Resize *p = <Resize *>layout.at()
    p.rows, p.columns = <Line *>layout.at(at_rows), <Line *>layout.at(at_columns)
    p.n, p.h_in, p.w_in, c = x.shape
    _, p.h_out, p.w_out, _ = out.shape
    p.c = c * item_bytes(x)
    rule = (bool(attrs.get("align_corners", 0)), bool(attrs.get("half_pixel_centers", 0)))
    find = coordinates.bilinear if bilinear else coordinates.nearest
    set_lines(p.rows, find(p.h_in, p.h_out, *rule), p.w_in * p.c, bilinear)
    set_lines(p.columns, find(p.w_in, p.w_out, *rule), p.c, bilinear)
    if not bilinear:
        return make_step(op, <uintptr_t>&nearest_kernel, layout, out.nbytes)
    p.zero_in = x.quant.zero_point
    p.multiplier = <float>(scale_of(x) / scale_of(out) * 2.0 ** -22)
    set_output(&p.out, out, {})
    if 255.0 * scale_of(x) / scale_of(out) > NARROW_MAX:
        return None
    scratch = 2 * (<Py_ssize_t>p.w_out * p.c + LANES) * sizeof(int32_t)
    return make_step(op, <uintptr_t>&bilinear_kernel, layout, out.size * MOVE, scratch)
