/* See rows_scalar.h. vpdpbusd wants one unsigned operand: the weights, with their sign bit flipped. */
#define ROW_FLIP 128

static inline i32v i32_hold(i32v a) { __asm__("" : "+v"(a)); return a; }
static inline f32v f32_pow2(f32v shifted)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(127)), 23));
}
static inline i8v i8_load_first(const int8_t *p, int n) { return _mm512_maskz_loadu_epi8((1ull << n) - 1, p); }
static inline i32v dot_rows(i32v acc, i8v x, i8v w)
{
    return _mm512_dpbusd_epi32(acc, _mm512_xor_si512(w, _mm512_set1_epi8(-128)), x);
}
static inline i32v dot_nibbles(i32v acc, i8v x, i8v w) { return _mm512_dpbusd_epi32(acc, w, x); }
static inline i8v nibbles_low(i8v w) { return _mm512_and_si512(w, _mm512_set1_epi8(15)); }
static inline i8v nibbles_high(i8v w) { return _mm512_and_si512(_mm512_srli_epi16(w, 4), _mm512_set1_epi8(15)); }
static inline i32v group_scales(const int8_t *p)
{
    const __m128i each = _mm_setr_epi8(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    int32_t four;
    __builtin_memcpy(&four, p, 4);
    return _mm512_cvtepi8_epi32(_mm_shuffle_epi8(_mm_cvtsi32_si128(four), each));
}
static inline __m512i sums_of_pair(__m512i a, __m512i b)
{
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}
/* per 128 bits: the sums of a, b, c and d */
static inline __m512i sums_of_four(const i32v *a)
{
    __m512i ab = sums_of_pair(a[0], a[1]), cd = sums_of_pair(a[2], a[3]);
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}
static inline i32v i32_sums(const i32v *acc)
{
    __m512i a = sums_of_four(acc), b = sums_of_four(acc + 4), c = sums_of_four(acc + 8), d = sums_of_four(acc + 12);
    __m512i ab = _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x44), _mm512_shuffle_i32x4(a, b, 0xee));
    __m512i cd = _mm512_add_epi32(_mm512_shuffle_i32x4(c, d, 0x44), _mm512_shuffle_i32x4(c, d, 0xee));
    return _mm512_add_epi32(_mm512_shuffle_i32x4(ab, cd, 0x88), _mm512_shuffle_i32x4(ab, cd, 0xdd));
}
static inline i8v row_flip(i8v w) { return _mm512_xor_si512(w, _mm512_set1_epi8(-128)); }
/* 16 bytes of every fourth row: loads with a mask put each where it belongs, so only pieces of 4 x 4 are left to turn */
static inline __m512i quarters_of(const int8_t *const *rows, int i, int part)
{
#define ROW_PART(r) _mm_loadu_si128((const __m128i *)(rows[r] + 16 * part))
    __m512i v = _mm512_broadcast_i32x4(ROW_PART(i));
    v = _mm512_mask_broadcast_i32x4(v, 0x00f0, ROW_PART(i + 4));
    v = _mm512_mask_broadcast_i32x4(v, 0x0f00, ROW_PART(i + 8));
    return _mm512_mask_broadcast_i32x4(v, 0xf000, ROW_PART(i + 12));
#undef ROW_PART
}
static inline void panel_turn(i8v *panel, const int8_t *const *rows)
{
    for (int part = 0; part < 4; part++) {
        __m512i v[4];
        for (int i = 0; i < 4; i++) v[i] = quarters_of(rows, i, part);
        __m512i low01 = _mm512_unpacklo_epi32(v[0], v[1]), high01 = _mm512_unpackhi_epi32(v[0], v[1]);
        __m512i low23 = _mm512_unpacklo_epi32(v[2], v[3]), high23 = _mm512_unpackhi_epi32(v[2], v[3]);
        panel[4 * part] = _mm512_unpacklo_epi64(low01, low23);
        panel[4 * part + 1] = _mm512_unpackhi_epi64(low01, low23);
        panel[4 * part + 2] = _mm512_unpacklo_epi64(high01, high23);
        panel[4 * part + 3] = _mm512_unpackhi_epi64(high01, high23);
    }
}
static inline i32v dot_panel(i32v acc, x4v x, i8v w) { __asm__("vpdpbusd %1, %2, %0" : "+v"(acc) : "v"(x), "v"(w)); return acc; }
static inline i32v dot_panel_nibbles(i32v acc, x4v x, i8v w) { return dot_panel(acc, x, w); }
static inline __attribute__((always_inline)) void prefetch(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T1); }
