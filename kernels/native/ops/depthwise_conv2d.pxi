# depthwise_conv2d: channels in lanes, taps two at a time. Like conv2d it works on bands of rows that are copied once with
# their padding, or on the tensor itself where there is none. A channel multiplier is copied out into the band.
# depthwise_quads.pxi has the faster way for kernels of up to six rows where the CPU has a dot product.

cdef struct Depthwise:
    Output out
    int h_in, w_in, c_in
    int h_out, w_out, c_out
    int multiplier_c              # output channels per input channel
    int stride_h, stride_w
    int pad_top, pad_left
    int span_h, row_width
    int in_place
    int band_rows, out_rows
    int fill
    int pairs                     # pairs of taps
    int blocks                    # of DW_CHANNELS channels
    int out_index
    int quads                     # columns of three rows each of a kernel that goes through dot4, else 0
    int sliding                   # columns next to each other, outputs that many of them apart: 1 or 2, else 0
    int kernel_rows, kernel_columns
    Py_ssize_t row_step           # bytes between two rows under the kernel, and two columns
    Py_ssize_t column_step
    Py_ssize_t second_row, third_row, lower_rows  # lower_rows: to the second three of a kernel of more, else 0
    int wide_w, wide_c, last_c    # an output row as the quads see it, and channels of its last pixel: see fold_narrow
    int8_t *quad_weights          # [blocks][quads][4][LANES * 4]: the upper three rows' columns, then the lower three's
    int8_t *quad_rest             # the same of what was left of weights that have more than eight bits
    uint8_t *has_rest             # [blocks]
    Py_ssize_t *offset            # [2 * pairs] bytes from a pixel to a tap
    dw_weight *weights            # [blocks][pairs][2 * DW_CHANNELS], zero point taken off
    int32_t *bias                 # [blocks][DW_VECS][LANES], in the order of dw_channel
    float *multiplier             # the same


cdef void dw_copy_row(int8_t *to, const int8_t *row, const Depthwise *p) noexcept nogil:
    """One padded input row with every channel repeated multiplier_c times. row: NULL for a row of padding."""
    cdef Py_ssize_t c = p.c_out, i, m, count
    cdef int8_t flip = <int8_t>ACT_FLIP if p.quads else 0
    cdef Py_ssize_t left = min(p.pad_left, p.row_width) if row != NULL else p.row_width
    memset(to, p.fill, left * c)
    if row == NULL:
        return
    count = max(0, min(p.w_in, p.row_width - p.pad_left))  # a stride can jump over the whole picture
    to += left * c
    if p.multiplier_c > 1:
        for i in range(count * p.c_in):
            for m in range(p.multiplier_c):
                to[i * p.multiplier_c + m] = row[i] ^ flip
    elif flip:
        for i in range(count * c):
            to[i] = row[i] ^ flip
    else:
        memcpy(to, row, count * c)
    if p.row_width > p.pad_left + p.w_in:
        memset(to + count * c, p.fill, (p.row_width - p.pad_left - p.w_in) * c)


cdef inline void dw_pixels(int n, const Depthwise *p, const int8_t *x, Py_ssize_t step, int block, int8_t *out) noexcept nogil:
    """n neighbouring outputs of one channel block, so that each weight is loaded once for all. n: a constant."""
    cdef i32v acc[4 * 4]
    cdef const dw_weight *w = p.weights + <Py_ssize_t>block * p.pairs * 2 * DW_CHANNELS
    cdef requant q = requant_of(&p.out)
    cdef int t, v, i, channels = min(DW_CHANNELS, p.c_out - block * DW_CHANNELS)
    for i in range(n * DW_VECS):
        acc[i] = i32_load(p.bias + (block * DW_VECS + i % DW_VECS) * LANES)
    for t in range(p.pairs):
        for i in range(n):
            dw_pair(&acc[i * DW_VECS], x + i * step + p.offset[2 * t], x + i * step + p.offset[2 * t + 1], w)
        w += 2 * DW_CHANNELS
    for i in range(n):
        dw_store(out + i * p.c_out, channels, &acc[i * DW_VECS], p.multiplier + block * DW_CHANNELS, &q)


cdef void dw_row(const Depthwise *p, const int8_t *row, int8_t *out) noexcept nogil:
    cdef int block, x
    cdef Py_ssize_t step = <Py_ssize_t>p.stride_w * p.c_out
    for block in range(p.blocks):
        x = 0
        while x + 4 <= p.w_out:
            dw_pixels(4, p, row + x * step + block * DW_CHANNELS, step, block, out + <Py_ssize_t>x * p.c_out + block * DW_CHANNELS)
            x += 4
        while x < p.w_out:
            dw_pixels(1, p, row + x * step + block * DW_CHANNELS, step, block, out + <Py_ssize_t>x * p.c_out + block * DW_CHANNELS)
            x += 1


cdef void depthwise_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Depthwise *p = <const Depthwise *>params
    cdef const int8_t *image
    cdef const int8_t *band
    cdef int8_t *out = <int8_t *>tensors[p.out_index]
    cdef Py_ssize_t row_bytes = <Py_ssize_t>(p.w_in if p.in_place else p.row_width) * p.c_out
    cdef int row = <int>share(p.out_rows, thread, n_threads), last_row = <int>share(p.out_rows, thread + 1, n_threads)
    cdef int rows, y, i, source
    while row < last_row:
        y = row % p.h_out
        rows = min(min(p.band_rows, last_row - row), p.h_out - y)
        image = <const int8_t *>tensors[0] + <Py_ssize_t>(row // p.h_out) * p.h_in * p.w_in * p.c_in
        band = image + y * p.stride_h * row_bytes
        if not p.in_place:
            for i in range((rows - 1) * p.stride_h + p.span_h):
                source = y * p.stride_h - p.pad_top + i
                dw_copy_row(<int8_t *>scratch + i * row_bytes,
                            image + <Py_ssize_t>source * p.w_in * p.c_in if 0 <= source < p.h_in else NULL, p)
            band = <const int8_t *>scratch
        if p.quads:
            quad_rows(p, <const uint8_t *>band, p.stride_h * row_bytes, rows, out + <Py_ssize_t>row * p.w_out * p.c_out)
        else:
            for i in range(rows):
                dw_row(p, band + i * p.stride_h * row_bytes, out + <Py_ssize_t>(row + i) * p.w_out * p.c_out)
        row += rows


cdef dw_pack(Depthwise *p, list taps, const int8_t *weights, int zero_point, const int32_t *bias, double[::1] multipliers, int x_zero_point):
    """taps: (index of the tap's weights, part) in the order of p.offset; part k is what the k before it left over."""
    cdef int block, v, l, channel, t, tap, part, w
    cdef int64_t folded
    for block in range(p.blocks):
        for v in range(DW_VECS):
            for l in range(LANES):
                channel = block * DW_CHANNELS + dw_channel(v, l)
                if channel >= p.c_out:
                    continue
                folded = bias[channel] if bias != NULL else 0
                for t, (tap, part) in enumerate(taps):
                    w = weights[tap * p.c_out + channel] - zero_point
                    w -= max(-part * DW_WEIGHT_MAX, min(part * DW_WEIGHT_MAX, w))
                    w = max(-DW_WEIGHT_MAX, min(DW_WEIGHT_MAX, w))
                    p.weights[(<Py_ssize_t>block * p.pairs + t // 2) * 2 * DW_CHANNELS + dw_w_index(v, l, t % 2)] = <dw_weight>w
                    folded -= <int64_t>x_zero_point * w
                p.bias[(block * DW_VECS + v) * LANES + l] = <int32_t><uint32_t>folded
                p.multiplier[(block * DW_VECS + v) * LANES + l] = <float>multipliers[channel]


cdef int dw_parts(const int8_t *weights, Py_ssize_t count, int zero_point) noexcept nogil:
    """Among how many taps the largest weight is shared out, at DW_WEIGHT_MAX each."""
    cdef Py_ssize_t i
    cdef int largest = 1
    for i in range(count):
        largest = max(largest, abs(weights[i] - zero_point))
    return (largest + DW_WEIGHT_MAX - 1) // DW_WEIGHT_MAX


def bind_depthwise_conv2d(op, inputs, outputs, attrs, variant=""):
    x, weight, out = inputs[0], inputs[1], outputs[0]
    bias = inputs[2] if len(inputs) > 2 else None
    if not all_int8((x, weight, out)) or not constant_weights(inputs):
        return None
    cdef Depthwise p
    memset(&p, 0, sizeof(p))
    n, p.h_in, p.w_in, p.c_in = x.shape
    _, p.h_out, p.w_out, p.c_out = out.shape
    kh, kw, _ = weight.shape
    p.multiplier_c = p.c_out // p.c_in
    p.stride_h, p.stride_w = attrs.get("stride_h", 1), attrs.get("stride_w", 1)
    p.pad_top, p.pad_left = attrs.get("pad_top", 0), attrs.get("pad_left", 0)
    dilation_h, dilation_w = attrs.get("dilation_h", 1), attrs.get("dilation_w", 1)
    set_output(&p.out, out, attrs)
    cdef const int32_t *biases = <const int32_t *><uintptr_t>(address_of(bias.data) if bias is not None else 0)
    cdef double[::1] multipliers = channel_multipliers(x, weight, out, p.c_out)
    if largest_sum(kh * kw, biases, p.c_out) * max(multipliers) > NARROW_MAX:
        return None
    p.span_h = (kh - 1) * dilation_h + 1
    p.row_width = (p.w_out - 1) * p.stride_w + (kw - 1) * dilation_w + 1
    p.out_rows = n * p.h_out
    p.out_index = len(inputs)
    p.kernel_rows, p.kernel_columns = kh, kw
    use_quads = DW_QUADS and kh <= 6 and variant != "pairs" and quads_can_hold(weight)
    p.quads = (kw if kh <= 3 else 2 * kw) if use_quads else 0
    p.fill = (x.quant.zero_point & 0xFF) ^ (ACT_FLIP if p.quads else 0)
    fits = p.pad_top == 0 and p.pad_left == 0 and (p.h_out - 1) * p.stride_h + p.span_h <= p.h_in and p.row_width <= p.w_in
    p.in_place = fits and p.multiplier_c == 1 and x.data is None and not (p.quads and ACT_FLIP)
    cdef Py_ssize_t row_bytes = <Py_ssize_t>p.row_width * p.c_out, band_bytes = BAND_BYTES[""]
    p.band_rows = <int>max(1, min(p.h_out, (band_bytes // max(row_bytes, 1) - p.span_h) // p.stride_h + 1))
    cdef Py_ssize_t scratch = 0 if p.in_place else ((p.band_rows - 1) * p.stride_h + p.span_h) * row_bytes + 128
    if p.in_place:
        row_bytes = <Py_ssize_t>p.w_in * p.c_out
    p.row_step, p.column_step = dilation_h * row_bytes, dilation_w * p.c_out
    cdef Layout layout
    if p.quads:
        layout = quad_parameters(&p, weight, biases, multipliers, x.quant.zero_point)
    else:
        layout = pair_parameters(&p, weight, biases, multipliers, x.quant.zero_point)
    memcpy(layout.at(), &p, sizeof(Depthwise))
    return make_step(op + variant_suffix(variant), <uintptr_t>&depthwise_kernel, layout, out.size * kh * kw * 4, scratch)


cdef Layout pair_parameters(Depthwise *p, weight, const int32_t *bias, double[::1] multiplier, int x_zero_point):
    """Offsets of the taps, weights, biases and multipliers in the order in which dw_pixels wants them."""
    cdef uintptr_t weights = address_of(weight.data)
    kh, kw, _ = weight.shape
    zero_point = weight.quant.zero_point
    parts = dw_parts(<const int8_t *>weights, kh * kw * p.c_out, zero_point)
    taps = [(tap, part) for part in range(parts) for tap in range(kh * kw)]
    p.pairs = (len(taps) + 1) // 2
    p.blocks = (p.c_out + DW_CHANNELS - 1) // DW_CHANNELS
    cdef Layout layout = Layout(sizeof(Depthwise))
    offsets = layout.reserve(2 * p.pairs * sizeof(Py_ssize_t))
    packed = layout.reserve(<Py_ssize_t>p.blocks * p.pairs * 2 * DW_CHANNELS * sizeof(dw_weight))
    biases = layout.reserve(p.blocks * DW_CHANNELS * 4)
    multipliers = layout.reserve(p.blocks * DW_CHANNELS * 4)
    p.offset = <Py_ssize_t *>layout.at(offsets)
    p.weights = <dw_weight *>layout.at(packed)
    p.bias = <int32_t *>layout.at(biases)
    p.multiplier = <float *>layout.at(multipliers)
    # An odd last tap is paired with itself under a weight of zero.
    for t in range(2 * p.pairs):
        tap = taps[min(t, len(taps) - 1)][0]
        p.offset[t] = (tap // kw) * p.row_step + (tap % kw) * p.column_step
    dw_pack(p, taps, <const int8_t *>weights, zero_point, bias, multiplier, x_zero_point)
    return layout
