/* The SIMD vocabulary on AVX-512 with VNNI: 16 int32 lanes. vpdpbusd multiplies unsigned by signed bytes, so activations
   are stored with their sign bit flipped (ACT_FLIP) and the packer takes 128 * sum(w) out of the bias. */
#include <immintrin.h>
#include <stdint.h>

#define LANES 16
#define TILE_ROWS 8      /* 8 rows x 2 vectors: 16 accumulators, 2 weights, 1 activation of 32 registers */
#define TILE_VECS 2
#define ACT_FLIP 0x80
#define WEIGHT_MIN (-128)
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
static inline i32v i32_add(i32v a, i32v b) { return _mm512_add_epi32(a, b); }
static inline i32v i32_sub(i32v a, i32v b) { return _mm512_sub_epi32(a, b); }
static inline i32v i32_mul(i32v a, i32v b) { return _mm512_mullo_epi32(a, b); }
static inline i32v i32_max(i32v a, i32v b) { return _mm512_max_epi32(a, b); }
static inline i32v i32_from_i8(const int8_t *p) { return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)); }

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

/* Clamp, round half to even, add the zero point, keep the low byte. lo and hi hold clamp - zero_point. */
static inline __m128i narrow(f32v v, f32v lo, f32v hi, i32v zero_point)
{
    __m512i q = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(v, lo), hi));
    return _mm512_cvtepi32_epi8(_mm512_add_epi32(q, zero_point));
}
static inline void i8_store(int8_t *out, f32v v, f32v lo, f32v hi, i32v zero_point)
{
    _mm_storeu_si128((__m128i *)out, narrow(v, lo, hi, zero_point));
}
static inline void i8_store_first(int8_t *out, int n, f32v v, f32v lo, f32v hi, i32v zero_point)
{
    _mm_mask_storeu_epi8(out, (__mmask16)((1u << n) - 1), narrow(v, lo, hi, zero_point));
}

static inline x4v x4_load(const uint8_t *p) { int32_t x; __builtin_memcpy(&x, p, 4); return _mm512_set1_epi32(x); }
static inline i8v w_load(const int8_t *p) { return _mm512_loadu_si512(p); }
static inline i32v dot4(i32v acc, x4v x, i8v w) { return _mm512_dpbusd_epi32(acc, x, w); }
static inline int w_index(int lane, int k) { return lane * 4 + k; }

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
static inline __m256i dw_narrow(const i32v *acc, const float *multiplier, f32v lo, f32v hi, i32v zero_point)
{
    __m512i q[2];
    for (int v = 0; v < 2; v++) {
        f32v r = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[v]), _mm512_loadu_ps(multiplier + 16 * v));
        q[v] = _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(r, lo), hi)), zero_point);
    }
    return _mm512_cvtepi16_epi8(_mm512_packs_epi32(q[0], q[1]));
}
static inline void dw_store(int8_t *out, int n, const i32v *acc, const float *multiplier, f32v lo, f32v hi, i32v zero_point)
{
    __m256i q = dw_narrow(acc, multiplier, lo, hi, zero_point);
    if (n >= 32) _mm256_storeu_si256((__m256i *)out, q);
    else _mm256_mask_storeu_epi8(out, (__mmask32)((1ull << n) - 1), q);
}
