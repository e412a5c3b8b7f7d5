# concat, slice, pad (constant), transpose, reshape, space and batch and depth: all of them move words unchanged, so all of
# them are one kernel that copies boxes of an input to boxes of the output, each side with strides of its own.

from edgert.kernels.requant import float32

cdef enum:
    MAX_BOXES = 4096  # a block of space_to_batch may have as many places as a tensor has bytes, and a box takes 200


cdef struct Box:
    int source                    # index of the input tensor
    int dims
    Py_ssize_t from_offset, to_offset                # bytes
    Py_ssize_t size[MAX_DIMS]
    Py_ssize_t from_stride[MAX_DIMS]                 # bytes
    Py_ssize_t to_stride[MAX_DIMS]
    Py_ssize_t run                # innermost bytes copied at once
    Py_ssize_t rows               # how many runs


cdef struct Copy:
    int n_boxes
    int n_inputs
    Py_ssize_t fill_bytes         # the output is first filled with one word, 0 bytes for not
    int fill_size
    char fill[8]
    Box *boxes


cdef inline void copy_ends(int part, char *to, const char *source, Py_ssize_t run) noexcept nogil:
    """`part` to 2 * part bytes, as two pieces that may share some: no call, and no loop. part: a constant."""
    memcpy(to, source, part)
    memcpy(to + run - part, source + run - part, part)


# n runs along the innermost dimension. Every second byte, as a channel shuffle takes them, is a loop that vectorises.
cdef inline void copy_line(const Box *b, const char *source, char *to, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, a = b.from_stride[b.dims - 1], z = b.to_stride[b.dims - 1]
    if b.run == 1 and a == 2 and z == 1:
        for i in range(n):
            to[i] = source[2 * i]
    elif b.run == 1:
        for i in range(n):
            to[i * z] = source[i * a]
    elif b.run == 4:
        for i in range(n):
            memcpy(to + i * z, source + i * a, 4)
    elif 8 <= b.run <= 16:
        for i in range(n):
            copy_ends(8, to + i * z, source + i * a, b.run)
    elif 16 < b.run <= 32:
        for i in range(n):
            copy_ends(16, to + i * z, source + i * a, b.run)
    elif 32 < b.run <= 64:
        for i in range(n):
            copy_ends(32, to + i * z, source + i * a, b.run)
    else:
        for i in range(n):
            memcpy(to + i * z, source + i * a, b.run)


cdef void copy_box(const Box *b, const char *source, char *to, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t index[MAX_DIMS]
    cdef Py_ssize_t n, row = first, rest = first, a = 0, z = 0
    cdef int d, inner = b.dims - 1
    if b.dims == 0:
        if first < last:
            memcpy(to, source, b.run)
        return
    for d in range(inner, -1, -1):
        index[d] = rest % b.size[d]
        rest //= b.size[d]
        a += index[d] * b.from_stride[d]
        z += index[d] * b.to_stride[d]
    while row < last:
        n = min(b.size[inner] - index[inner], last - row)
        copy_line(b, source + a, to + z, n)
        row += n
        index[inner] += n
        a += n * b.from_stride[inner]
        z += n * b.to_stride[inner]
        for d in range(inner, -1, -1):
            if index[d] < b.size[d]:
                break
            index[d] = 0
            a -= b.from_stride[d] * b.size[d]
            z -= b.to_stride[d] * b.size[d]
            if d > 0:
                index[d - 1] += 1
                a += b.from_stride[d - 1]
                z += b.to_stride[d - 1]


cdef void copy_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Copy *p = <const Copy *>params
    cdef char *out = tensors[p.n_inputs]
    cdef const Box *b
    cdef Py_ssize_t i
    cdef int n
    if p.fill_size == 1:
        memset(out, p.fill[0], p.fill_bytes)
    else:
        for i in range(p.fill_bytes):
            out[i] = p.fill[i % p.fill_size]
    for n in range(p.n_boxes):
        b = &p.boxes[n]
        if tensors[b.source] + b.from_offset != out + b.to_offset:  # equal: the planner placed this input inside the output
            copy_box(b, tensors[b.source] + b.from_offset, out + b.to_offset, share(b.rows, thread, n_threads), share(b.rows, thread + 1, n_threads))


cdef set_box(Box *b, int source, item, from_offset, to_offset, size, from_stride, to_stride):
    """Offsets and strides in elements; dimensions that run on into each other on both sides are merged."""
    merged = [[1, 1, 1]]  # innermost first, beginning with the element itself
    for n, a, z in zip(reversed(size), reversed(from_stride), reversed(to_stride)):
        inner, inner_a, inner_z = merged[-1]
        if n == 1:
            continue
        if inner == 1 and len(merged) == 1:
            if a == 1 and z == 1:
                merged[-1] = [n, 1, 1]
                continue
        elif a == inner * inner_a and z == inner * inner_z:
            merged[-1][0] *= n
            continue
        merged.append([n, a, z])
    b.source = source
    b.from_offset, b.to_offset = from_offset * item, to_offset * item
    b.run = merged[0][0] * item
    b.rows = 1
    b.dims = len(merged) - 1
    for d, (n, a, z) in enumerate(reversed(merged[1:])):
        b.size[d], b.from_stride[d], b.to_stride[d] = n, a * item, z * item
        b.rows *= n


def strides_of(shape):
    """Elements from one index to the next, per dimension, of a contiguous array."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return strides[::-1]


cdef int item_bytes(spec):
    return spec.nbytes // spec.size


cdef make_copy(str op, inputs, out, list boxes, bytes fill=b""):
    """boxes: (source, from offset, to offset, size, from strides, to strides), in elements."""
    cdef Layout layout = Layout(sizeof(Copy))
    cdef Py_ssize_t at = layout.reserve(len(boxes) * sizeof(Box))
    cdef Copy *p = <Copy *>layout.at()
    p.boxes = <Box *>layout.at(at)
    p.n_inputs = len(inputs)
    p.n_boxes = len(boxes)
    for i, (source, from_offset, to_offset, size, from_stride, to_stride) in enumerate(boxes):
        set_box(&p.boxes[i], source, item_bytes(out), from_offset, to_offset, size, from_stride, to_stride)
    if fill:
        p.fill_size, p.fill_bytes = len(fill), out.nbytes
        memcpy(p.fill, <const char *>fill, len(fill))
    # A filled output is one thread's work: another's box could be overwritten by a late fill.
    return make_step(op, <uintptr_t>&copy_kernel, layout, 0 if fill else out.nbytes)


def bind_reshape(op, inputs, outputs, attrs):
    n = outputs[0].size
    return make_copy(op, inputs, outputs[0], [(0, 0, 0, [n], [1], [1])])


def bind_concat(op, inputs, outputs, attrs):
    out, axis = outputs[0], attrs["axis"]
    to_stride, boxes, at = strides_of(out.shape), [], 0
    for i, x in enumerate(inputs):
        boxes.append((i, 0, at * to_stride[axis], x.shape, strides_of(x.shape), to_stride))
        at += x.shape[axis]
    return make_copy(op, inputs, out, boxes)


def bind_slice(op, inputs, outputs, attrs):
    x, out = inputs[0], outputs[0]
    stride, step = strides_of(x.shape), attrs.get("step") or (1,) * len(x.shape)
    offset = sum([b * s for b, s in zip(attrs["begin"], stride)])
    return make_copy(op, inputs, out, [(0, offset, 0, out.shape, [s * k for s, k in zip(stride, step)], strides_of(out.shape))])


def bind_pad(op, inputs, outputs, attrs):
    x, out = inputs[0], outputs[0]
    mode = attrs.get("mode", "constant")
    if mode != "constant":
        return make_copy(op, inputs, out, mirrored_boxes(x.shape, attrs["before"], attrs["after"], mode, out.shape))
    from struct import pack
    formats = {"int8": "b", "uint8": "B", "bool": "?", "int16": "h", "int32": "i", "int64": "q", "float32": "f"}
    value = attrs.get("value", x.quant.zero_point if x.quant is not None else 0)
    fill = pack("<" + formats[x.dtype], float32(value) if x.dtype == "float32" else int(value))
    to_stride = strides_of(out.shape)
    offset = sum([b * s for b, s in zip(attrs["before"], to_stride)])
    return make_copy(op, inputs, out, [(0, 0, offset, x.shape, strides_of(x.shape), to_stride)], fill)


def mirrored_boxes(shape, before, after, mode, out_shape):
    """Three pieces along each dimension: the mirrored beginning, the input, its mirrored end. Every combination is a box.

    "reflect" leaves the edge element out of the mirror image, "symmetric" repeats it.
    """
    edge = 1 if mode == "reflect" else 0
    boxes = [(0, 0, [], [], [])]
    for n, b, a, stride, to_stride in zip(shape, before, after, strides_of(shape), strides_of(out_shape)):
        # (length, first element read, direction, first element written)
        pieces = [(b, b - 1 + edge, -1, 0), (n, 0, 1, b), (a, n - 1 - edge, -1, b + n)]
        boxes = [
            (start + first * stride, to + place * to_stride, size + [length], walk + [step * stride], steps + [to_stride])
            for start, to, size, walk, steps in boxes
            for length, first, step, place in pieces
            if length
        ]
    return [(0, *box) for box in boxes]


def bind_transpose(op, inputs, outputs, attrs):
    stride = strides_of(inputs[0].shape)
    return make_copy(op, inputs, outputs[0], [(0, 0, 0, outputs[0].shape, [stride[d] for d in attrs["perm"]], strides_of(outputs[0].shape))])


def bind_space_depth(op, inputs, outputs, attrs):
    """Both directions walk (n, h, block, w, block, c) of the spatial side and (n, h, w, block, block, c) of the deep one."""
    deep = outputs[0] if op == "space_to_depth" else inputs[0]
    wide = inputs[0] if op == "space_to_depth" else outputs[0]
    block = attrs["block"]
    n, h, w, c = deep.shape
    c //= block * block
    size = [n, h, block, w, block, c]
    wide_stride = strides_of(size)
    order = strides_of([n, h, w, block, block, c])
    deep_stride = [order[0], order[1], order[3], order[2], order[4], order[5]]
    pair = (wide_stride, deep_stride) if op == "space_to_depth" else (deep_stride, wide_stride)
    return make_copy(op, inputs, outputs[0], [(0, 0, 0, size, pair[0], pair[1])])


def bind_space_batch(op, inputs, outputs, attrs):
    """One box per position in the block: batch entry (y, x) of the many is every block-th pixel, shifted by (y, x)."""
    many, image = (outputs[0], inputs[0]) if op == "space_to_batch" else (inputs[0], outputs[0])
    (block_h, block_w), (top, left) = attrs["block"], attrs["before"]
    if block_h * block_w > MAX_BOXES:
        return None
    n, h, w, c = image.shape
    _, rows, columns, _ = many.shape
    image_stride, many_stride = strides_of(image.shape), strides_of(many.shape)
    boxes = []
    for y in range(block_h):
        for x in range(block_w):
            # many[y, x][i, j] is padded[i * block_h + y, j * block_w + x], padded being the image moved down by `top`
            i0, j0 = max(0, -(-(top - y) // block_h)), max(0, -(-(left - x) // block_w))
            i1, j1 = min(rows, -(-(h + top - y) // block_h)), min(columns, -(-(w + left - x) // block_w))
            if i0 >= i1 or j0 >= j1:
                continue
            image_at = (i0 * block_h + y - top) * image_stride[1] + (j0 * block_w + x - left) * image_stride[2]
            many_at = (y * block_w + x) * n * many_stride[0] + i0 * many_stride[1] + j0 * many_stride[2]
            size = [n, i1 - i0, j1 - j0, c]
            walk_image = [image_stride[0], image_stride[1] * block_h, image_stride[2] * block_w, 1]
            if op == "space_to_batch":
                boxes.append((0, image_at, many_at, size, walk_image, many_stride))
            else:
                boxes.append((0, many_at, image_at, size, many_stride, walk_image))
    fill = bytes([inputs[0].quant.zero_point & 0xFF]) if inputs[0].dtype == "int8" else bytes(item_bytes(inputs[0]))
    return make_copy(op, inputs, outputs[0], boxes, fill if op == "space_to_batch" else b"")
