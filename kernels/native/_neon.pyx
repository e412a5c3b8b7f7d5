# cython: cdivision=True
cdef extern from "simd/neon.h" nogil:
    pass
ISA = "neon"
include "vocabulary.pxi"
include "rows_vocabulary.pxi"
include "ops/all.pxi"
