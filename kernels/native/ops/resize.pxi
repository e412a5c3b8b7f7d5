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


cdef inline void bilinear_pixel(const Resize *p, const int8_t *top, const int8_t *bottom, const Line *column, int32_t bottom_weight, int8_t *out) noexcept nogil:
    cdef Py_ssize_t c = 0
    cdef i32v left, right, acc, zero = i32_set(p.zero_in)
    cdef i32v w_right = i32_set(column.weight), w_left = i32_set(2048 - column.weight)
    cdef i32v w_bottom = i32_set(bottom_weight), w_top = i32_set(2048 - bottom_weight)
    cdef f32v multiplier = f32_set(p.multiplier)
    cdef requant q = requant_of(&p.out)
    while c < p.c:
        left = i32_sub(i32_from_i8(top + column.lower + c), zero)
        right = i32_sub(i32_from_i8(top + column.upper + c), zero)
        acc = i32_mul(i32_add(i32_mul(left, w_left), i32_mul(right, w_right)), w_top)
        left = i32_sub(i32_from_i8(bottom + column.lower + c), zero)
        right = i32_sub(i32_from_i8(bottom + column.upper + c), zero)
        acc = i32_add(acc, i32_mul(i32_add(i32_mul(left, w_left), i32_mul(right, w_right)), w_bottom))
        i8_store_one(out + c, <int>min(<Py_ssize_t>LANES, p.c - c), f32_mul(f32_from_i32(acc), multiplier), &q)
        c += LANES


cdef void bilinear_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Resize *p = <const Resize *>params
    cdef Py_ssize_t row, x
    cdef const Line *line
    cdef const int8_t *image
    for row in range(share(p.n * p.h_out, thread, n_threads), share(p.n * p.h_out, thread + 1, n_threads)):
        image = <const int8_t *>tensors[0] + (row // p.h_out) * p.h_in * p.w_in * p.c
        line = &p.rows[row % p.h_out]
        for x in range(p.w_out):
            bilinear_pixel(p, image + line.lower, image + line.upper, &p.columns[x], line.weight, <int8_t *>tensors[1] + (row * p.w_out + x) * p.c)


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
    return make_step(op, <uintptr_t>&bilinear_kernel, layout, out.size * MOVE)
