# cython: cdivision=True
cdef extern from "simd/neondot.h" nogil:
    pass
ISA = "neondot"
include "vocabulary.pxi"
include "rows_vocabulary.pxi"
include "ops/all.pxi"
