# cython: cdivision=True
cdef extern from "simd/avx512vnni.h" nogil:
    pass
ISA = "avx512vnni"
include "vocabulary.pxi"
include "rows_vocabulary.pxi"
include "ops/all.pxi"
