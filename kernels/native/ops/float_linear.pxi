# linear on float32, for models that keep float weights: dot products of rows as they are stored, each sum in the 16 parts
# of float_order.py, so every instruction set gives the same bits (the reference leaves the order to its matrix product).

cdef enum:
    FLOAT_ROWS = 4  # rows of activations by one row of weights: as many sums in flight

cdef struct FloatLinear:
    Py_ssize_t rows, depth, outputs
    float clamp_min, clamp_max
    bint clamped
    int bias, out                 # indices of tensors; bias 0: absent


cdef inline void dot_rows_floats(int rows, const float *x, Py_ssize_t stride, const float *w, Py_ssize_t n, float *dots) noexcept nogil:
    """dots[r] = dot_floats of row r of x and w. rows: a constant."""
    cdef f32v part[FLOAT_ROWS * PARTS]
    cdef f32v weights[PARTS]
    cdef float s[16]
    cdef Py_ssize_t i = 0
    cdef int v, r
    for v in range(rows * PARTS):
        part[v] = f32_set(0.0)
    while i + 16 <= n:
        for v in range(PARTS):
            weights[v] = f32_load(w + i + v * LANES)
        for v in range(rows * PARTS):
            part[v] = f32_add(part[v], f32_mul(f32_load(x + v // PARTS * stride + i + v % PARTS * LANES), weights[v % PARTS]))
        i += 16
    for r in range(rows):
        for v in range(PARTS):
            f32_store(s + v * LANES, part[r * PARTS + v])
        for v in range(<int>(n - i)):
            s[v] += x[r * stride + i + v] * w[i + v]
        dots[r] = tree_of(s)


cdef inline float ended(const FloatLinear *p, float value, const float *bias, Py_ssize_t output) noexcept nogil:
    if bias != NULL:
        value += bias[output]
    if p.clamped:  # a NaN stays one
        if value < p.clamp_min:
            value = p.clamp_min
        elif value > p.clamp_max:
            value = p.clamp_max
    return value


cdef void float_linear_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const FloatLinear *p = <const FloatLinear *>params
    cdef const float *x = <const float *>tensors[0]
    cdef const float *bias = <const float *>tensors[p.bias] if p.bias else NULL
    cdef const float *w
    cdef float *out = <float *>tensors[p.out]
    cdef float dots[FLOAT_ROWS]
    cdef Py_ssize_t output, row
    cdef int r
    for output in range(share(p.outputs, thread, n_threads), share(p.outputs, thread + 1, n_threads)):
        w = <const float *>tensors[1] + output * p.depth
        row = 0
        while row + FLOAT_ROWS <= p.rows:
            dot_rows_floats(FLOAT_ROWS, x + row * p.depth, p.depth, w, p.depth, dots)
            for r in range(FLOAT_ROWS):
                out[(row + r) * p.outputs + output] = ended(p, dots[r], bias, output)
            row += FLOAT_ROWS
        while row < p.rows:
            dot_rows_floats(1, x + row * p.depth, p.depth, w, p.depth, dots)
            out[row * p.outputs + output] = ended(p, dots[0], bias, output)
            row += 1


def bind_float_linear(op, inputs, outputs, attrs):
    if any([spec is not None and spec.dtype != "float32" for spec in (*inputs, *outputs)]):
        return None
    cdef Layout layout = Layout(sizeof(FloatLinear))
    cdef FloatLinear *p = <FloatLinear *>layout.at()
    p.depth, p.outputs = inputs[0].shape[-1], inputs[1].shape[0]
    p.rows = inputs[0].size // p.depth
    p.clamped = "clamp_min" in attrs or "clamp_max" in attrs
    p.clamp_min, p.clamp_max = attrs.get("clamp_min", -float("inf")), attrs.get("clamp_max", float("inf"))
    p.bias = 2 if len(inputs) > 2 and inputs[2] is not None else 0
    p.out = len(inputs)
    return make_step(op, <uintptr_t>&float_linear_kernel, layout, p.rows * p.outputs * p.depth)


def bind_any_linear(op, inputs, outputs, attrs):
    return (bind_float_linear if inputs[0].dtype == "float32" else bind_linear)(op, inputs, outputs, attrs)
