/* The SIMD vocabulary on AVX2: 8 int32 lanes. vpmaddubsw adds two products in a saturating int16, so it gets |x| and the
   weight with x's sign: 2 * 128 * 127 fits. A weight of -128 could not change its sign, hence WEIGHT_MIN. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define LANES 8
#define TILE_ROWS 4      /* 4 rows x 2 vectors: 8 accumulators of 16 registers */
#define TILE_VECS 2
#define ROW_VECS 8
#define ACT_FLIP 0
#define WEIGHT_MIN (-127)
#define NARROW_MAX 2147480000.0
#define DW_CHANNELS 16
#define DW_VECS 2
#define DW_WEIGHT_MAX 32767

typedef __m256i i32v;
typedef __m256 f32v;
typedef __m256i i8v;
typedef __m256i x4v;
typedef int16_t dw_weight;

static inline i32v i32_zero(void) { return _mm256_setzero_si256(); }
static inline i32v i32_set(int32_t v) { return _mm256_set1_epi32(v); }
static inline i32v i32_load(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline void i32_store(int32_t *p, i32v v) { _mm256_storeu_si256((__m256i *)p, v); }
static inline i32v i32_add(i32v a, i32v b) { return _mm256_add_epi32(a, b); }
static inline i32v i32_sub(i32v a, i32v b) { return _mm256_sub_epi32(a, b); }
static inline i32v i32_mul(i32v a, i32v b) { return _mm256_mullo_epi32(a, b); }
static inline i32v i32_max(i32v a, i32v b) { return _mm256_max_epi32(a, b); }
static inline i32v i32_from_i8(const int8_t *p) { return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)); }

static inline i8v i8_set(int8_t v) { return _mm256_set1_epi8(v); }
static inline i8v i8_min(i8v a, i8v b) { return _mm256_min_epi8(a, b); }
static inline i8v i8_max(i8v a, i8v b) { return _mm256_max_epi8(a, b); }

static inline f32v f32_set(float v) { return _mm256_set1_ps(v); }
static inline f32v f32_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void f32_store(float *p, f32v v) { _mm256_storeu_ps(p, v); }
static inline f32v f32_from_i32(i32v v) { return _mm256_cvtepi32_ps(v); }
static inline f32v f32_add(f32v a, f32v b) { return _mm256_add_ps(a, b); }
static inline f32v f32_sub(f32v a, f32v b) { return _mm256_sub_ps(a, b); }
static inline f32v f32_mul(f32v a, f32v b) { return _mm256_mul_ps(a, b); }
static inline f32v f32_div(f32v a, f32v b) { return _mm256_div_ps(a, b); }
static inline f32v f32_min(f32v a, f32v b) { return _mm256_min_ps(a, b); }
static inline f32v f32_max(f32v a, f32v b) { return _mm256_max_ps(a, b); }

/* See avx512vnni.h. */
typedef struct { __m256i zero_point, lo, hi; } requant;

static inline requant requant_set(int clamp_min, int clamp_max, int zero_point)
{
    requant r = {_mm256_set1_epi16((int16_t)zero_point), _mm256_set1_epi8((int8_t)clamp_min), _mm256_set1_epi8((int8_t)clamp_max)};
    return r;
}
static inline __m256i words_of(f32v a, f32v b, const requant *r)
{
    return _mm256_adds_epi16(_mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b)), r->zero_point);
}
static inline __m256i bytes_of(__m256i ab, __m256i cd, const requant *r)
{
    return _mm256_min_epi8(_mm256_max_epi8(_mm256_packs_epi16(ab, cd), r->lo), r->hi);
}
static inline __m256i in_order(__m256i bytes) { return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)); }
static inline i8v narrow4(f32v a, f32v b, f32v c, f32v d, const requant *r) { return in_order(bytes_of(words_of(a, b, r), words_of(c, d, r), r)); }
static inline i8v narrow4_whole(f32v a, f32v b, f32v c, f32v d, const requant *r) { return in_order(_mm256_packs_epi16(words_of(a, b, r), words_of(c, d, r))); }
static inline void f32_from_words(f32v *v, const int8_t *p, int zero_point)
{
    __m256i x = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)p), _mm256_set1_epi8(-128)), zero = _mm256_setzero_si256();
    __m256i low = _mm256_unpacklo_epi8(x, zero), high = _mm256_unpackhi_epi8(x, zero), top = _mm256_set1_epi16(0x4B00);
    __m256 away = _mm256_set1_ps(8388608.0f + 128.0f + (float)zero_point);
    v[0] = _mm256_sub_ps(_mm256_castsi256_ps(_mm256_unpacklo_epi16(low, top)), away);
    v[1] = _mm256_sub_ps(_mm256_castsi256_ps(_mm256_unpackhi_epi16(low, top)), away);
    v[2] = _mm256_sub_ps(_mm256_castsi256_ps(_mm256_unpacklo_epi16(high, top)), away);
    v[3] = _mm256_sub_ps(_mm256_castsi256_ps(_mm256_unpackhi_epi16(high, top)), away);
}
static inline i8v narrow_words(const f32v *v, const requant *r) { return bytes_of(words_of(v[0], v[1], r), words_of(v[2], v[3], r), r); }
static inline void i8_store4(int8_t *out, i8v q) { _mm256_storeu_si256((__m256i *)out, q); }
static inline void i8_store2(int8_t *out, i8v q, int half)
{
    _mm_storeu_si128((__m128i *)out, half ? _mm256_extracti128_si256(q, 1) : _mm256_castsi256_si128(q));
}
static inline void i8_store1(int8_t *out, i8v q, int quarter)
{
    __m128i from = quarter < 2 ? _mm256_castsi256_si128(q) : _mm256_extracti128_si256(q, 1);
    if (quarter % 2) _mm_storeh_pd((double *)out, _mm_castsi128_pd(from)); else _mm_storel_epi64((__m128i *)out, from);
}
static inline void i8_store_first(int8_t *out, i8v q, int quarter, int n)
{
    int8_t bytes[32];
    _mm256_storeu_si256((__m256i *)bytes, q);
    memcpy(out, bytes + 8 * quarter, n);
}

static inline x4v x4_load(const uint8_t *p) { int32_t x; memcpy(&x, p, 4); return _mm256_set1_epi32(x); }
static inline i8v w_load(const int8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline i32v dot4(i32v acc, x4v x, i8v w)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(w, x));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
static inline i32v dot4_at(i32v acc, x4v x, const int8_t *w) { return dot4(acc, x, w_load(w)); }
static inline int w_index(int lane, int k) { return lane * 4 + k; }
#include "plain.h"

/* See avx512vnni.h: the same interleave, vpmaddwd and an add in place of vpdpwssd. */
static inline int dw_channel(int v, int l) { return (l / 4) * 8 + v * 4 + l % 4; }
static inline int dw_w_index(int v, int l, int tap) { return v * 2 * LANES + 2 * l + tap; }
static inline void dw_pair(i32v *acc, const int8_t *x0, const int8_t *x1, const dw_weight *w)
{
    __m256i a = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)x0));
    __m256i b = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)x1));
    const __m256i *ww = (const __m256i *)w;
    acc[0] = _mm256_add_epi32(acc[0], _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), _mm256_loadu_si256(ww)));
    acc[1] = _mm256_add_epi32(acc[1], _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), _mm256_loadu_si256(ww + 1)));
}
static inline void dw_store(int8_t *out, int n, const i32v *acc, const float *multiplier, const requant *r)
{
    f32v a = _mm256_mul_ps(_mm256_cvtepi32_ps(acc[0]), _mm256_loadu_ps(multiplier));
    f32v b = _mm256_mul_ps(_mm256_cvtepi32_ps(acc[1]), _mm256_loadu_ps(multiplier + 8));
    __m256i words = words_of(a, b, r);
    __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    bytes = _mm_min_epi8(_mm_max_epi8(bytes, _mm256_castsi256_si128(r->lo)), _mm256_castsi256_si128(r->hi));
    if (n >= 16) { _mm_storeu_si128((__m128i *)out, bytes); return; }
    int8_t tail[16];
    _mm_storeu_si128((__m128i *)tail, bytes);
    memcpy(out, tail, n);
}
#define DW_QUADS 0
#include "no_quads.h"
#include "no_halves.h"

static inline Py_ssize_t lookup_blocks(uint8_t *out, const uint8_t *x, Py_ssize_t n, const uint8_t *table) { return 0; }

#include "rows_avx2.h"
