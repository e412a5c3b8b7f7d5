/* The SIMD vocabulary on AVX-512 with VNNI: 16 int32 lanes. vpdpbusd multiplies unsigned by signed bytes, so activations
   are stored with their sign bit flipped (ACT_FLIP) and the packer takes 128 * sum(w) out of the bias. */
#include <immintrin.h>
#include <stdint.h>

#define LANES 16
#define TILE_ROWS 8      /* 8 rows x 2 vectors: 16 accumulators, 2 weights, 1 activation of 32 registers */
#define TILE_VECS 2
#define ROW_VECS 8
#define ACT_FLIP 0x80
#define WEIGHT_MIN (-128)
#define NARROW_MAX 2147480000.0 /* beyond 2**31 cvtps has one answer for both signs */
#define DW_CHANNELS 32   /* channels per depthwise block: one 32-byte load a tap */
#define DW_VECS 2
#define DW_WEIGHT_MAX 32767  /* weights of a tap, zero point already taken off */

typedef __m512i i32v;
typedef __m512 f32v;
typedef __m512i i8v;     /* LANES groups of 4 weights */
typedef __m512i x4v;     /* 4 activations, the same in every lane */
typedef int16_t dw_weight;

static inline i32v i32_zero(void) { return _mm512_setzero_si512(); }
static inline i32v i32_set(int32_t v) { return _mm512_set1_epi32(v); }
static inline i32v i32_load(const int32_t *p) { return _mm512_loadu_si512(p); }
static inline void i32_store(int32_t *p, i32v v) { _mm512_storeu_si512(p, v); }
static inline i32v i32_add(i32v a, i32v b) { return _mm512_add_epi32(a, b); }
static inline i32v i32_sub(i32v a, i32v b) { return _mm512_sub_epi32(a, b); }
static inline i32v i32_mul(i32v a, i32v b) { return _mm512_mullo_epi32(a, b); }
static inline i32v i32_max(i32v a, i32v b) { return _mm512_max_epi32(a, b); }
static inline i32v i32_from_i8(const int8_t *p) { return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)); }

static inline i8v i8_set(int8_t v) { return _mm512_set1_epi8(v); }
static inline i8v i8_min(i8v a, i8v b) { return _mm512_min_epi8(a, b); }
static inline i8v i8_max(i8v a, i8v b) { return _mm512_max_epi8(a, b); }

static inline f32v f32_set(float v) { return _mm512_set1_ps(v); }
static inline f32v f32_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void f32_store(float *p, f32v v) { _mm512_storeu_ps(p, v); }
static inline f32v f32_from_i32(i32v v) { return _mm512_cvtepi32_ps(v); }
static inline f32v f32_add(f32v a, f32v b) { return _mm512_add_ps(a, b); }
static inline f32v f32_sub(f32v a, f32v b) { return _mm512_sub_ps(a, b); }
static inline f32v f32_mul(f32v a, f32v b) { return _mm512_mul_ps(a, b); }
static inline f32v f32_div(f32v a, f32v b) { return _mm512_div_ps(a, b); }
static inline f32v f32_min(f32v a, f32v b) { return _mm512_min_ps(a, b); }
static inline f32v f32_max(f32v a, f32v b) { return _mm512_max_ps(a, b); }

/* The end of every int8 kernel. Saturating packs and clamps on words: four times fewer instructions than on floats. NaN
   becomes INT_MIN and so the lower clamp. */
typedef struct { __m512i zero_point, lo, hi; } requant;

static inline requant requant_set(int clamp_min, int clamp_max, int zero_point)
{
    requant r = {_mm512_set1_epi16((int16_t)zero_point), _mm512_set1_epi8((int8_t)clamp_min), _mm512_set1_epi8((int8_t)clamp_max)};
    return r;
}
static inline __m512i words_of(f32v a, f32v b, const requant *r)
{
    return _mm512_adds_epi16(_mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b)), r->zero_point);
}
static inline __m512i bytes_of(__m512i ab, __m512i cd, const requant *r)
{
    return _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(ab, cd), r->lo), r->hi);
}
static inline __m512i in_order(__m512i bytes)
{
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), bytes);
}
static inline i8v narrow4(f32v a, f32v b, f32v c, f32v d, const requant *r) { return in_order(bytes_of(words_of(a, b, r), words_of(c, d, r), r)); }
static inline i8v narrow4_whole(f32v a, f32v b, f32v c, f32v d, const requant *r) { return in_order(_mm512_packs_epi16(words_of(a, b, r), words_of(c, d, r))); }
/* A byte behind 0x4B0000 is the number 2**23 + byte: unpacking makes floats. Order as packing leaves it: quad_channel's. */
static inline void f32_from_words(f32v *v, const int8_t *p, int zero_point)
{
    __m512i x = _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi8(-128)), zero = _mm512_setzero_si512();
    __m512i low = _mm512_unpacklo_epi8(x, zero), high = _mm512_unpackhi_epi8(x, zero), top = _mm512_set1_epi16(0x4B00);
    __m512 away = _mm512_set1_ps(8388608.0f + 128.0f + (float)zero_point);
    v[0] = _mm512_sub_ps(_mm512_castsi512_ps(_mm512_unpacklo_epi16(low, top)), away);
    v[1] = _mm512_sub_ps(_mm512_castsi512_ps(_mm512_unpackhi_epi16(low, top)), away);
    v[2] = _mm512_sub_ps(_mm512_castsi512_ps(_mm512_unpacklo_epi16(high, top)), away);
    v[3] = _mm512_sub_ps(_mm512_castsi512_ps(_mm512_unpackhi_epi16(high, top)), away);
}
static inline i8v narrow_words(const f32v *v, const requant *r) { return bytes_of(words_of(v[0], v[1], r), words_of(v[2], v[3], r), r); }
static inline void i8_store4(int8_t *out, i8v q) { _mm512_storeu_si512(out, q); }
static inline void i8_store2(int8_t *out, i8v q, int half)
{
    _mm256_storeu_si256((__m256i *)out, half ? _mm512_extracti64x4_epi64(q, 1) : _mm512_castsi512_si256(q));
}
static inline void i8_store1(int8_t *out, i8v q, int quarter)
{
    __m128i from = quarter == 0 ? _mm512_castsi512_si128(q) : quarter == 1 ? _mm512_extracti32x4_epi32(q, 1) : quarter == 2 ? _mm512_extracti32x4_epi32(q, 2) : _mm512_extracti32x4_epi32(q, 3);
    _mm_storeu_si128((__m128i *)out, from);
}
static inline void i8_store_first(int8_t *out, i8v q, int quarter, int n)
{
    __m512i from = quarter == 0 ? q : quarter == 1 ? _mm512_alignr_epi64(q, q, 2) : quarter == 2 ? _mm512_alignr_epi64(q, q, 4) : _mm512_alignr_epi64(q, q, 6);
    _mm512_mask_storeu_epi8(out, n >= 64 ? ~0ull : (1ull << n) - 1, from);
}

static inline x4v x4_load(const uint8_t *p) { int32_t x; __builtin_memcpy(&x, p, 4); return _mm512_set1_epi32(x); }
static inline i8v w_load(const int8_t *p) { return _mm512_loadu_si512(p); }
/* Not the intrinsic: it changes the type of `acc` back and forth, and GCC makes two moves of that for every sum. */
static inline i32v dot4(i32v acc, x4v x, i8v w) { __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(w)); return acc; }
static inline i32v dot4_at(i32v acc, x4v x, const int8_t *w)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "m"(*(const __m512i_u *)w));
    return acc;
}
static inline int w_index(int lane, int k) { return lane * 4 + k; }
#include "plain.h"

/* A last panel of at most HALF_LANES channels: where a 512-bit instruction is done as two of 256, half of it is half the time. */
#define HALF_LANES 8
typedef __m256i i32h;
static inline i32h i32_load_half(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline x4v x4_load_half(const uint8_t *p) { int32_t x; __builtin_memcpy(&x, p, 4); return _mm512_castsi256_si512(_mm256_set1_epi32(x)); }
static inline i32h dot4_half(i32h acc, x4v x, i8v w)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(_mm512_castsi512_si256(x)), "v"(_mm512_castsi512_si256(w)));
    return acc;
}
static inline i32v i32_join(i32h a, i32h b) { return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1); }
static inline f32v f32_twice(f32v a) { return _mm512_shuffle_f32x4(a, a, 0x44); }
static inline void i8_store_half(int8_t *out, i8v q, int eighth, int n)
{
    __m128i from = eighth < 2 ? _mm512_castsi512_si128(q) : eighth < 4 ? _mm512_extracti32x4_epi32(q, 1) : eighth < 6 ? _mm512_extracti32x4_epi32(q, 2) : _mm512_extracti32x4_epi32(q, 3);
    if (eighth % 2) from = _mm_unpackhi_epi64(from, from);
    if (n >= 8) _mm_storel_epi64((__m128i *)out, from);
    else _mm_mask_storeu_epi8(out, (__mmask16)((1 << n) - 1), from);
}

/* Two taps of DW_CHANNELS channels: acc[v] += x0 * w0 + x1 * w1. Words of the two taps are interleaved inside each
   128-bit lane for vpdpwssd, so accumulator v, lane l holds channel dw_channel(v, l); packing narrows them back in order. */
static inline int dw_channel(int v, int l) { return (l / 4) * 8 + v * 4 + l % 4; }
static inline int dw_w_index(int v, int l, int tap) { return v * 2 * LANES + 2 * l + tap; }
static inline void dw_pair(i32v *acc, const int8_t *x0, const int8_t *x1, const dw_weight *w)
{
    __m512i a = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)x0));
    __m512i b = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)x1));
    acc[0] = _mm512_dpwssd_epi32(acc[0], _mm512_unpacklo_epi16(a, b), _mm512_loadu_si512(w));
    acc[1] = _mm512_dpwssd_epi32(acc[1], _mm512_unpackhi_epi16(a, b), _mm512_loadu_si512(w + 32));
}
static inline void dw_store(int8_t *out, int n, const i32v *acc, const float *multiplier, const requant *r)
{
    f32v a = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[0]), _mm512_loadu_ps(multiplier));
    f32v b = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[1]), _mm512_loadu_ps(multiplier + 16));
    __m512i words = words_of(a, b, r);
    __m256i bytes = _mm256_max_epi8(_mm512_cvtsepi16_epi8(words), _mm512_castsi512_si256(r->lo));
    bytes = _mm256_min_epi8(bytes, _mm512_castsi512_si256(r->hi));
    if (n >= 32) _mm256_storeu_si256((__m256i *)out, bytes);
    else _mm256_mask_storeu_epi8(out, (__mmask32)((1ull << n) - 1), bytes);
}

/* Three rows of `vecs` * LANES channels become vectors whose lanes hold one channel's three bytes; the fourth meets a zero. */
#define DW_QUADS 1
static inline int quad_channel(int vecs, int v, int l) { return l / 4 * 4 * vecs + v * 4 + l % 4; }
static inline void quad_load(int vecs, x4v *q, const uint8_t *r0, const uint8_t *r1, const uint8_t *r2)
{
    if (vecs == 1) {
        __m512i a = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)r0)), b = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)r1));
        __m512i c = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)r2));
        q[0] = _mm512_ternarylogic_epi32(a, _mm512_slli_epi32(b, 8), _mm512_slli_epi32(c, 16), 0xfe);
        return;
    }
    if (vecs == 2) {
        __m512i a = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)r0)), b = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)r1));
        __m512i c = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)r2)), pairs = _mm512_or_si512(a, _mm512_slli_epi16(b, 8));
        q[0] = _mm512_unpacklo_epi16(pairs, c);
        q[1] = _mm512_unpackhi_epi16(pairs, c);
        return;
    }
    __m512i a = _mm512_loadu_si512(r0), b = _mm512_loadu_si512(r1), c = _mm512_loadu_si512(r2);
    __m512i ab = _mm512_unpacklo_epi8(a, b), cc = _mm512_unpacklo_epi8(c, c);
    q[0] = _mm512_unpacklo_epi16(ab, cc);
    q[1] = _mm512_unpackhi_epi16(ab, cc);
    ab = _mm512_unpackhi_epi8(a, b), cc = _mm512_unpackhi_epi8(c, c);
    q[2] = _mm512_unpacklo_epi16(ab, cc);
    q[3] = _mm512_unpackhi_epi16(ab, cc);
}
/* Columns of 2 * LANES channels beside each other: what begins in the middle of one and ends in that of the next. */
static inline void quad_between(x4v *q, const x4v *left, const x4v *right)
{
    for (int v = 0; v < 4; v++) q[v] = _mm512_alignr_epi64(right[v], left[v], 4);
}
static inline void quad_store(int vecs, int8_t *out, int n, f32v a, f32v b, f32v c, f32v d, const requant *r)
{
    __m512i words = words_of(a, b, r);
    if (vecs == 4) {
        __m512i bytes = bytes_of(words, words_of(c, d, r), r);
        if (n >= 64) _mm512_storeu_si512(out, bytes); else _mm512_mask_storeu_epi8(out, (1ull << n) - 1, bytes);
        return;
    }
    __m256i bytes = _mm256_max_epi8(_mm512_cvtsepi16_epi8(words), _mm512_castsi512_si256(r->lo));
    bytes = _mm256_min_epi8(bytes, _mm512_castsi512_si256(r->hi));
    if (vecs == 2) {
        if (n >= 32) _mm256_storeu_si256((__m256i *)out, bytes); else _mm256_mask_storeu_epi8(out, (1u << n) - 1, bytes);
        return;
    }
    __m128i first = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6)));
    if (n >= 16) _mm_storeu_si128((__m128i *)out, first); else _mm_mask_storeu_epi8(out, (__mmask16)((1u << n) - 1), first);
}

/* Every CPU with VNNI but one generation also has VBMI, whose byte permutation is a table of 128. */
__attribute__((target("avx512vbmi"))) static Py_ssize_t lookup_vbmi(uint8_t *out, const uint8_t *x, Py_ssize_t n, const uint8_t *table)
{
    __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64);
    __m512i t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
    Py_ssize_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m512i index = _mm512_loadu_si512(x + i);
        __m512i low = _mm512_permutex2var_epi8(t0, index, t1), high = _mm512_permutex2var_epi8(t2, index, t3);
        _mm512_storeu_si512(out + i, _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high));
    }
    return i;
}
static inline Py_ssize_t lookup_blocks(uint8_t *out, const uint8_t *x, Py_ssize_t n, const uint8_t *table)
{
    return __builtin_cpu_supports("avx512vbmi") ? lookup_vbmi(out, x, n, table) : 0;
}

#include "rows_avx512vnni.h"
