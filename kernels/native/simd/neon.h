/* The SIMD vocabulary on Armv8.0 NEON (Pi 3, Zero 2 W, Pi 4): no dot product. Weights lie as pairs so that two products
   share an int16 (2 * 128 * 127 < 2**15, hence WEIGHT_MIN) and one pairwise add widens them to the lane they belong to. */
#define TILE_ROWS 4      /* 4 rows x 4 vectors: 16 accumulators, 4 weights, 4 activations, products: of 32 registers */
#include "neon_common.h"

#define WEIGHT_MIN (-127)

typedef struct { int8x8_t low; int8x16_t high; } x4v; /* activations 0 and 1 in every pair of lanes; 2 and 3 */

static inline x4v x4_load(const uint8_t *p)
{
    x4v x = {vreinterpret_s8_u16(vld1_dup_u16((const uint16_t *)p)), vreinterpretq_s8_u16(vld1q_dup_u16((const uint16_t *)(p + 2)))};
    return x;
}
static inline i32v dot4(i32v acc, x4v x, i8v w)
{
    return vpadalq_s16(acc, vmlal_high_s8(vmull_s8(vget_low_s8(w), x.low), w, x.high));
}
static inline i32v dot4_at(i32v acc, x4v x, const int8_t *w) { return dot4(acc, x, w_load(w)); }
static inline int w_index(int lane, int k) { return (k / 2) * 8 + lane * 2 + k % 2; }

/* 16 activations are two halves of 4 pairs. A step multiplies lane l by pair l ^ t of both halves, t = 0, 1, 3, 2, so that
   one turn of the pairs between steps serves all lanes and all vectors of weights. */
typedef int8x16_t xblock;
static inline xblock block_load(const uint8_t *p) { return vld1q_s8((const int8_t *)p); }
static inline xblock block_turn(xblock x, int step)
{
    if (step == 0) return x;
    if (step == 2) return vreinterpretq_s8_s32(vrev64q_s32(vreinterpretq_s32_s8(x)));
    return vreinterpretq_s8_s16(vrev32q_s16(vreinterpretq_s16_s8(x)));
}
static inline i32v dot_block(i32v acc, xblock x, i8v w, int step)
{
    return vpadalq_s16(acc, vmlal_high_s8(vmull_s8(vget_low_s8(w), vget_low_s8(x)), w, x));
}
static inline int block_index(int lane, int k)
{
    int t = lane ^ (k % 8 / 2), step = t ^ (t >> 1);
    return step * 16 + k / 8 * 8 + lane * 2 + k % 2;
}

#define DW_QUADS 0
#include "no_quads.h"
#include "no_halves.h"

/* Products of 16 words share four int32: x in -127..127, so two products fit an int16 whatever w is. */
static inline i32v dot_rows(i32v acc, i8v x, i8v w)
{
    return vpadalq_s16(acc, vmlal_high_s8(vmull_s8(vget_low_s8(w), vget_low_s8(x)), w, x));
}
static inline i32v dot_nibbles(i32v acc, i8v x, i8v w) { return dot_rows(acc, x, w); }
/* 4 weights per lane, side by side, as pairs: see w_index */
static inline i8v dot4_order(i8v w)
{
    int16x8_t pairs = vreinterpretq_s16_s8(w);
    return vreinterpretq_s8_s16(vcombine_s16(vget_low_s16(vuzp1q_s16(pairs, pairs)), vget_low_s16(vuzp2q_s16(pairs, pairs))));
}
#include "rows_neon.h"
