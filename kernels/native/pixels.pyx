# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""A camera's frame -> the bytes of an input tensor in one pass: cropped, scaled, normalised, quantised.

The same contract as kernels/reference/pixels.py, which defines the result. Per output row two rows of each plane are
blended, each component is interpolated in that, YUV becomes RGB, and one table per channel turns pixels into words.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, uint8_t, uint16_t, uintptr_t
from libc.string cimport memcpy

from edgert.kernels.native.program import AlignedBuffer

cdef enum:
    MAX_SIDE = 65536


cdef struct Taps:
    # per output pixel: byte offsets of the two neighbours and the weight of the second in 128ths
    int32_t *first
    int32_t *second
    int32_t *weight


cdef struct Plane:
    Py_ssize_t offset, row_bytes
    Taps down
    uint16_t *blended      # one row between the two neighbouring rows, in 128ths


cdef struct Component:
    int plane
    Py_ssize_t first       # byte of its first sample in a row
    Taps across


cdef class PixelScaler:
    """Built once for a camera and a model.

    planes: each (offset, bytes of a row, down). components, one or three: each (plane, byte of its first sample in a row,
    across). down, across: for each row or column that is filled (offset of the first neighbour, of the second, weight of
    the second in 128ths). colours: what happens to the components: "" nothing, "yuv" Y, U and V become R, G and B, "grey"
    R, G and B become one. order: which of the components each channel takes. tables: 256 words per channel. size:
    (width, height) of the tensor; filled: the box (left, top, right, bottom) of it that the frame fills, border: the
    words of a pixel around it. frame_bytes: the size that frames must have.
    """

    cdef Component components[3]
    cdef Plane planes[3]
    cdef uint8_t tables[3][256]
    cdef uint8_t border[3]
    cdef int order[3]
    cdef int channels, count, plane_count, width, height, left, top, right, bottom
    cdef bint is_yuv, is_grey, is_packed
    cdef Py_ssize_t frame_bytes
    cdef uint8_t *lines
    cdef list owned

    def __cinit__(self, *, tuple planes, tuple components, str colours, tuple order, tuple tables, bytes border, tuple size,
                  tuple filled, Py_ssize_t frame_bytes):
        cdef int i
        self.width, self.height = size
        self.left, self.top, self.right, self.bottom = filled
        self.is_yuv, self.is_grey = colours == "yuv", colours == "grey"
        self.channels, self.count, self.plane_count = len(tables), len(components), len(planes)
        self.frame_bytes, self.owned = frame_bytes, []
        if not (0 <= self.left < self.right <= self.width <= MAX_SIDE and 0 <= self.top < self.bottom <= self.height <= MAX_SIDE):
            raise ValueError(f"a frame cannot fill {filled} of {size}")
        if self.count not in (1, 3) or self.channels not in (1, 3) or len(order) != self.channels or len(border) != self.channels:
            raise ValueError(f"{self.count} components for {self.channels} channels")
        if (self.is_yuv or self.is_grey) and self.count != 3 or not 1 <= self.plane_count <= 3:
            raise ValueError(f"{colours} of {self.count} components in {self.plane_count} planes")
        self.lines = <uint8_t *>self._memory(3 * (self.right - self.left))
        for i in range(self.channels):
            if len(tables[i]) != 256 or not 0 <= order[i] < self.count:
                raise ValueError(f"channel {i} takes component {order[i]} through {len(tables[i])} words")
            memcpy(self.tables[i], <const char *><bytes>tables[i], 256)
            self.order[i], self.border[i] = order[i], border[i]
        for i in range(self.plane_count):
            self._plane(&self.planes[i], planes[i])
        for i in range(self.count):
            self._component(&self.components[i], components[i])
        across = [component[2] for component in components]
        self.is_packed = self.channels == self.count == 3 and not colours and across[0] == across[1] == across[2]

    cdef void *_memory(self, Py_ssize_t nbytes) except NULL:
        buffer = AlignedBuffer(nbytes)
        self.owned.append(buffer)
        return <void *><uintptr_t>buffer.address

    cdef _plane(self, Plane *plane, tuple part):
        offset, row_bytes, down = part
        last = offset + row_bytes + max([max(a, b) for a, b, _ in down])
        if last > self.frame_bytes or min(offset, row_bytes, min([min(a, b) for a, b, _ in down])) < 0:
            raise ValueError(f"a plane reaches byte {last} of {self.frame_bytes}")
        if len(down) != self.bottom - self.top:
            raise ValueError(f"a plane has {len(down)} rows for {self.bottom - self.top}")
        plane.offset, plane.row_bytes = offset, row_bytes
        plane.blended = <uint16_t *>self._memory(2 * row_bytes)
        self._taps(&plane.down, down)

    cdef _component(self, Component *component, tuple part):
        plane, first, across = part
        last = first + max([max(a, b) for a, b, _ in across])
        if not 0 <= plane < self.plane_count or last >= self.planes[plane].row_bytes or min(first, min([min(a, b) for a, b, _ in across])) < 0:
            raise ValueError(f"a component reaches byte {last} of a row")
        if len(across) != self.right - self.left:
            raise ValueError(f"a component has {len(across)} columns for {self.right - self.left}")
        component.plane, component.first = plane, first
        self._taps(&component.across, across)

    cdef _taps(self, Taps *taps, places):
        cdef Py_ssize_t i, n = len(places)
        cdef int32_t *memory = <int32_t *>self._memory(12 * n)
        taps.first, taps.second, taps.weight = memory, memory + n, memory + 2 * n
        for i in range(n):
            taps.first[i], taps.second[i], taps.weight[i] = places[i]
            if not 0 <= taps.weight[i] <= 128:
                raise ValueError(f"a weight of {taps.weight[i]} 128ths")

    def __call__(self, frame, out):
        """Fill the tensor `out` (a writable buffer of height x width x channels bytes) from the bytes of a frame."""
        cdef Py_buffer source, target
        PyObject_GetBuffer(frame, &source, PyBUF_SIMPLE)
        try:
            if source.len != self.frame_bytes:
                raise ValueError(f"a frame of {source.len} bytes instead of {self.frame_bytes}")
            PyObject_GetBuffer(out, &target, PyBUF_WRITABLE)
            try:
                if target.len != <Py_ssize_t>self.width * self.height * self.channels:
                    raise ValueError(f"a tensor of {target.len} bytes for {self.width} x {self.height} x {self.channels}")
                with nogil:
                    self._fill(<const uint8_t *>source.buf, <uint8_t *>target.buf)
            finally:
                PyBuffer_Release(&target)
        finally:
            PyBuffer_Release(&source)

    cdef void _fill(self, const uint8_t *frame, uint8_t *out) noexcept nogil:
        cdef Py_ssize_t row = <Py_ssize_t>self.width * self.channels
        cdef int y, n = self.right - self.left
        cdef Py_ssize_t i
        for y in range(self.height):
            if y < self.top or y >= self.bottom:
                self._border(out, self.width)
            else:
                self._border(out, self.left)
                for i in range(self.plane_count):
                    blend(&self.planes[i], frame, y - self.top)
                if self.is_packed:
                    self._packed(out + 3 * self.left, n)
                else:
                    self._lines(n)
                    self._words(out + self.left * self.channels, n)
                self._border(out + self.right * self.channels, self.width - self.right)
            out += row

    cdef void _border(self, uint8_t *out, Py_ssize_t pixels) noexcept nogil:
        cdef Py_ssize_t i
        cdef int c
        for i in range(pixels):
            for c in range(self.channels):
                out[i * self.channels + c] = self.border[c]

    cdef void _lines(self, int n) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(self.count):
            interpolate(self.lines + i * n, self.planes[self.components[i].plane].blended, &self.components[i], n)
        if self.is_yuv:
            rgb_of_yuv(self.lines, self.lines + n, self.lines + 2 * n, n)
        if self.is_grey:
            grey_of_rgb(self.lines, self.lines + n, self.lines + 2 * n, n)

    cdef void _packed(self, uint8_t *out, int n) noexcept nogil:
        """Three components of one plane, from its blended row to words without a line between."""
        cdef const Taps *taps = &self.components[0].across
        cdef const uint16_t *row = self.planes[self.components[0].plane].blended
        cdef const uint16_t *left
        cdef const uint16_t *right
        cdef Py_ssize_t a = self.components[self.order[0]].first, b = self.components[self.order[1]].first
        cdef Py_ssize_t c = self.components[self.order[2]].first
        cdef int32_t weight
        cdef int i
        for i in range(n):
            left, right, weight = row + taps.first[i], row + taps.second[i], taps.weight[i]
            out[3 * i] = self.tables[0][between(left[a], right[a], weight)]
            out[3 * i + 1] = self.tables[1][between(left[b], right[b], weight)]
            out[3 * i + 2] = self.tables[2][between(left[c], right[c], weight)]

    cdef void _words(self, uint8_t *out, Py_ssize_t n) noexcept nogil:
        cdef const uint8_t *a = self.lines + self.order[0] * n
        cdef const uint8_t *b
        cdef const uint8_t *c
        cdef Py_ssize_t i
        if self.channels == 1:
            for i in range(n):
                out[i] = self.tables[0][a[i]]
            return
        b, c = self.lines + self.order[1] * n, self.lines + self.order[2] * n
        for i in range(n):
            out[3 * i] = self.tables[0][a[i]]
            out[3 * i + 1] = self.tables[1][b[i]]
            out[3 * i + 2] = self.tables[2][c[i]]


cdef inline void blend(Plane *plane, const uint8_t *frame, int y) noexcept nogil:
    """The row between two rows, in 128ths: 255 * 128 fits 16 bits."""
    cdef const uint8_t *top = frame + plane.offset + plane.down.first[y]
    cdef const uint8_t *bottom = frame + plane.offset + plane.down.second[y]
    cdef uint16_t down = <uint16_t>plane.down.weight[y], up = <uint16_t>(128 - down)
    cdef uint16_t *out = plane.blended
    cdef Py_ssize_t i
    for i in range(plane.row_bytes):
        out[i] = <uint16_t>(top[i] * up + bottom[i] * down)


cdef inline uint8_t between(int32_t left, int32_t right, int32_t weight) noexcept nogil:
    return <uint8_t>((left * 128 + (right - left) * weight + 8192) >> 14)


cdef inline void interpolate(uint8_t *line, const uint16_t *row, const Component *component, int n) noexcept nogil:
    cdef const Taps *taps = &component.across
    cdef int i
    row += component.first
    for i in range(n):
        line[i] = between(row[taps.first[i]], row[taps.second[i]], taps.weight[i])


cdef inline int32_t clamp8(int32_t v) noexcept nogil:
    return 0 if v < 0 else 255 if v > 255 else v


cdef inline void rgb_of_yuv(uint8_t *a, uint8_t *b, uint8_t *c, int n) noexcept nogil:
    """ITU-R BT.601, limited range, in 8 fractional bits; Y, U, V become R, G, B in place."""
    cdef int32_t y, u, v
    cdef int i
    for i in range(n):
        y, u, v = 298 * (a[i] - 16) + 128, b[i] - 128, c[i] - 128
        a[i] = <uint8_t>clamp8((y + 409 * v) >> 8)
        b[i] = <uint8_t>clamp8((y - 100 * u - 208 * v) >> 8)
        c[i] = <uint8_t>clamp8((y + 516 * u) >> 8)


cdef inline void grey_of_rgb(uint8_t *a, const uint8_t *b, const uint8_t *c, int n) noexcept nogil:
    """ITU-R BT.601 luma with 16 fractional bits, as Pillow has it; in place of R."""
    cdef int i
    for i in range(n):
        a[i] = <uint8_t>((19595 * a[i] + 38470 * b[i] + 7471 * c[i] + 32768) >> 16)
