# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""A detector's outputs -> boxes: decoding and class-aware non-maximum suppression, without Python between candidates.

The same contract as kernels/reference/boxes.py, which defines the result. Plain C: compiled for the baseline of the
machine, it vectorises where it matters (the largest class of a row, overlaps with the boxes kept so far).
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport INFINITY, exp, pow, tanh
from libc.stdint cimport int8_t, int32_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

cdef enum:
    BLOCK = 64       # rows whose largest classes are found together
    LANES = 16
    RADIX = 2048     # three digits of 11 bits make a float32

cdef enum Function:
    IDENTITY, SIGMOID, TANH, EXP, CENTRE_V5, SIZE_V5, SOFTMAX

FUNCTIONS = {"": IDENTITY, "identity": IDENTITY, "sigmoid": SIGMOID, "tanh": TANH, "exp": EXP, "centre_v5": CENTRE_V5,
             "size_v5": SIZE_V5, "softmax": SOFTMAX}

ctypedef fused word:
    int8_t
    float


cdef struct View:
    Py_ssize_t offset, row, column
    int output
    Function activation
    const float *tables[3]   # by word + 128; what each holds depends on the part; NULL for float32
    bint present, is_float


cdef struct Group:
    Py_ssize_t rows, first   # first: candidate 0's place among the priors
    View box, object, classes


cdef struct Rule:
    Function centre, size
    double size_w, size_h                  # factors inside the size function
    double object_power, class_power
    int x, y, w, h                         # which box column is which
    int bins, classes, background
    bint corners
    float score, overlap                   # thresholds of this call


cdef struct Found:
    Py_ssize_t count
    float *x1
    float *y1
    float *x2
    float *y2
    float *score
    int32_t *label


include "vision/decode.pxi"
include "vision/suppress.pxi"


cdef class BoxDecoder:
    """Built once for a model; see kernels/reference/boxes.py for the parameters."""

    cdef Group *groups
    cdef Py_ssize_t count, candidates, limit
    cdef Rule rule
    cdef Found found, kept
    cdef float *memory
    cdef uint32_t *order
    cdef tuple sizes           # bytes of each output
    cdef list owned            # the tables

    def __cinit__(self, *, tuple outputs, tuple groups, priors, tuple functions, tuple size_scales, tuple order, tuple powers,
                  bint corners, int bins, int classes, int background, Py_ssize_t limit):
        self.count, self.limit = len(groups), limit
        self.candidates = sum([group[0] for group in groups])
        self.groups = <Group *>calloc(self.count, sizeof(Group))
        # six numbers a prior, six a candidate, six a box that is kept (with room for a whole last vector)
        self.memory = <float *>calloc(12 * self.candidates + 6 * (limit + LANES), sizeof(float))
        self.order = <uint32_t *>calloc(3 * self.candidates, sizeof(uint32_t))
        if not (self.groups and self.memory and self.order):
            raise MemoryError(f"no memory for {self.candidates} candidates")
        self.owned, self.sizes = [], tuple([elements * (1 if dtype == "int8" else 4) for dtype, elements in outputs])
        self.rule.centre, self.rule.size = <Function>FUNCTIONS[functions[0]], <Function>FUNCTIONS[functions[1]]
        self.rule.size_w, self.rule.size_h = size_scales
        self.rule.object_power, self.rule.class_power = powers
        self.rule.x, self.rule.y, self.rule.w, self.rule.h = order
        self.rule.corners, self.rule.bins, self.rule.classes, self.rule.background = corners, bins, classes, background
        copy_floats(self.memory, priors, 6 * self.candidates)
        place(&self.found, self.memory + 6 * self.candidates, self.candidates)
        place(&self.kept, self.memory + 12 * self.candidates, limit + LANES)
        cdef Py_ssize_t i, first = 0
        for i in range(self.count):
            rows, box, objectness, label = groups[i]
            self.groups[i].rows, self.groups[i].first = rows, first
            self._view(&self.groups[i].box, box, rows, 4 * bins, outputs)
            self._view(&self.groups[i].object, objectness, rows, 1, outputs)
            self._view(&self.groups[i].classes, label, rows, classes, outputs)
            first += rows

    cdef _view(self, View *view, source, Py_ssize_t rows, Py_ssize_t columns, tuple outputs):
        if source is None:
            return
        index, view.offset, view.row, view.column, activation, tables = source
        dtype, elements = outputs[index]
        if view.offset + (rows - 1) * view.row + (columns - 1) * view.column >= elements or min(view.offset, view.row, view.column) < 0:
            raise ValueError(f"a view of {rows} rows and {columns} columns leaves output {index} of {elements} elements")
        view.output, view.activation, view.present = index, <Function>FUNCTIONS[activation], True
        view.is_float = dtype != "int8"
        for i, table in enumerate(tables):
            copy = bytes(table)
            if len(copy) != 1024:
                raise ValueError(f"a table of {len(copy)} bytes")
            self.owned.append(copy)
            view.tables[i] = <const float *><const char *>copy

    def __dealloc__(self):
        free(self.groups)
        free(self.memory)
        free(self.order)

    def __call__(self, list buffers, float score_threshold, float iou_threshold):
        """Boxes as tuples (x1, y1, x2, y2, score, class), best first, in pixels of the input.

        buffers: the bytes of each output. A box of a score below score_threshold is left out, and so is one that
        overlaps a better one of its class by more than iou_threshold.
        """
        if len(buffers) != len(self.sizes):
            raise ValueError(f"{len(buffers)} outputs instead of {len(self.sizes)}")
        cdef const char **data = <const char **>calloc(len(buffers) + 1, sizeof(char *))
        cdef Py_buffer *held = <Py_buffer *>calloc(len(buffers) + 1, sizeof(Py_buffer))
        cdef int taken = 0
        self.rule.score, self.rule.overlap = score_threshold, iou_threshold
        try:
            if data == NULL or held == NULL:
                raise MemoryError("no memory for the addresses of the outputs")
            for i in range(len(buffers)):
                PyObject_GetBuffer(buffers[i], &held[i], PyBUF_SIMPLE)
                taken += 1
                if held[i].len != <Py_ssize_t>self.sizes[i]:
                    raise ValueError(f"output {i} has {held[i].len} bytes instead of {self.sizes[i]}")
                data[i] = <const char *>held[i].buf
            with nogil:
                self._decode(data)
                self._suppress()
        finally:
            for i in range(taken):
                PyBuffer_Release(&held[i])
            free(data)
            free(held)
        return [(self.kept.x1[i], self.kept.y1[i], self.kept.x2[i], self.kept.y2[i], self.kept.score[i], self.kept.label[i])
                for i in range(self.kept.count)]

    cdef void _decode(self, const char **data) noexcept nogil:
        cdef Py_ssize_t i
        self.found.count = 0
        for i in range(self.count):
            if self.groups[i].classes.is_float:
                decode_group(<const float *>NULL, &self.groups[i], &self.rule, data, self.memory, &self.found)
            else:
                decode_group(<const int8_t *>NULL, &self.groups[i], &self.rule, data, self.memory, &self.found)

    cdef void _suppress(self) noexcept nogil:
        cdef Py_ssize_t i, at
        cdef Found *kept = &self.kept
        cdef Found *found = &self.found
        cdef uint32_t *order = best_first(self.order, found.score, found.count)
        kept.count = 0
        for i in range(self.limit + LANES):
            kept.label[i] = -1
        for i in range(found.count):
            at = order[i]
            if kept.count == self.limit:
                return
            if not is_hidden(found, at, kept, self.rule.overlap):
                copy_box(kept, kept.count, found, at)
                kept.count += 1


cdef void place(Found *found, float *memory, Py_ssize_t n) noexcept:
    found.x1, found.y1, found.x2, found.y2 = memory, memory + n, memory + 2 * n, memory + 3 * n
    found.score, found.label = memory + 4 * n, <int32_t *>(memory + 5 * n)


cdef int copy_floats(float *to, source, Py_ssize_t n) except -1:
    cdef Py_buffer view
    PyObject_GetBuffer(source, &view, PyBUF_SIMPLE)
    fits = view.len == n * <Py_ssize_t>sizeof(float)
    if fits:
        memcpy(to, view.buf, view.len)
    PyBuffer_Release(&view)
    if not fits:
        raise ValueError(f"priors of {view.len} bytes for {n} numbers")
    return 0
