# The part of the vocabulary that language models need: simd/rows_<isa>.h; rows_scalar.h says what each word means.

cdef extern from * nogil:
    """
    #define VECTOR_BYTES (4 * LANES)
    #define PARTS (16 / LANES)          /* vectors that hold 16 partial sums */
    #define BLOCK_WEIGHTS 16            /* rows of weights that a product works on at once; a multiple of LANES */
    #define GROUPS_AT_ONCE (LANES / 4)  /* groups of int4 weights in a vector */
    #define PANEL_OUTPUTS (TILE_VECS * LANES) /* rows of weights that are turned into panels at once */
    """
    enum:
        VECTOR_BYTES
        PARTS
        BLOCK_WEIGHTS
        GROUPS_AT_ONCE
        PANEL_OUTPUTS
        ROW_FLIP
    i32v i32_hold(i32v a)
    f32v f32_pow2(f32v shifted)
    i8v i8_load_first(const int8_t *p, int n)
    i32v dot_rows(i32v acc, i8v x, i8v w)
    i32v dot_nibbles(i32v acc, i8v x, i8v w)
    i8v nibbles_low(i8v w)
    i8v nibbles_high(i8v w)
    i32v group_scales(const int8_t *p)
    i32v i32_sums(const i32v *acc)
    i8v row_flip(i8v w)
    void panel_turn(i8v *panel, const int8_t *const *rows)
    i32v dot_panel(i32v acc, x4v x, i8v w)
    i32v dot_panel_nibbles(i32v acc, x4v x, i8v w)
    void prefetch(const void *p)
