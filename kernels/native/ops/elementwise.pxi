# add, sub, mul, minimum, maximum, squared_difference on int8 with broadcasting, the same on float32 and int32.

cdef enum BinaryOp:
    ADD, SUB, MUL, MINIMUM, MAXIMUM, SQUARED_DIFFERENCE, DIV, FLOOR_DIV

BINARY_OPS = {"add": ADD, "sub": SUB, "mul": MUL, "minimum": MINIMUM, "maximum": MAXIMUM,
              "squared_difference": SQUARED_DIFFERENCE, "div": DIV, "floor_div": FLOOR_DIV}


cdef struct Broadcast:
    # the output seen as rows of `inner` elements; a and b move by 0 or 1 element inside a row
    int dims                            # outer dimensions
    Py_ssize_t size[MAX_DIMS]
    Py_ssize_t stride_a[MAX_DIMS]
    Py_ssize_t stride_b[MAX_DIMS]
    Py_ssize_t rows
    Py_ssize_t inner
    Py_ssize_t inner_a
    Py_ssize_t inner_b


cdef enum:
    SPREAD_BYTES = 2048  # of an operand whose rows are written out side by side
    SHORT_ROW = 64


cdef struct Binary:
    Broadcast shape
    int op
    Output out
    int32_t zero_a
    int32_t zero_b
    float scale_a                       # what float32(a - zero_a) is multiplied by; meaning per op, see binary_scales
    float scale_b
    float scale_out
    float low                           # clamp of float outputs
    float high
    Py_ssize_t together                 # short rows are written out side by side in scratch, this many of them; else 1
    bint repeats_b                      # every row has the same b
    const char *a                       # a constant operand, copied to where vector loads may run past its end; else NULL
    const char *b


cdef set_broadcast(Broadcast *s, a_shape, b_shape, out_shape):
    """Merge neighbouring dimensions that are walked alike; the last merged one is the inner loop."""
    rank = len(out_shape)
    a = (1,) * (rank - len(a_shape)) + tuple(a_shape)
    b = (1,) * (rank - len(b_shape)) + tuple(b_shape)
    merged = []  # [size, a moves, b moves], outermost first
    for size_a, size_b, size in zip(a, b, out_shape):
        if size == 1:
            continue
        moves = [size_a != 1, size_b != 1]
        if merged and merged[-1][1:] == moves:
            merged[-1][0] *= size
        else:
            merged.append([size] + moves)
    if not merged:
        merged = [[1, True, True]]
    s.inner, s.inner_a, s.inner_b = merged[-1]
    s.rows = 1
    s.dims = len(merged) - 1
    step_a, step_b = s.inner if s.inner_a else 1, s.inner if s.inner_b else 1
    for d in range(s.dims - 1, -1, -1):
        size, moves_a, moves_b = merged[d]
        s.size[d] = size
        s.stride_a[d] = step_a if moves_a else 0
        s.stride_b[d] = step_b if moves_b else 0
        step_a *= size if moves_a else 1
        step_b *= size if moves_b else 1
        s.rows *= size


cdef struct Walk:
    # a row of the output, and where its operands begin
    Py_ssize_t a
    Py_ssize_t b
    Py_ssize_t index[MAX_DIMS]


cdef inline Walk walk_from(const Broadcast *s, Py_ssize_t row) noexcept nogil:
    cdef Walk at
    cdef int d
    at.a = at.b = 0
    for d in range(s.dims - 1, -1, -1):
        at.index[d] = row % s.size[d]
        row //= s.size[d]
        at.a += at.index[d] * s.stride_a[d]
        at.b += at.index[d] * s.stride_b[d]
    return at


cdef inline void walk_on(Walk *at, const Broadcast *s) noexcept nogil:
    """To the next row."""
    cdef int d
    for d in range(s.dims - 1, -1, -1):
        at.index[d] += 1
        at.a += s.stride_a[d]
        at.b += s.stride_b[d]
        if at.index[d] < s.size[d]:
            return
        at.index[d] = 0
        at.a -= s.stride_a[d] * s.size[d]
        at.b -= s.stride_b[d] * s.size[d]


cdef struct Factors:
    # in registers: what is stored to `out` might, for all the compiler knows, change what lies in memory
    f32v a
    f32v b
    f32v out


cdef inline f32v combine(int op, const Factors *scale, f32v a, f32v b) noexcept nogil:
    """a, b: words less their zero points. The order of operations is the contract's; nothing may be fused."""
    if op == MUL:
        return f32_mul(f32_mul(a, b), scale.out)
    a = f32_mul(a, scale.a)
    b = f32_mul(b, scale.b)
    if op == ADD:
        return f32_add(a, b)
    if op == SUB:
        return f32_sub(a, b)
    if op == MINIMUM:
        return f32_min(a, b)
    if op == MAXIMUM:
        return f32_max(a, b)
    a = f32_sub(a, b)
    return f32_mul(f32_mul(a, a), scale.out)


cdef inline f32v operand(const int8_t *words, Py_ssize_t i, Py_ssize_t moves, int32_t zero) noexcept nogil:
    if moves:
        return f32_from_i32(i32_sub(i32_from_i8(words + i), i32_set(zero)))
    return f32_set(<float>(words[0] - zero))


cdef inline void operands(f32v *value, const int8_t *words, Py_ssize_t i, Py_ssize_t moves, int32_t zero) noexcept nogil:
    """Four vectors of them."""
    if moves:
        f32_from_words(value, words + i, zero)
    else:
        value[0] = value[1] = value[2] = value[3] = f32_set(<float>(words[0] - zero))


cdef inline void binary_int8_row(int op, const Binary *p, const int8_t *a, Py_ssize_t moves_a, const int8_t *b, Py_ssize_t moves_b,
                                 int8_t *out, Py_ssize_t i, Py_ssize_t last) noexcept nogil:
    """Elements i .. last - 1 of a row."""
    cdef int32_t zero_a = p.zero_a, zero_b = p.zero_b
    cdef requant q = requant_of(&p.out)
    cdef Factors scale
    cdef int k
    cdef f32v v[4]
    cdef f32v w[4]
    scale.a, scale.b, scale.out = f32_set(p.scale_a), f32_set(p.scale_b), f32_set(p.scale_out)
    while i + 4 * LANES <= last:
        operands(v, a, i, moves_a, zero_a)
        operands(w, b, i, moves_b, zero_b)
        for k in range(4):
            v[k] = combine(op, &scale, v[k], w[k])
        i8_store4(out + i, narrow_words(v, &q))
        i += 4 * LANES
    while i < last:
        v[0] = combine(op, &scale, operand(a, i, moves_a, zero_a), operand(b, i, moves_b, zero_b))
        i8_store_one(out + i, <int>min(<Py_ssize_t>LANES, last - i), v[0], &q)
        i += LANES


cdef void binary_int8_rows(const Binary *p, const int8_t *a, Py_ssize_t moves_a, const int8_t *b, Py_ssize_t moves_b,
                           int8_t *out, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    if p.op == ADD and moves_a and moves_b:  # the residual connections: worth an instance of its own
        binary_int8_row(ADD, p, a, 1, b, 1, out, first, last)
    elif p.op == ADD:
        binary_int8_row(ADD, p, a, moves_a, b, moves_b, out, first, last)
    elif p.op == SUB:
        binary_int8_row(SUB, p, a, moves_a, b, moves_b, out, first, last)
    elif p.op == MUL:
        binary_int8_row(MUL, p, a, moves_a, b, moves_b, out, first, last)
    elif p.op == MINIMUM:
        binary_int8_row(MINIMUM, p, a, moves_a, b, moves_b, out, first, last)
    elif p.op == MAXIMUM:
        binary_int8_row(MAXIMUM, p, a, moves_a, b, moves_b, out, first, last)
    else:
        binary_int8_row(SQUARED_DIFFERENCE, p, a, moves_a, b, moves_b, out, first, last)


cdef inline void spread(int8_t *to, const int8_t *x, Py_ssize_t moves, Py_ssize_t n) noexcept nogil:
    """n elements of a row, or its one element n times, in whole vectors: what is written beyond is written again."""
    cdef Py_ssize_t i
    for i in range(0, n, 16):
        if moves:
            memcpy(to + i, x + i, 16)
        else:
            memset(to + i, x[0], 16)


cdef void binary_int8_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Binary *p = <const Binary *>params
    cdef Py_ssize_t row = 0, last_row = p.shape.rows, first = 0, last = p.shape.inner, i, n
    cdef const int8_t *a = <const int8_t *>(p.a if p.a != NULL else tensors[0])
    cdef const int8_t *b = <const int8_t *>(p.b if p.b != NULL else tensors[1])
    cdef int8_t *out = <int8_t *>tensors[2]
    cdef int8_t *spread_a = <int8_t *>scratch
    cdef int8_t *spread_b = spread_a + p.together * last + 16
    cdef bint fresh = True
    cdef Walk at
    if p.shape.rows >= n_threads:
        row, last_row = share(p.shape.rows, thread, n_threads), share(p.shape.rows, thread + 1, n_threads)
    else:
        first, last = share(p.shape.inner, thread, n_threads), share(p.shape.inner, thread + 1, n_threads)
    at = walk_from(&p.shape, row)
    while row < last_row:
        n = min(p.together, last_row - row) if first == 0 and last == p.shape.inner else 1
        if n <= 1:
            binary_int8_rows(p, a + at.a, p.shape.inner_a, b + at.b, p.shape.inner_b, out + row * p.shape.inner, first, last)
            walk_on(&at, &p.shape)
            row += 1
            continue
        for i in range(n):
            spread(spread_a + i * last, a + at.a, p.shape.inner_a, last)
            if fresh or not p.repeats_b:
                spread(spread_b + i * last, b + at.b, p.shape.inner_b, last)
            walk_on(&at, &p.shape)
        fresh = n < p.together
        binary_int8_rows(p, spread_a, 1, spread_b, 1, out + row * last, 0, n * last)
        row += n


cdef inline float float_pair(int op, float a, float b) noexcept nogil:
    if op == ADD:
        return a + b
    if op == SUB:
        return a - b
    if op == MUL:
        return a * b
    if op == DIV:
        return a / b
    if op == MINIMUM:  # a NaN on either side stays one, as in NumPy
        return a if a < b or a != a else b
    if op == MAXIMUM:
        return a if a > b or a != a else b
    return (a - b) * (a - b)


cdef inline int32_t int_pair(int op, int32_t a, int32_t b) noexcept nogil:
    """Sums and products wrap; a division by zero gives 0."""
    if op == ADD:
        return <int32_t>(<uint32_t>a + <uint32_t>b)
    if op == SUB:
        return <int32_t>(<uint32_t>a - <uint32_t>b)
    if op == MUL:
        return <int32_t>(<uint32_t>a * <uint32_t>b)
    if op == MINIMUM:
        return min(a, b)
    if op == MAXIMUM:
        return max(a, b)
    if b == 0:
        return 0
    if b == -1:
        return <int32_t>(0 - <uint32_t>a)
    return int_floor_div(a, b)


cdef inline int32_t int_floor_div(int32_t a, int32_t b) noexcept nogil:
    cdef int32_t quotient = c_divide(a, b)
    return quotient - 1 if c_remainder(a, b) != 0 and (a < 0) != (b < 0) else quotient


cdef extern from * nogil:
    """
    static inline int32_t edgert_divide(int32_t a, int32_t b) { return a / b; }
    static inline int32_t edgert_remainder(int32_t a, int32_t b) { return a % b; }
    """
    int32_t c_divide "edgert_divide"(int32_t a, int32_t b)
    int32_t c_remainder "edgert_remainder"(int32_t a, int32_t b)


cdef inline void float_row(int op, const Binary *p, const float *a, const float *b, float *out) noexcept nogil:
    cdef Py_ssize_t i
    cdef float v
    for i in range(p.shape.inner):
        v = float_pair(op, a[i * p.shape.inner_a], b[i * p.shape.inner_b])
        v = p.low if v < p.low else v
        out[i] = p.high if v > p.high else v


cdef void binary_float_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Binary *p = <const Binary *>params
    cdef Py_ssize_t row
    cdef Walk at = walk_from(&p.shape, share(p.shape.rows, thread, n_threads))
    cdef const float *a
    cdef const float *b
    cdef float *out
    for row in range(share(p.shape.rows, thread, n_threads), share(p.shape.rows, thread + 1, n_threads)):
        a = <const float *>tensors[0] + at.a
        b = <const float *>tensors[1] + at.b
        walk_on(&at, &p.shape)
        out = <float *>tensors[2] + row * p.shape.inner
        if p.op == ADD:
            float_row(ADD, p, a, b, out)
        elif p.op == SUB:
            float_row(SUB, p, a, b, out)
        elif p.op == MUL:
            float_row(MUL, p, a, b, out)
        elif p.op == DIV:
            float_row(DIV, p, a, b, out)
        elif p.op == MINIMUM:
            float_row(MINIMUM, p, a, b, out)
        elif p.op == MAXIMUM:
            float_row(MAXIMUM, p, a, b, out)
        else:
            float_row(SQUARED_DIFFERENCE, p, a, b, out)


cdef void binary_int32_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Binary *p = <const Binary *>params
    cdef Py_ssize_t row, i
    cdef Walk at = walk_from(&p.shape, share(p.shape.rows, thread, n_threads))
    cdef const int32_t *a
    cdef const int32_t *b
    cdef int32_t *out
    for row in range(share(p.shape.rows, thread, n_threads), share(p.shape.rows, thread + 1, n_threads)):
        a = <const int32_t *>tensors[0] + at.a
        b = <const int32_t *>tensors[1] + at.b
        walk_on(&at, &p.shape)
        out = <int32_t *>tensors[2] + row * p.shape.inner
        for i in range(p.shape.inner):
            out[i] = int_pair(p.op, a[i * p.shape.inner_a], b[i * p.shape.inner_b])


cdef double binary_scales(Binary *p, a, b, out) except -1.0:
    """The float32 factors of the number contract, each computed in double and rounded once. Returns the largest result."""
    cdef double sa = scale_of(a), sb = scale_of(b), so = scale_of(out)
    p.zero_a, p.zero_b = a.quant.zero_point, b.quant.zero_point
    if p.op == MUL:
        p.scale_out = <float>(sa * sb / so)
        return 255.0 * 255.0 * sa * sb / so
    if p.op == SQUARED_DIFFERENCE:
        p.scale_a, p.scale_b, p.scale_out = <float>sa, <float>sb, <float>(1.0 / so)
        return (255.0 * (sa + sb)) ** 2 / so
    p.scale_a, p.scale_b = <float>(sa / so), <float>(sb / so)
    return 255.0 * (sa / so + sb / so)


cdef const char *place_constant(spec, Layout layout, Py_ssize_t offset):
    if spec.data is None:
        return NULL
    memcpy(layout.at(offset), <const char *><uintptr_t>address_of(spec.data), spec.nbytes)
    return layout.at(offset)


def bind_binary(op, inputs, outputs, attrs):
    a, b, out = inputs[0], inputs[1], outputs[0]
    cdef bint words = all_int8((a, b, out))
    cdef Layout layout = Layout(sizeof(Binary))
    cdef Py_ssize_t at_a = layout.reserve(a.nbytes if words and a.data is not None else 0)
    cdef Py_ssize_t at_b = layout.reserve(b.nbytes if words and b.data is not None else 0)
    cdef Binary *p = <Binary *>layout.at()
    p.op = BINARY_OPS[op]
    set_broadcast(&p.shape, a.shape, b.shape, out.shape)
    if words and p.op < DIV:
        if binary_scales(p, a, b, out) > NARROW_MAX:
            return None
        set_output(&p.out, out, attrs)
        p.a = place_constant(a, layout, at_a)
        p.b = place_constant(b, layout, at_b)
        p.together = SPREAD_BYTES // p.shape.inner if p.shape.inner < SHORT_ROW else 1
        p.repeats_b = b.size == p.shape.inner and p.shape.inner_b
        return make_step(op, <uintptr_t>&binary_int8_kernel, layout, out.size * MOVE, 2 * (p.together * p.shape.inner + 16))
    if a.dtype == b.dtype == out.dtype == "float32" and p.op != FLOOR_DIV:
        p.low, p.high = attrs.get("clamp_min", float("-inf")), attrs.get("clamp_max", float("inf"))
        return make_step(op, <uintptr_t>&binary_float_kernel, layout, out.size * MOVE)
    clamped = "clamp_min" in attrs or "clamp_max" in attrs
    if a.dtype == b.dtype == out.dtype == "int32" and p.op not in (DIV, SQUARED_DIFFERENCE) and not clamped:
        return make_step(op, <uintptr_t>&binary_int32_kernel, layout, out.size * MOVE)
    return None
