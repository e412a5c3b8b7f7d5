# cython: cdivision=True
cdef extern from "simd/avx2.h" nogil:
    pass
ISA = "avx2"
include "vocabulary.pxi"
include "rows_vocabulary.pxi"
include "ops/all.pxi"
