# conv2d, transpose_conv2d and linear: output rows in bands. Each band's input rows are copied once into scratch with
# their padding (and flipped sign bits where dot4 wants them), then every pixel of the band is a row of the GEMM. Without
# padding and flipping the band is the tensor itself. A linear layer is an image one pixel wide.

from array import array

# Bytes of activations in a band, per variant. By default a band and a panel of weights share a 32 KiB first-level cache;
# which is best depends on the caches, so `edgert tune` tries the others.
BAND_BYTES = {"": 24576, "band8k": 8192, "band96k": 98304}


cdef struct Conv:
    Gemm gemm
    int groups
    int h_in, w_in, c_in
    int h_out, w_out
    int stride_h, stride_w
    int pick_h, pick_w            # of a 1x1 conv with a stride, if rows are copied: only pixels that it reads are
    int pad_top, pad_left
    int span_h                    # input rows under one output row: (kh - 1) * dilation_h + 1
    int row_width                 # pixels in a copied row
    int up_h, up_w                # transposed conv: input pixels lie this far apart among zeros, else 1
    int in_place
    int contiguous                # every copied row follows the one before it in the tensor: no padding, no pixel left out
    int band_rows
    int out_rows                  # output rows over the whole batch
    int fill                      # the byte that padding is made of
    int out_index


cdef inline void copy_flipped(uint8_t *to, const uint8_t *x, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    if ACT_FLIP:
        for i in range(count):
            to[i] = x[i] ^ ACT_FLIP
    else:
        memcpy(to, x, count)


cdef void copy_row(uint8_t *to, const uint8_t *row, const Conv *p) noexcept nogil:
    """One padded input row. row: NULL for a row of padding."""
    cdef Py_ssize_t c = p.c_in, i, x
    cdef uint64_t words[2]
    cdef Py_ssize_t left = min(p.pad_left, p.row_width) if row != NULL else p.row_width
    cdef Py_ssize_t count
    if p.up_w > 1 and row != NULL:
        memset(to, p.fill, p.row_width * c)
        for x in range(p.w_in):
            if p.pad_left + x * p.up_w < p.row_width:
                for i in range(c):
                    to[(p.pad_left + x * p.up_w) * c + i] = row[x * c + i] ^ ACT_FLIP
        return
    if p.pick_w > 1 and row != NULL:
        for x in range(p.row_width):
            for i in range(0, c, 16):  # what is written beyond the pixel is the next one's place
                memcpy(words, row + i, 16)
                words[0] ^= ACT_FLIP * <uint64_t>0x0101010101010101
                words[1] ^= ACT_FLIP * <uint64_t>0x0101010101010101
                memcpy(to + i, words, 16)
            to += c
            row += p.pick_w * c
        return
    memset(to, p.fill, left * c)
    if row == NULL:
        return
    count = max(0, min(p.w_in, p.row_width - p.pad_left)) * c  # a stride can jump over the whole picture
    to += left * c
    copy_flipped(to, row, count)
    if p.row_width > p.pad_left + p.w_in:
        memset(to + count, p.fill, (p.row_width - p.pad_left - p.w_in) * c)


cdef void copy_band(uint8_t *to, const uint8_t *image, const Conv *p, int first, int rows) noexcept nogil:
    """Input rows first .. first + rows - 1 of one image, counted with padding (and zeros between rows)."""
    cdef int y, source
    if p.contiguous:
        copy_flipped(to, image + <Py_ssize_t>first * p.w_in * p.c_in, <Py_ssize_t>rows * p.w_in * p.c_in)
        return
    for y in range(first - p.pad_top, first - p.pad_top + rows):
        source = y * p.pick_h // p.up_h if y >= 0 and y % p.up_h == 0 else -1
        copy_row(to, image + <Py_ssize_t>source * p.w_in * p.c_in if 0 <= source < p.h_in else NULL, p)
        to += <Py_ssize_t>p.row_width * p.c_in


cdef void conv_band(const Conv *p, const uint8_t *band, Py_ssize_t row_bytes, int rows, int8_t *out,
                    int group, Py_ssize_t first_panel, Py_ssize_t last_panel) noexcept nogil:
    """Every pixel of a band by the panels of one conv group. Panels outside, pixels inside: the weights stay in cache."""
    cdef Py_ssize_t panel = first_panel, pixel, count = <Py_ssize_t>rows * p.w_out, left
    cdef Gemm gemm = p.gemm  # a copy: stores to `out` cannot change it, so the compiler need not read it again
    cdef requant q = requant_of(&gemm.out)
    cdef int vecs, n, r, x, w_out = p.w_out
    cdef Py_ssize_t step = <Py_ssize_t>p.stride_w * p.c_in if w_out > 1 else p.stride_h * row_bytes
    cdef Py_ssize_t to_next_row = p.stride_h * row_bytes - w_out * step
    cdef const uint8_t *at
    cdef const uint8_t *pixels[8]
    if to_next_row == 0:
        w_out = <int>count  # one long row
    while panel < last_panel:
        vecs = panels_at_once(last_panel - panel, count)
        left = gemm.channels - (panel + vecs - 1) * LANES
        pixel = 0
        at = band
        x = w_out
        while pixel < count:
            n = tile_rows(count - pixel)
            if x >= n:
                for r in range(TILE_ROWS):
                    pixels[r] = at + r * step
                at += n * step
                x -= n
            else:
                for r in range(n):
                    if x == 0:
                        x = w_out
                        at += to_next_row
                    pixels[r] = at
                    at += step
                    x -= 1
            gemm_block(n, vecs, &gemm, pixels, &q, group * gemm.panels + panel,
                       out + pixel * gemm.out_stride + group * gemm.channels + panel * LANES, <int>min(left, LANES))
            pixel += n
        panel += vecs


cdef void pixel_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    """A single output pixel that reads a single input pixel: a linear layer of a batch of one."""
    cdef const Conv *p = <const Conv *>params
    cdef Gemm gemm = p.gemm
    cdef requant q = requant_of(&gemm.out)
    cdef Py_ssize_t blocks = (gemm.panels + PANELS_TOGETHER - 1) // PANELS_TOGETHER
    cdef Py_ssize_t panel = share(blocks, thread, n_threads) * PANELS_TOGETHER
    cdef Py_ssize_t last_panel = min(<Py_ssize_t>gemm.panels, share(blocks, thread + 1, n_threads) * PANELS_TOGETHER)
    cdef int8_t *out = <int8_t *>tensors[p.out_index]
    cdef const uint8_t *x = <const uint8_t *>tensors[0]
    cdef int vecs, left
    if not p.in_place:
        copy_flipped(<uint8_t *>scratch, x, p.c_in)
        x = <const uint8_t *>scratch
    while panel < last_panel:
        vecs = panels_at_once(last_panel - panel, 1)
        left = <int>min(<Py_ssize_t>LANES, gemm.channels - (panel + vecs - 1) * LANES)
        if vecs == ROW_VECS:
            gemm_tile(1, ROW_VECS, &gemm, &x, &q, panel, out + panel * LANES, left)
        elif vecs == TILE_VECS:
            gemm_tile(1, TILE_VECS, &gemm, &x, &q, panel, out + panel * LANES, left)
        elif TILE_VECS > 2 and vecs == 2:
            gemm_tile(1, 2, &gemm, &x, &q, panel, out + panel * LANES, left)
        else:
            gemm_tile(1, 1, &gemm, &x, &q, panel, out + panel * LANES, left)
        panel += vecs


cdef void conv2d_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Conv *p = <const Conv *>params
    cdef const uint8_t *image
    cdef const uint8_t *band
    cdef Py_ssize_t first_panel = 0, last_panel = p.gemm.panels, blocks, row_bytes
    cdef int row = 0, last_row = p.out_rows, rows, y, group
    cdef uint8_t *copy = <uint8_t *>scratch
    if p.out_rows >= 2 * n_threads or p.gemm.panels < n_threads:
        row = <int>share(p.out_rows, thread, n_threads)
        last_row = <int>share(p.out_rows, thread + 1, n_threads)
    else:
        blocks = (p.gemm.panels + PANELS_TOGETHER - 1) // PANELS_TOGETHER
        first_panel = share(blocks, thread, n_threads) * PANELS_TOGETHER
        last_panel = min(last_panel, share(blocks, thread + 1, n_threads) * PANELS_TOGETHER)
    while row < last_row:
        y = row % p.h_out
        rows = min(min(p.band_rows, last_row - row), p.h_out - y)
        image = <const uint8_t *>tensors[0] + <Py_ssize_t>(row // p.h_out) * p.h_in * p.w_in * p.c_in
        if p.in_place:
            row_bytes = <Py_ssize_t>p.w_in * p.c_in
            band = image + y * p.stride_h * row_bytes
        else:
            row_bytes = <Py_ssize_t>p.row_width * p.c_in
            copy_band(copy, image, p, y * p.stride_h, (rows - 1) * p.stride_h + p.span_h)
            band = copy
        for group in range(p.groups):
            conv_band(p, band + group * (p.c_in // p.groups), row_bytes, rows,
                      <int8_t *>tensors[p.out_index] + <Py_ssize_t>row * p.w_out * p.gemm.out_stride, group, first_panel, last_panel)
        row += rows


cdef double[::1] channel_multipliers(x, weight, out, int channels):
    """float32(s_in * s_w[c] / s_out) as doubles, one a channel. From 256 on every sum but 0 is clamped: larger is the same."""
    cdef double s_in = scale_of(x), s_out = scale_of(out)
    scale = weight.quant.scale
    if len(scale) == 1:
        return array("d", [min(s_in * scale[0] / s_out, 256.0)]) * channels
    return array("d", [min(s_in * s / s_out, 256.0) for s in scale])


cdef make_conv(str op, str variant, Conv *shape, inputs, out, attrs, uintptr_t weights, int kh, int kw, int dilation_h, int dilation_w):
    """Finish a Conv whose geometry is set: segments, band size, packed weights. weights: where (O, kh, kw, c_in / groups) lie."""
    cdef Conv *p = shape
    cdef int group_c = p.c_in // p.groups, s, pixels = p.out_rows * p.w_out
    cdef uintptr_t kernel = <uintptr_t>&conv2d_kernel
    cdef bint runs = dilation_w == 1 and p.groups == 1
    x, weight = inputs[0], inputs[1]
    bias = inputs[2] if len(inputs) > 2 else None
    cdef const int32_t *biases = <const int32_t *><uintptr_t>(address_of(bias.data) if bias is not None else 0)
    cdef double[::1] multipliers = channel_multipliers(x, weight, out, p.gemm.out_stride)
    if largest_sum(weight.size // p.gemm.out_stride, biases, p.gemm.out_stride) * max(multipliers) > NARROW_MAX:
        return None
    p.gemm.n_segments = kh if runs else kh * kw
    p.gemm.segment_bytes = kw * group_c if runs else group_c
    p.gemm.channels = p.gemm.out_stride // p.groups
    p.gemm.weight_zero_point = weight.quant.zero_point
    set_output(&p.gemm.out, out, attrs)
    p.gemm.clamped = p.gemm.out.clamp_min > -128 or p.gemm.out.clamp_max < 127
    p.span_h = (kh - 1) * dilation_h + 1
    p.row_width = (p.w_out - 1) * p.stride_w + (kw - 1) * dilation_w + 1
    p.fill = (x.quant.zero_point & 0xFF) ^ ACT_FLIP
    p.out_index = len(inputs)
    fits = p.pad_top == 0 and p.pad_left == 0 and (p.h_out - 1) * p.stride_h + p.span_h <= p.h_in and p.row_width <= p.w_in
    p.contiguous = fits and p.row_width == p.w_in and p.up_h == 1 and p.up_w == 1
    p.in_place = ACT_FLIP == 0 and fits and p.up_h == 1 and p.up_w == 1 and x.data is None
    p.pick_h = p.pick_w = 1
    if kh == 1 and kw == 1 and fits and not p.in_place and x.data is None and p.up_h == 1 and p.up_w == 1:
        p.pick_h, p.pick_w = p.stride_h, p.stride_w
        p.stride_h = p.stride_w = 1
        p.row_width = p.w_out
        p.contiguous = p.contiguous and p.pick_h == 1 and p.pick_w == 1
    if kh == 1 and kw == 1 and fits and pixels == 1 and p.groups == 1 and p.up_h == 1 and p.up_w == 1:
        kernel = <uintptr_t>&pixel_kernel
    cdef Py_ssize_t row_bytes = <Py_ssize_t>p.row_width * p.c_in
    cdef Py_ssize_t band_bytes = BAND_BYTES[variant]
    cdef Py_ssize_t more = band_bytes // max(row_bytes, 1) - p.span_h
    p.band_rows = <int>max(1, min(p.h_out, more // p.stride_h + 1))
    cdef Py_ssize_t scratch = 0 if p.in_place else ((p.band_rows - 1) * p.stride_h + p.span_h) * row_bytes + 128

    cdef Layout layout = Layout(sizeof(Conv))
    cdef Py_ssize_t offsets[GEMM_ARRAYS]
    rest = gemm_reserve(&p.gemm, layout, p.groups, <const int8_t *>weights, offsets)
    gemm_attach(&p.gemm, layout, offsets)
    cdef Py_ssize_t band_row_bytes = <Py_ssize_t>p.w_in * p.c_in if p.in_place else row_bytes
    cdef Py_ssize_t[::1] segments = array("q", bytes(8 * p.gemm.n_segments))
    for s in range(p.gemm.n_segments):
        if runs:
            segments[s] = s * dilation_h * band_row_bytes
        else:
            segments[s] = (s // kw) * dilation_h * band_row_bytes + (s % kw) * dilation_w * p.c_in
    gemm_offsets(&p.gemm, segments, rest)
    gemm_pack(&p.gemm, p.groups, <const int8_t *>weights, biases, multipliers, x.quant.zero_point, rest)
    memcpy(layout.at(), p, sizeof(Conv))
    return make_step(op + variant_suffix(variant), kernel, layout, out.size * p.gemm.n_segments * p.gemm.segment_bytes, scratch)


cdef bint constant_weights(inputs):
    return inputs[1].data is not None and (len(inputs) < 3 or inputs[2] is None or inputs[2].data is not None)


def bind_conv2d(op, inputs, outputs, attrs, variant=""):
    x, weight = inputs[0], inputs[1]
    if not all_int8((x, weight, outputs[0])) or not constant_weights(inputs):
        return None
    cdef Conv p
    memset(&p, 0, sizeof(p))
    n, p.h_in, p.w_in, p.c_in = x.shape
    _, p.h_out, p.w_out, p.gemm.out_stride = outputs[0].shape
    _, kh, kw, _ = weight.shape
    p.groups = attrs.get("groups", 1)
    p.stride_h, p.stride_w = attrs.get("stride_h", 1), attrs.get("stride_w", 1)
    p.pad_top, p.pad_left = attrs.get("pad_top", 0), attrs.get("pad_left", 0)
    p.up_h = p.up_w = 1
    padded = p.pad_top or p.pad_left or attrs.get("pad_bottom", 0) or attrs.get("pad_right", 0)
    if kh == 1 and kw == 1 and p.stride_h == 1 and p.stride_w == 1 and not padded:
        p.h_in = p.h_out = n * p.h_in * p.w_in  # no neighbours: one long column of pixels, cut anywhere
        p.w_in = p.w_out = n = 1
    p.out_rows = n * p.h_out
    return make_conv(op, variant, &p, inputs, outputs[0], attrs, address_of(weight.data), kh, kw,
                     attrs.get("dilation_h", 1), attrs.get("dilation_w", 1))


def bind_linear(op, inputs, outputs, attrs):
    x, weight = inputs[0], inputs[1]
    if not all_int8((x, weight, outputs[0])) or not constant_weights(inputs):
        return None
    cdef Conv p
    memset(&p, 0, sizeof(p))
    p.gemm.out_stride, p.c_in = weight.shape
    rows = product(x.shape[:-1])
    p.h_in = p.h_out = p.out_rows = rows
    p.w_in = p.w_out = p.groups = p.stride_h = p.stride_w = p.up_h = p.up_w = 1
    return make_conv(op, "", &p, inputs, outputs[0], attrs, address_of(weight.data), 1, 1, 1, 1)


def bind_transpose_conv2d(op, inputs, outputs, attrs):
    """A conv of stride 1 with the kernel turned round, over an input with stride - 1 zeros between its pixels."""
    x, weight = inputs[0], inputs[1]
    if not all_int8((x, weight, outputs[0])) or not constant_weights(inputs):
        return None
    cdef Conv p
    memset(&p, 0, sizeof(p))
    n, p.h_in, p.w_in, p.c_in = x.shape
    _, p.h_out, p.w_out, p.gemm.out_stride = outputs[0].shape
    o, kh, kw, c = weight.shape
    p.groups = p.stride_h = p.stride_w = 1
    p.up_h, p.up_w = attrs.get("stride_h", 1), attrs.get("stride_w", 1)
    p.pad_top, p.pad_left = kh - 1 - attrs.get("pad_top", 0), kw - 1 - attrs.get("pad_left", 0)
    if p.pad_top < 0 or p.pad_left < 0:
        return None
    p.out_rows = n * p.h_out
    data, turned = bytes(weight.data), bytearray()
    for channel in range(o):
        for y in range(kh):
            for z in range(kw):
                start = ((channel * kh + kh - 1 - y) * kw + kw - 1 - z) * c
                turned += data[start:start + c]
    return make_conv(op, "", &p, inputs, outputs[0], attrs, address_of(turned), kh, kw, 1, 1)
