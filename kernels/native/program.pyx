# cython: language_level=3
"""The executor: a list of steps in one loop, without Python between them.

Independent of the instruction set: an ISA module's `bind` gives `Step` objects, the planner gives the addresses they
work on, and `Program.run` walks the list with the GIL released. A Python callable (a reference op) may stand in the list
too; it splits the loop there.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.stdlib cimport posix_memalign
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec


cdef extern from "step.h" nogil:
    ctypedef void (*edgert_kernel)(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil
    ctypedef struct edgert_step:
        edgert_kernel kernel
        const void *params
        char **tensors
        int parallel

cdef extern from "<unistd.h>" nogil:
    int _SC_PAGESIZE, _SC_PHYS_PAGES
    long sysconf(int name)

cdef extern from "<sys/mman.h>" nogil:
    int PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MADV_HUGEPAGE, MREMAP_MAYMOVE, MREMAP_FIXED
    void *MAP_FAILED
    void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset)
    void *mremap(void *address, size_t length, size_t new_length, int flags, void *new_address)
    int munmap(void *address, size_t length)
    int mprotect(void *address, size_t length, int protection)
    int madvise(void *address, size_t length, int advice)

cdef extern from "pool.h" nogil:
    ctypedef struct edgert_pool:
        pass
    edgert_pool *pool_start(int n_threads, char *scratch, size_t scratch_stride)
    void pool_stop(edgert_pool *pool)
    void pool_run(edgert_pool *pool, const edgert_step *step)

cdef extern from "cpu_flags.h" nogil:
    int cpu_has_avx2()
    int cpu_has_avx512vnni()
    int cpu_has_neon()
    int cpu_has_asimddp()

cdef enum:
    ALIGNMENT = 64
    BRIEF_NS = 100000  # runs shorter than this keep the interpreter's lock: Python's own threads wait 50 times as long for it


def cpu_flags():
    """The flags of this CPU that a tier may need, as a tuple of names."""
    known = (("avx2", cpu_has_avx2()), ("avx512vnni", cpu_has_avx512vnni()), ("neon", cpu_has_neon()), ("asimddp", cpu_has_asimddp()))
    return tuple([name for name, present in known if present])


def address_of(buffer):
    """Address of the first byte of a contiguous bytes-like object, which the caller keeps alive."""
    cdef Py_buffer view
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    address = <uintptr_t>view.buf
    PyBuffer_Release(&view)
    return address


HUGE_PAGE = 2097152  # bytes: of x86-64, and of 64-bit Arm with pages of 4 KiB


cdef bint move_page(char *at, Py_ssize_t nbytes) noexcept nogil:
    """Put a copy of `nbytes` read-only bytes, in a huge page if there is one, in their place."""
    cdef char *room = <char *>mmap(NULL, 2 * nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    cdef char *page
    cdef bint moved
    if room == <char *>MAP_FAILED:
        return False
    page = <char *>((<uintptr_t>room + nbytes - 1) // nbytes * nbytes)
    moved = madvise(page, nbytes, MADV_HUGEPAGE) == 0
    if moved:
        memcpy(page, at, nbytes)
        moved = mprotect(page, nbytes, PROT_READ) == 0 and \
            mremap(page, nbytes, nbytes, MREMAP_MAYMOVE | MREMAP_FIXED, at) == <void *>at
    if page > room:
        munmap(room, page - room)
    if moved:
        munmap(page + nbytes, room + nbytes - page)
    else:
        munmap(page, room + 2 * nbytes - page)
    return moved


def into_huge_pages(uintptr_t address, Py_ssize_t nbytes):
    """Move mapped, read-only memory into huge pages without changing its address; both multiples of HUGE_PAGE.

    Returns: whether all of it was moved; what was not stays as it is.
    """
    cdef Py_ssize_t at
    cdef bint moved = True
    with nogil:
        for at in range(0, nbytes, 2097152):
            if not move_page(<char *>address + at, 2097152):
                moved = False
                break
    return moved


cdef class AlignedBuffer:
    """`nbytes` of zeroed memory, aligned to 64 bytes, as a writable buffer."""

    cdef char *data
    cdef readonly Py_ssize_t nbytes

    def __cinit__(self, Py_ssize_t nbytes):
        if nbytes < 0:
            raise ValueError(f"a buffer cannot have {nbytes} bytes")
        self.nbytes = nbytes
        if posix_memalign(<void **>&self.data, ALIGNMENT, max(nbytes, 1)):
            raise MemoryError(f"no {nbytes} bytes of memory left")
        memset(self.data, 0, max(nbytes, 1))

    def __dealloc__(self):
        free(self.data)

    @property
    def address(self):
        return <uintptr_t>self.data

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.data, self.nbytes, 0, flags)

    def __len__(self):
        return self.nbytes


cdef class Step:
    """A kernel bound to its parameters. `params` owns the memory at `params_address` and all that it points to."""

    cdef readonly str name
    cdef readonly object params
    cdef readonly uintptr_t address, params_address
    cdef readonly Py_ssize_t scratch_bytes
    cdef readonly bint parallel

    def __init__(self, str name, uintptr_t address, params, uintptr_t params_address, Py_ssize_t scratch_bytes=0, bint parallel=False):
        self.name = name
        self.address = address
        self.params = params
        self.params_address = params_address
        self.scratch_bytes = scratch_bytes
        self.parallel = parallel

    def __repr__(self):
        return f"<Step {self.name}>"


cdef inline int64_t now_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t>t.tv_sec * 1000000000 + t.tv_nsec


cdef class Program:
    """A list of steps and the threads that run them.

    steps: list of (Step, addresses of its inputs then outputs, 0 for absent) or (callable, None). threads: workers
    including the caller; with 1 no thread is created. Not re-entrant: the Session holds a lock (see `call.pxi`).
    """

    cdef edgert_step *steps
    cdef char **addresses
    cdef int64_t *times
    cdef Py_ssize_t count
    cdef edgert_pool *pool
    cdef char *scratch
    cdef bint timed
    cdef bint brief        # a run without Python and without other threads was seen to take less than BRIEF_NS
    cdef readonly int threads
    cdef list callables    # a callable at its index, None for a native step
    cdef list spans        # (first, one past last) of native runs, (index, -1) of a callable
    cdef object owned      # steps and scratch: kept alive as long as the program

    def __cinit__(self, list steps, int threads=1):
        cdef Py_ssize_t i, slot = 0
        if threads < 1:
            raise ValueError(f"a program needs at least 1 thread, got {threads}")
        self.count = len(steps)
        self.threads = threads
        self.steps = <edgert_step *>calloc(self.count + 1, sizeof(edgert_step))
        self.times = <int64_t *>calloc(self.count + 1, sizeof(int64_t))
        self.addresses = <char **>calloc(sum([len(addresses) for _, addresses in steps if addresses is not None]) + 1, sizeof(char *))
        if not (self.steps and self.times and self.addresses):
            raise MemoryError(f"no memory for a program of {self.count} steps")
        self.callables = [None] * self.count
        self.spans = []
        for i, (step, addresses) in enumerate(steps):
            if addresses is None:
                self.callables[i] = step
                self.spans.append((i, -1))
            else:
                slot = self._bind(i, step, addresses, slot)
        self._allocate(steps)

    cdef Py_ssize_t _bind(self, Py_ssize_t i, Step step, tuple addresses, Py_ssize_t slot) except -1:
        cdef edgert_step *bound = &self.steps[i]
        bound.kernel = <edgert_kernel>step.address
        bound.params = <const void *>step.params_address
        bound.parallel = step.parallel
        bound.tensors = self.addresses + slot
        for address in addresses:
            self.addresses[slot] = <char *><uintptr_t>address
            slot += 1
        if self.spans and self.spans[-1][1] == i:
            self.spans[-1] = (self.spans[-1][0], i + 1)
        else:
            self.spans.append((i, i + 1))
        return slot

    cdef _allocate(self, list steps):
        cdef Py_ssize_t stride = 0
        for step, addresses in steps:
            if addresses is not None:
                stride = max(stride, (<Step>step).scratch_bytes)
        stride = (stride + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        # A few bytes of a file can ask for any amount: huge dilations and pads make huge bands.
        if stride > sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) // self.threads:
            raise MemoryError(f"{self.threads} threads need {stride} bytes of scratch each")
        # 64 bytes of slack: kernels may read past the end of a row, never write
        scratch = AlignedBuffer(stride * self.threads + ALIGNMENT)
        self.scratch = (<AlignedBuffer>scratch).data
        self.owned = (steps, scratch)
        if self.threads > 1:
            self.pool = pool_start(self.threads, self.scratch, stride)
            if self.pool == NULL:
                raise MemoryError(f"the system does not give {self.threads} threads")

    def __dealloc__(self):
        with nogil:
            pool_stop(self.pool)
        free(self.steps)
        free(self.addresses)
        free(self.times)

    def profile(self, bint enabled):
        """Switch per-step timing on or off."""
        self.timed = enabled

    def times_ns(self):
        """Nanoseconds each step took in the last profiled run."""
        return [self.times[i] for i in range(self.count)]

    cdef void _run_native(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        cdef Py_ssize_t i
        cdef edgert_step *step
        cdef int64_t start = now_ns() if self.timed else 0, end
        for i in range(first, last):
            step = &self.steps[i]
            if self.pool != NULL and step.parallel:
                pool_run(self.pool, step)
            else:
                step.kernel(step.params, step.tensors, self.scratch, 0, 1)
            if self.timed:
                end = now_ns()
                self.times[i] = end - start
                start = end

    def run(self):
        """Run every step once, in order."""
        self.run_all()

    cdef int run_all(self) except -1:
        cdef Py_ssize_t first, last
        cdef int64_t start
        if self.brief:
            self._run_native(0, self.count)
            return 0
        for first, last in self.spans:
            start = now_ns()
            if last >= 0:
                with nogil:
                    self._run_native(first, last)
                    if self.pool == NULL and last - first == self.count:
                        self.brief = now_ns() - start < BRIEF_NS
            else:
                self.callables[first]()
                self.times[first] = now_ns() - start
        return 0


include "call.pxi"
