# A whole call of a program with one trip through the interpreter: check the inputs, copy them in, run, copy the outputs
# out. A model of a few microseconds spends a third of its time on this.

from cpython.buffer cimport PyBUF_ND, PyBUF_WRITABLE
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromObject
from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock, PyThread_type_lock, WAIT_LOCK,
)


cdef class Lock:
    """A lock for `with`, as `_thread.allocate_lock` gives; `Call` takes it without Python's help, ten times faster."""

    cdef PyThread_type_lock lock

    def __cinit__(self):
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError("no memory for a lock")

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_free_lock(self.lock)

    cdef void take(self) noexcept:
        if not PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
            with nogil:
                PyThread_acquire_lock(self.lock, WAIT_LOCK)

    def __enter__(self):
        self.take()

    def __exit__(self, *error):
        PyThread_release_lock(self.lock)


cdef struct Place:
    # an input or output of the program
    char *at
    Py_ssize_t nbytes


cdef class Call:
    """Runs a program on what it is given, under its `lock`.

    inputs, outputs: lists of (address, bytes). Every method returns None, with nothing run, for inputs that are not
    exactly as declared: the careful way, in Python, then says what is wrong with which, or converts them.
    """

    cdef Program program
    cdef readonly Lock lock
    cdef Place *places         # inputs, then outputs
    cdef Py_ssize_t n_inputs
    cdef Py_ssize_t n_outputs
    cdef object ndarray
    cdef object empty
    cdef list declared         # (shape, dtype) of each place

    def __cinit__(self, Program program, list inputs, list outputs):
        cdef Py_ssize_t i = 0
        self.program, self.lock = program, Lock()
        self.n_inputs, self.n_outputs = len(inputs), len(outputs)
        self.places = <Place *>calloc(self.n_inputs + self.n_outputs + 1, sizeof(Place))
        if self.places == NULL:
            raise MemoryError("no memory for the places of inputs and outputs")
        for address, nbytes in inputs + outputs:
            self.places[i].at, self.places[i].nbytes = <char *><uintptr_t>address, nbytes
            i += 1

    def __dealloc__(self):
        free(self.places)

    def declare(self, ndarray, empty, list declared):
        """What `on_arrays` needs of NumPy: the type, numpy.empty, and (shape, dtype) of every input, then output."""
        self.ndarray, self.empty, self.declared = ndarray, empty, declared

    def on_buffers(self, buffers):
        """Bytes-likes, C-contiguous and of the inputs' sizes, to a list of memoryviews of bytes."""
        cdef Py_ssize_t i
        cdef Place *place
        if len(buffers) != self.n_inputs:
            return None
        self.lock.take()
        try:
            if not self.load(buffers, False):
                return None
            self.program.run_all()
            results = []
            for i in range(self.n_outputs):
                place = &self.places[self.n_inputs + i]
                results.append(PyMemoryView_FromObject(PyBytes_FromStringAndSize(place.at, place.nbytes)))
            return results
        finally:
            PyThread_release_lock(self.lock.lock)

    def on_arrays(self, arrays):
        """C-contiguous ndarrays of the declared shapes and dtypes to a list of new ones."""
        cdef Py_ssize_t i
        if len(arrays) != self.n_inputs:
            return None
        for i in range(self.n_inputs):
            if type(arrays[i]) is not self.ndarray or arrays[i].dtype is not (<tuple>self.declared[i])[1]:
                return None
        self.lock.take()
        try:
            if not self.load(arrays, True):
                return None
            self.program.run_all()
            results = []
            for i in range(self.n_inputs, self.n_inputs + self.n_outputs):
                shape, dtype = <tuple>self.declared[i]
                result = self.empty(shape, dtype)
                copy_out(result, &self.places[i])
                results.append(result)
            return results
        finally:
            PyThread_release_lock(self.lock.lock)

    cdef bint load(self, sources, bint shaped) except -1:
        """Copy the inputs into place if all of them fit; all are looked at before one is copied."""
        cdef Py_ssize_t i
        cdef bint copies
        for copies in range(self.n_inputs == 1, 2):
            for i in range(self.n_inputs):
                shape = <tuple>(<tuple>self.declared[i])[0] if shaped else None
                if not copy_in(sources[i], &self.places[i], shape, copies):
                    return False
        return True


cdef bint copy_in(source, const Place *place, tuple shape, bint copies) except -1:
    """Whether `source` is a C-contiguous buffer of the place's size (and of that shape, unless None); copied if so."""
    cdef Py_buffer view
    cdef bint fits
    try:
        PyObject_GetBuffer(source, &view, PyBUF_SIMPLE if shape is None else PyBUF_ND)
    except (TypeError, ValueError, BufferError):
        return False
    fits = view.len == place.nbytes and (shape is None or has_shape(&view, shape))
    if fits and copies:
        memcpy(place.at, view.buf, place.nbytes)
    PyBuffer_Release(&view)
    return fits


cdef bint has_shape(const Py_buffer *view, tuple shape):
    cdef Py_ssize_t i
    if view.ndim != len(shape):
        return False
    for i in range(view.ndim):
        if view.shape[i] != <Py_ssize_t>shape[i]:
            return False
    return True


cdef int copy_out(target, const Place *place) except -1:
    """Into a new array of the place's size."""
    cdef Py_buffer view
    PyObject_GetBuffer(target, &view, PyBUF_WRITABLE)
    memcpy(view.buf, place.at, place.nbytes)
    PyBuffer_Release(&view)
    return 0
