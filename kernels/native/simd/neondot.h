/* The SIMD vocabulary on NEON with the dot product of Armv8.2 (Pi 5): sdot takes signed bytes, nothing to flip. */
#define TILE_ROWS 5      /* 5 rows x 4 vectors: 20 accumulators, 4 weights, 5 activations of 32 registers */
#include "neon_common.h"

#define WEIGHT_MIN (-128)

typedef int8x16_t x4v;

static inline x4v x4_load(const uint8_t *p) { return vreinterpretq_s8_s32(vld1q_dup_s32((const int32_t *)p)); }
static inline i32v dot4(i32v acc, x4v x, i8v w) { return vdotq_s32(acc, w, x); }
static inline i32v dot4_at(i32v acc, x4v x, const int8_t *w) { return dot4(acc, x, w_load(w)); }
static inline int w_index(int lane, int k) { return lane * 4 + k; }

/* 16 activations: sdot takes four of them by number, so none is given to every lane beforehand. */
typedef int8x16_t xblock;
static inline xblock block_load(const uint8_t *p) { return vld1q_s8((const int8_t *)p); }
static inline xblock block_turn(xblock x, int step) { return x; }
static inline i32v dot_block(i32v acc, xblock x, i8v w, int step)
{
    return step == 0 ? vdotq_laneq_s32(acc, w, x, 0) : step == 1 ? vdotq_laneq_s32(acc, w, x, 1)
         : step == 2 ? vdotq_laneq_s32(acc, w, x, 2) : vdotq_laneq_s32(acc, w, x, 3);
}
static inline int block_index(int lane, int k) { return k / 4 * 16 + lane * 4 + k % 4; }

/* See avx512vnni.h; zips keep the order, so vector v, lane l holds channel 4 * v + l. */
#define DW_QUADS 1
static inline int quad_channel(int vecs, int v, int l) { return v * 4 + l; }
static inline void quad_load(int vecs, x4v *q, const uint8_t *r0, const uint8_t *r1, const uint8_t *r2)
{
    uint8x16_t a = vld1q_u8(r0), b = vld1q_u8(r1), c = vld1q_u8(r2);
    uint16x8_t ab = vreinterpretq_u16_u8(vzip1q_u8(a, b)), cc = vreinterpretq_u16_u8(vzip1q_u8(c, c));
    q[0] = vreinterpretq_s8_u16(vzip1q_u16(ab, cc));
    if (vecs == 1) return;
    q[1] = vreinterpretq_s8_u16(vzip2q_u16(ab, cc));
    if (vecs == 2) return;
    ab = vreinterpretq_u16_u8(vzip2q_u8(a, b)), cc = vreinterpretq_u16_u8(vzip2q_u8(c, c));
    q[2] = vreinterpretq_s8_u16(vzip1q_u16(ab, cc));
    q[3] = vreinterpretq_s8_u16(vzip2q_u16(ab, cc));
}
static inline void quad_between(x4v *q, const x4v *left, const x4v *right)
{
    q[0] = left[2], q[1] = left[3], q[2] = right[0], q[3] = right[1];
}
static inline void quad_store(int vecs, int8_t *out, int n, f32v a, f32v b, f32v c, f32v d, const requant *r)
{
    i8v q = narrow4(a, b, c, d, r);
    if (vecs == 4 && n >= 16) i8_store4(out, q);
    else if (vecs == 2 && n >= 8) i8_store2(out, q, 0);
    else i8_store_first(out, q, 0, n);
}
#include "no_halves.h"

static inline i32v dot_rows(i32v acc, i8v x, i8v w) { return vdotq_s32(acc, w, x); }
static inline i32v dot_nibbles(i32v acc, i8v x, i8v w) { return vdotq_s32(acc, w, x); }
static inline i8v dot4_order(i8v w) { return w; }
#include "rows_neon.h"
