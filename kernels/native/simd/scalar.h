/* The SIMD vocabulary in plain C: 4 int32 lanes in a struct, for any CPU. Also the place to read what each word means. */
#include <stdint.h>
#include <string.h>

#define LANES 4          /* int32 lanes in a vector */
#define TILE_ROWS 4      /* GEMM register tile: rows of activations ... */
#define TILE_VECS 2      /* ... by vectors of output channels */
#define ACT_FLIP 0       /* XORed onto every activation byte before dot4 sees it */
#define WEIGHT_MIN (-128) /* smallest weight dot4 computes exactly */
#define DW_CHANNELS 4    /* channels of one depthwise block */
#define DW_VECS 1        /* its accumulators */
#define DW_WEIGHT_MAX 32767 /* largest absolute depthwise weight, zero point taken off; larger ones are split over two taps */
#define EACH_LANE for (int l = 0; l < LANES; l++)

typedef struct { int32_t v[4]; } i32v;
typedef struct { float v[4]; } f32v;
typedef struct { int8_t v[16]; } i8v;
typedef struct { int8_t v[4]; } x4v;
typedef int16_t dw_weight;

static inline i32v i32_set(int32_t s) { i32v r; EACH_LANE r.v[l] = s; return r; }
static inline i32v i32_zero(void) { return i32_set(0); }
static inline i32v i32_load(const int32_t *p) { i32v r; memcpy(&r, p, sizeof r); return r; }
/* Through uint32_t: sums that fold zero points may wrap on the way, and wrap back. */
static inline i32v i32_add(i32v a, i32v b) { EACH_LANE a.v[l] = (int32_t)((uint32_t)a.v[l] + (uint32_t)b.v[l]); return a; }
static inline i32v i32_sub(i32v a, i32v b) { EACH_LANE a.v[l] = (int32_t)((uint32_t)a.v[l] - (uint32_t)b.v[l]); return a; }
static inline i32v i32_mul(i32v a, i32v b) { EACH_LANE a.v[l] = (int32_t)((uint32_t)a.v[l] * (uint32_t)b.v[l]); return a; }
static inline i32v i32_max(i32v a, i32v b) { EACH_LANE a.v[l] = a.v[l] > b.v[l] ? a.v[l] : b.v[l]; return a; }
static inline i32v i32_from_i8(const int8_t *p) { i32v r; EACH_LANE r.v[l] = p[l]; return r; }

static inline f32v f32_set(float s) { f32v r; EACH_LANE r.v[l] = s; return r; }
static inline f32v f32_load(const float *p) { f32v r; memcpy(&r, p, sizeof r); return r; }
static inline void f32_store(float *p, f32v a) { memcpy(p, &a, sizeof a); }
static inline f32v f32_from_i32(i32v a) { f32v r; EACH_LANE r.v[l] = (float)a.v[l]; return r; }
static inline f32v f32_add(f32v a, f32v b) { EACH_LANE a.v[l] += b.v[l]; return a; }
static inline f32v f32_sub(f32v a, f32v b) { EACH_LANE a.v[l] -= b.v[l]; return a; }
static inline f32v f32_mul(f32v a, f32v b) { EACH_LANE a.v[l] *= b.v[l]; return a; }
static inline f32v f32_div(f32v a, f32v b) { EACH_LANE a.v[l] /= b.v[l]; return a; }
static inline f32v f32_min(f32v a, f32v b) { EACH_LANE a.v[l] = a.v[l] < b.v[l] ? a.v[l] : b.v[l]; return a; }
/* A NaN in a loses: the result is b, as with the x86 instruction. */
static inline f32v f32_max(f32v a, f32v b) { EACH_LANE a.v[l] = a.v[l] > b.v[l] ? a.v[l] : b.v[l]; return a; }

/* Adding and taking away 1.5 * 2**23 rounds half to even; exact because the clamp has left |v| <= 255. */
static inline int32_t round_even(float v) { return (int32_t)((v + 12582912.0f) - 12582912.0f); }
/* Store n int8: clamp, round half to even, add the zero point. lo and hi hold clamp_min and clamp_max less the zero point. */
static inline void i8_store_first(int8_t *out, int n, f32v v, f32v lo, f32v hi, i32v zero_point)
{
    v = f32_min(f32_max(v, lo), hi);
    for (int l = 0; l < n; l++) out[l] = (int8_t)(round_even(v.v[l]) + zero_point.v[l]);
}
static inline void i8_store(int8_t *out, f32v v, f32v lo, f32v hi, i32v zero_point)
{
    i8_store_first(out, LANES, v, lo, hi, zero_point);
}

/* 4 consecutive activations, given to every lane */
static inline x4v x4_load(const uint8_t *p) { x4v x; memcpy(&x, p, 4); return x; }
/* LANES groups of 4 weights, laid out by w_index */
static inline i8v w_load(const int8_t *p) { i8v w; memcpy(&w, p, sizeof w); return w; }
/* acc[lane] += sum over k < 4 of x[k] * w[lane][k] */
static inline i32v dot4(i32v acc, x4v x, i8v w)
{
    EACH_LANE for (int k = 0; k < 4; k++) acc.v[l] += x.v[k] * w.v[l * 4 + k];
    return acc;
}
/* where weight k of a lane lies in its group of LANES * 4 bytes */
static inline int w_index(int lane, int k) { return lane * 4 + k; }

/* which channel of a depthwise block lane l of accumulator v holds */
static inline int dw_channel(int v, int l) { return v * LANES + l; }
/* where the weight of that lane and tap (0 or 1) lies in the 2 * DW_CHANNELS weights of a pair */
static inline int dw_w_index(int v, int l, int tap) { return 2 * (v * LANES + l) + tap; }
/* acc[v] += x0 * w0 + x1 * w1 over DW_CHANNELS channels; w laid out by dw_w_index */
static inline void dw_pair(i32v *acc, const int8_t *x0, const int8_t *x1, const dw_weight *w)
{
    EACH_LANE acc[0].v[l] += x0[l] * w[2 * l] + x1[l] * w[2 * l + 1];
}
/* requantise the accumulators and store the first n channels in order */
static inline void dw_store(int8_t *out, int n, const i32v *acc, const float *multiplier, f32v lo, f32v hi, i32v zero_point)
{
    i8_store_first(out, n < LANES ? n : LANES, f32_mul(f32_from_i32(acc[0]), f32_load(multiplier)), lo, hi, zero_point);
}
