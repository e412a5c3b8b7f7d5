# avg_pool2d, max_pool2d and reduce (mean, sum, max, min). Channels, or whatever lies innermost, in lanes.

cdef struct Pool:
    Output out
    int h_in, w_in, c
    int h_out, w_out, n
    int kh, kw
    int stride_h, stride_w
    int pad_top, pad_left
    int32_t zero_in
    double scale_in
    double scale_out


cdef void avg_pixel(const Pool *p, const int8_t *image, int y0, int y1, int x0, int x1, int8_t *out) noexcept nogil:
    """One output pixel from the input window [y0, y1) x [x0, x1)."""
    cdef int c = 0, y, x, count = (y1 - y0) * (x1 - x0)
    cdef i32v acc
    cdef f32v multiplier = f32_set(<float>(p.scale_in / (p.scale_out * count)))
    cdef requant q = requant_of(&p.out)
    while c < p.c:
        acc = i32_set(-p.zero_in * count)
        for y in range(y0, y1):
            for x in range(x0, x1):
                acc = i32_add(acc, i32_from_i8(image + (<Py_ssize_t>y * p.w_in + x) * p.c + c))
        i8_store_one(out + c, min(LANES, p.c - c), f32_mul(f32_from_i32(acc), multiplier), &q)
        c += LANES


cdef void avg_pool_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Pool *p = <const Pool *>params
    cdef int row, y, x, top, left
    cdef const int8_t *image
    cdef int8_t *out
    for row in range(<int>share(p.n * p.h_out, thread, n_threads), <int>share(p.n * p.h_out, thread + 1, n_threads)):
        y = row % p.h_out
        image = <const int8_t *>tensors[0] + <Py_ssize_t>(row // p.h_out) * p.h_in * p.w_in * p.c
        top = y * p.stride_h - p.pad_top
        for x in range(p.w_out):
            left = x * p.stride_w - p.pad_left
            out = <int8_t *>tensors[1] + (<Py_ssize_t>row * p.w_out + x) * p.c
            avg_pixel(p, image, max(top, 0), min(top + p.kh, p.h_in), max(left, 0), min(left + p.kw, p.w_in), out)


cdef inline void max_words(int8_t *out, Py_ssize_t n, const int8_t *x, Py_ssize_t step, int count, i8v least, i8v most) noexcept nogil:
    """out[i] = the largest of the `count` words x[i + k * step], clamped, for i < n."""
    cdef Py_ssize_t i = 0
    cdef int k
    cdef i8v best
    while i < n:
        best = least
        for k in range(count):
            best = i8_max(best, w_load(x + i + k * step))
        best = i8_min(best, most)
        if n - i >= 4 * LANES:
            i8_store4(out + i, best)
        else:
            i8_store_first(out + i, best, 0, <int>(n - i))
        i += 4 * LANES


cdef inline void max_along(const Pool *p, const int8_t *line, int8_t *out, i8v least, i8v most) noexcept nogil:
    """A row of outputs from the largest words of its input columns. At stride 1 whole windows lie side by side."""
    cdef int x = 0, left, run
    while x < p.w_out:
        left = x * p.stride_w - p.pad_left
        run = 1
        if p.stride_w == 1 and left >= 0:
            run = max(1, min(p.w_out - x, p.w_in - p.kw - left + 1))
        max_words(out + <Py_ssize_t>x * p.c, <Py_ssize_t>run * p.c, line + <Py_ssize_t>max(left, 0) * p.c, p.c,
                   min(left + p.kw, p.w_in) - max(left, 0), least, most)
        x += run


cdef void max_pool_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    """Down the columns first, a whole row of the picture at once into scratch, then along that row."""
    cdef const Pool *p = <const Pool *>params
    cdef i8v lowest = i8_set(-128), highest = i8_set(127), least = i8_set(p.out.clamp_min), most = i8_set(p.out.clamp_max)
    cdef Py_ssize_t row_bytes = <Py_ssize_t>p.w_in * p.c
    cdef int row, top, y0, y1
    cdef const int8_t *rows
    for row in range(<int>share(p.n * p.h_out, thread, n_threads), <int>share(p.n * p.h_out, thread + 1, n_threads)):
        top = row % p.h_out * p.stride_h - p.pad_top
        y0, y1 = max(top, 0), min(top + p.kh, p.h_in)
        rows = <const int8_t *>tensors[0] + (<Py_ssize_t>(row // p.h_out) * p.h_in + y0) * row_bytes
        max_words(<int8_t *>scratch, row_bytes, rows, row_bytes, y1 - y0, lowest, highest)
        max_along(p, <const int8_t *>scratch, <int8_t *>tensors[1] + <Py_ssize_t>row * p.w_out * p.c, least, most)


def bind_pool(op, inputs, outputs, attrs):
    x, out = inputs[0], outputs[0]
    if not all_int8((x, out)) or x.data is not None:
        return None
    cdef Layout layout = Layout(sizeof(Pool))
    cdef Pool *p = <Pool *>layout.at()
    p.n, p.h_in, p.w_in, p.c = x.shape
    _, p.h_out, p.w_out, _ = out.shape
    p.kh, p.kw = attrs["kh"], attrs["kw"]
    p.stride_h, p.stride_w = attrs.get("stride_h", 1), attrs.get("stride_w", 1)
    p.pad_top, p.pad_left = attrs.get("pad_top", 0), attrs.get("pad_left", 0)
    p.zero_in = x.quant.zero_point
    p.scale_in, p.scale_out = scale_of(x), scale_of(out)
    set_output(&p.out, out, attrs)
    cdef Py_ssize_t row_bytes = <Py_ssize_t>p.w_in * p.c
    if op == "max_pool2d":
        work = (<Py_ssize_t>p.n * p.h_out * p.kh * row_bytes + out.size * p.kw) * MOVE
        return make_step(op, <uintptr_t>&max_pool_kernel, layout, work, row_bytes + 4 * LANES)
    if 255.0 * p.scale_in / p.scale_out > NARROW_MAX:
        return None
    return make_step(op, <uintptr_t>&avg_pool_kernel, layout, out.size * p.kh * p.kw * MOVE)


cdef enum ReduceOp:
    REDUCE_SUM, REDUCE_MAX, REDUCE_MIN


cdef struct Reduce:
    Output out
    int op
    int32_t zero_in
    float multiplier
    Py_ssize_t outputs
    Py_ssize_t inputs_each        # elements reduced into one output
    int kept                      # kept dimensions, then reduced ones: size and stride in the input
    int reduced
    Py_ssize_t kept_size[MAX_DIMS]
    Py_ssize_t kept_stride[MAX_DIMS]
    Py_ssize_t reduced_size[MAX_DIMS]
    Py_ssize_t reduced_stride[MAX_DIMS]


cdef inline Py_ssize_t strided_offset(Py_ssize_t index, int dims, const Py_ssize_t *size, const Py_ssize_t *stride) noexcept nogil:
    cdef Py_ssize_t offset = 0
    cdef int d
    for d in range(dims - 1, -1, -1):
        offset += index % size[d] * stride[d]
        index //= size[d]
    return offset


cdef void reduce_lanes(const Reduce *p, const int8_t *x, int8_t *out, int n) noexcept nogil:
    """n <= LANES outputs whose inputs lie side by side."""
    cdef Py_ssize_t i, outer, inner = p.reduced_size[p.reduced - 1] if p.reduced else 1
    cdef Py_ssize_t step = p.reduced_stride[p.reduced - 1] if p.reduced else 0
    cdef i32v acc = i32_set(0 if p.op == REDUCE_SUM else -128), zero_point = i32_set(p.out.zero_point), value
    cdef const int8_t *run
    if p.op == REDUCE_MIN:
        acc = i32_set(-127)  # of the negated words, as -(127)
    for outer in range(p.inputs_each // inner):
        run = x + strided_offset(outer, p.reduced - 1, p.reduced_size, p.reduced_stride)
        for i in range(inner):
            value = i32_from_i8(run + i * step)
            if p.op == REDUCE_SUM:
                acc = i32_add(acc, value)
            elif p.op == REDUCE_MAX:
                acc = i32_max(acc, value)
            else:
                acc = i32_max(acc, i32_sub(i32_zero(), value))
    cdef f32v result
    if p.op == REDUCE_SUM:
        acc = i32_sub(acc, i32_set(<int32_t>(p.zero_in * p.inputs_each)))
        result = f32_mul(f32_from_i32(acc), f32_set(p.multiplier))
    elif p.op == REDUCE_MAX:
        result = f32_from_i32(i32_sub(acc, zero_point))
    else:
        result = f32_from_i32(i32_sub(i32_sub(i32_zero(), acc), zero_point))
    cdef requant q = requant_of(&p.out)
    i8_store_one(out, n, result, &q)


cdef void reduce_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Reduce *p = <const Reduce *>params
    cdef const int8_t *x = <const int8_t *>tensors[0]
    cdef int8_t *out = <int8_t *>tensors[1]
    # Side by side are the outputs along the last kept dimension, if it is the innermost of the input as well.
    cdef Py_ssize_t run = p.kept_size[p.kept - 1] if p.kept and p.kept_stride[p.kept - 1] == 1 else 1
    cdef Py_ssize_t i, c
    for i in range(share(p.outputs // run, thread, n_threads), share(p.outputs // run, thread + 1, n_threads)):
        c = 0
        while c < run:
            reduce_lanes(p, x + strided_offset(i * run, p.kept, p.kept_size, p.kept_stride) + c, out + i * run + c,
                         <int>min(<Py_ssize_t>LANES, run - c))
            c += LANES


def bind_reduce(op, inputs, outputs, attrs):
    x, out, function = inputs[0], outputs[0], attrs["function"]
    if not all_int8((x, out)) or x.data is not None or function not in ("mean", "sum", "max", "min"):
        return None
    cdef Layout layout = Layout(sizeof(Reduce))
    cdef Reduce *p = <Reduce *>layout.at()
    p.op = {"max": REDUCE_MAX, "min": REDUCE_MIN}.get(function, REDUCE_SUM)
    p.zero_in = x.quant.zero_point
    p.inputs_each = p.outputs = 1
    stride = product(x.shape)
    for axis, size in enumerate(x.shape):
        stride //= size
        if axis in attrs["axes"]:
            p.reduced_size[p.reduced], p.reduced_stride[p.reduced] = size, stride
            p.reduced += 1
            p.inputs_each *= size
        else:
            p.kept_size[p.kept], p.kept_stride[p.kept] = size, stride
            p.kept += 1
            p.outputs *= size
    p.multiplier = <float>(scale_of(x) / (scale_of(out) * (p.inputs_each if function == "mean" else 1)))
    set_output(&p.out, out, attrs)
    if 255.0 * p.inputs_each * p.multiplier > NARROW_MAX:
        return None
    return make_step(op, <uintptr_t>&reduce_kernel, layout, x.size * MOVE)
