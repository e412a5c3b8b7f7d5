/* The SIMD vocabulary in plain C: 4 int32 lanes in a struct, for any CPU. Also the place to read what each word means. */
#include <stdint.h>
#include <string.h>

#define LANES 4          /* int32 lanes in a vector */
#define TILE_ROWS 4      /* GEMM register tile: rows of activations ... */
#define TILE_VECS 2      /* ... by vectors of output channels */
#define ROW_VECS 8       /* the same for a single row */
#define ACT_FLIP 0       /* XORed onto every activation byte before dot4 sees it */
#define WEIGHT_MIN (-128) /* smallest weight dot4 computes exactly */
#define NARROW_MAX 1e300 /* largest value that narrow4 rounds and clamps; a kernel that could have more declines */
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
static inline void i32_store(int32_t *p, i32v a) { memcpy(p, &a, sizeof a); }
/* Through uint32_t: sums that fold zero points may wrap on the way, and wrap back. */
static inline int32_t wrapping_add(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
static inline i32v i32_add(i32v a, i32v b) { EACH_LANE a.v[l] = wrapping_add(a.v[l], b.v[l]); return a; }
static inline i32v i32_sub(i32v a, i32v b) { EACH_LANE a.v[l] = (int32_t)((uint32_t)a.v[l] - (uint32_t)b.v[l]); return a; }
static inline i32v i32_mul(i32v a, i32v b) { EACH_LANE a.v[l] = (int32_t)((uint32_t)a.v[l] * (uint32_t)b.v[l]); return a; }
static inline i32v i32_max(i32v a, i32v b) { EACH_LANE a.v[l] = a.v[l] > b.v[l] ? a.v[l] : b.v[l]; return a; }
static inline i32v i32_from_i8(const int8_t *p) { i32v r; EACH_LANE r.v[l] = p[l]; return r; }

/* 4 * LANES words, compared as they are */
static inline i8v i8_set(int8_t s) { i8v r; memset(r.v, s, sizeof r.v); return r; }
static inline i8v i8_min(i8v a, i8v b) { for (int i = 0; i < 4 * LANES; i++) a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i]; return a; }
static inline i8v i8_max(i8v a, i8v b) { for (int i = 0; i < 4 * LANES; i++) a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i]; return a; }

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

/* The end of every int8 kernel: q = clamp(rne(v) + zero_point, clamp_min, clamp_max). NaN becomes clamp_min. */
typedef struct { float lo, hi; int zero_point; } requant;

static inline requant requant_set(int clamp_min, int clamp_max, int zero_point)
{
    requant r = {(float)(clamp_min - zero_point), (float)(clamp_max - zero_point), zero_point};
    return r;
}
/* Adding and taking away 1.5 * 2**23 rounds half to even; exact because the clamp leaves |v| <= 255. */
static inline int8_t word_of(float v, const requant *r)
{
    v = v > r->lo ? v : r->lo;
    v = v < r->hi ? v : r->hi;
    return (int8_t)((int)((v + 12582912.0f) - 12582912.0f) + r->zero_point);
}
/* Four vectors become 4 * LANES words, in order. */
static inline i8v narrow4(f32v a, f32v b, f32v c, f32v d, const requant *r)
{
    i8v q;
    EACH_LANE {
        q.v[l] = word_of(a.v[l], r);
        q.v[LANES + l] = word_of(b.v[l], r);
        q.v[2 * LANES + l] = word_of(c.v[l], r);
        q.v[3 * LANES + l] = word_of(d.v[l], r);
    }
    return q;
}
/* The same where the clamps are int8's own */
static inline i8v narrow4_whole(f32v a, f32v b, f32v c, f32v d, const requant *r) { return narrow4(a, b, c, d, r); }
/* 4 * LANES words less their zero point as numbers, and numbers as words: both in an order of their own, if that is quicker. */
static inline void f32_from_words(f32v *v, const int8_t *p, int zero_point)
{
    for (int i = 0; i < 4; i++) v[i] = f32_from_i32(i32_sub(i32_from_i8(p + i * LANES), i32_set(zero_point)));
}
static inline i8v narrow_words(const f32v *v, const requant *r) { return narrow4(v[0], v[1], v[2], v[3], r); }
/* Store all 4 * LANES words; one half or quarter of them; or n of them from a quarter on. */
static inline void i8_store4(int8_t *out, i8v q) { memcpy(out, q.v, 16); }
static inline void i8_store2(int8_t *out, i8v q, int half) { memcpy(out, q.v + 8 * half, 8); }
static inline void i8_store1(int8_t *out, i8v q, int quarter) { memcpy(out, q.v + 4 * quarter, 4); }
static inline void i8_store_first(int8_t *out, i8v q, int quarter, int n) { memcpy(out, q.v + 4 * quarter, n); }

/* 4 consecutive activations, given to every lane */
static inline x4v x4_load(const uint8_t *p) { x4v x; memcpy(&x, p, 4); return x; }
/* LANES groups of 4 weights, laid out by w_index */
static inline i8v w_load(const int8_t *p) { i8v w; memcpy(&w, p, sizeof w); return w; }
/* acc[lane] += sum over k < 4 of x[k] * w[lane][k] */
static inline i32v dot4(i32v acc, x4v x, i8v w)
{
    EACH_LANE for (int k = 0; k < 4; k++) acc.v[l] = wrapping_add(acc.v[l], x.v[k] * w.v[l * 4 + k]);
    return acc;
}
/* the same with weights that this sum alone needs: they come from memory */
static inline i32v dot4_at(i32v acc, x4v x, const int8_t *w) { return dot4(acc, x, w_load(w)); }
/* where weight k of a lane lies in its group of LANES * 4 bytes */
static inline int w_index(int lane, int k) { return lane * 4 + k; }

/* Whether runs of 16 activations are loaded at once (BLOCK_GROUPS 4), and then: a block is multiplied in 4 steps, each
   by a vector of weights. block_turn readies it for the step after, dot_block adds a quarter of its products, block_index
   says where weight k < 16 of a lane lies in the 4 vectors, w_load4 loads vectors that lie together. */
#include "plain.h"

/* which channel of a depthwise block lane l of accumulator v holds */
static inline int dw_channel(int v, int l) { return v * LANES + l; }
/* where the weight of that lane and tap (0 or 1) lies in the 2 * DW_CHANNELS weights of a pair */
static inline int dw_w_index(int v, int l, int tap) { return 2 * (v * LANES + l) + tap; }
/* acc[v] += x0 * w0 + x1 * w1 over DW_CHANNELS channels; w laid out by dw_w_index */
static inline void dw_pair(i32v *acc, const int8_t *x0, const int8_t *x1, const dw_weight *w)
{
    EACH_LANE acc[0].v[l] = wrapping_add(acc[0].v[l], x0[l] * w[2 * l] + x1[l] * w[2 * l + 1]);
}
/* requantise the accumulators and store the first n channels in order */
static inline void dw_store(int8_t *out, int n, const i32v *acc, const float *multiplier, const requant *r)
{
    for (int l = 0; l < n && l < LANES; l++) out[l] = word_of((float)acc[0].v[l] * multiplier[l], r);
}

/* Whether depthwise 3x3 goes through dot4, and then: three rows of `vecs` * LANES channels (vecs 4, 2 or 1) become vectors
   whose lanes hold one channel's bytes (quad_channel says whose) and a fourth that meets a weight of zero; quad_store
   narrows them, puts the channels back in order and stores the first n. */
#define DW_QUADS 0
#include "no_quads.h"
#include "no_halves.h"

/* Replace as many leading bytes as vectors can, out[i] = table[x[i]]; returns how many that were. */
static inline Py_ssize_t lookup_blocks(uint8_t *out, const uint8_t *x, Py_ssize_t n, const uint8_t *table) { return 0; }

#include "rows_scalar.h"
