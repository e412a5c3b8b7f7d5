# cython: cdivision=True
cdef extern from "simd/scalar.h" nogil:
    pass
ISA = "scalar"
include "vocabulary.pxi"
include "rows_vocabulary.pxi"
include "ops/all.pxi"
