# What every simd/<isa>.h defines; simd/scalar.h says in plain C what each word means. The ops/*.pxi are written over
# these names and nothing else, so one loop serves every instruction set.
#
# Loops over constant bounds must unroll and their accumulators stay in registers: a tile function is instantiated by
# calling it with constants, so here `cdef inline` means "inlined, always".

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

cdef extern from * nogil:
    """
    #undef CYTHON_INLINE
    #define CYTHON_INLINE inline __attribute__((always_inline))
    """
    enum:
        LANES
        TILE_ROWS
        TILE_VECS
        ROW_VECS
        ACT_FLIP
        WEIGHT_MIN
        BLOCK_GROUPS
        PANELS_TOGETHER
        HALF_LANES
        DW_CHANNELS
        DW_VECS
        DW_WEIGHT_MAX
        DW_QUADS
    double NARROW_MAX
    ctypedef struct i32v:
        pass
    ctypedef struct f32v:
        pass
    ctypedef struct i8v:
        pass
    ctypedef struct x4v:
        pass
    ctypedef struct xblock:
        pass
    ctypedef struct i32h:
        pass
    ctypedef struct requant:
        pass
    ctypedef int dw_weight  # int8_t or int16_t

    i32v i32_zero()
    i32v i32_set(int32_t v)
    i32v i32_load(const int32_t *p)
    void i32_store(int32_t *p, i32v v)
    i32v i32_add(i32v a, i32v b)
    i32v i32_sub(i32v a, i32v b)
    i32v i32_mul(i32v a, i32v b)
    i32v i32_max(i32v a, i32v b)
    i32v i32_from_i8(const int8_t *p)

    i8v i8_set(int8_t v)
    i8v i8_min(i8v a, i8v b)
    i8v i8_max(i8v a, i8v b)

    f32v f32_set(float v)
    f32v f32_load(const float *p)
    void f32_store(float *p, f32v v)
    f32v f32_from_i32(i32v v)
    void f32_from_words(f32v *v, const int8_t *p, int zero_point)
    f32v f32_add(f32v a, f32v b)
    f32v f32_sub(f32v a, f32v b)
    f32v f32_mul(f32v a, f32v b)
    f32v f32_div(f32v a, f32v b)
    f32v f32_min(f32v a, f32v b)
    f32v f32_max(f32v a, f32v b)

    requant requant_set(int clamp_min, int clamp_max, int zero_point)
    i8v narrow4(f32v a, f32v b, f32v c, f32v d, const requant *r)
    i8v narrow4_whole(f32v a, f32v b, f32v c, f32v d, const requant *r)
    i8v narrow_words(const f32v *v, const requant *r)
    void i8_store4(int8_t *out, i8v q)
    void i8_store2(int8_t *out, i8v q, int half)
    void i8_store1(int8_t *out, i8v q, int quarter)
    void i8_store_first(int8_t *out, i8v q, int quarter, int n)

    x4v x4_load(const uint8_t *p)
    i8v w_load(const int8_t *p)
    i32v dot4(i32v acc, x4v x, i8v w)
    i32v dot4_at(i32v acc, x4v x, const int8_t *w)
    int w_index(int lane, int k)

    xblock block_load(const uint8_t *p)
    xblock block_turn(xblock x, int step)
    const int8_t *w_load4(i8v *w, const int8_t *p)
    i32v dot_block(i32v acc, xblock x, i8v w, int step)
    int block_index(int lane, int k)

    i32h i32_load_half(const int32_t *p)
    x4v x4_load_half(const uint8_t *p)
    i32h dot4_half(i32h acc, x4v x, i8v w)
    i32v i32_join(i32h a, i32h b)
    f32v f32_twice(f32v a)
    void i8_store_half(int8_t *out, i8v q, int eighth, int n)

    int dw_channel(int v, int l)
    int dw_w_index(int v, int l, int tap)
    void dw_pair(i32v *acc, const int8_t *x0, const int8_t *x1, const dw_weight *w)
    void dw_store(int8_t *out, int n, const i32v *acc, const float *multiplier, const requant *r)

    int quad_channel(int vecs, int v, int l)
    void quad_load(int vecs, x4v *q, const uint8_t *r0, const uint8_t *r1, const uint8_t *r2)
    void quad_between(x4v *q, const x4v *left, const x4v *right)
    void quad_store(int vecs, int8_t *out, int n, f32v a, f32v b, f32v c, f32v d, const requant *r)

    Py_ssize_t lookup_blocks(uint8_t *out, const uint8_t *x, Py_ssize_t n, const uint8_t *table)
