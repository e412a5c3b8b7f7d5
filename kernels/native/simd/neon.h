/* The SIMD vocabulary on Armv8.0 NEON (Pi 3, Zero 2 W, Pi 4): no dot product. Weights lie as pairs so that two products
   share an int16 (2 * 128 * 127 < 2**15, hence WEIGHT_MIN) and one pairwise add widens them to the lane they belong to. */
#include "neon_common.h"

#define WEIGHT_MIN (-127) /* see split_segments */

typedef int8x8x2_t x4v;  /* val[0]: activations 0 and 1 four times, val[1]: 2 and 3 */

static inline x4v x4_load(const uint8_t *p)
{
    x4v x;
    x.val[0] = vreinterpret_s8_u16(vld1_dup_u16((const uint16_t *)p));
    x.val[1] = vreinterpret_s8_u16(vld1_dup_u16((const uint16_t *)(p + 2)));
    return x;
}
static inline i32v dot4(i32v acc, x4v x, i8v w)
{
    int16x8_t pairs = vmlal_s8(vmull_s8(vget_low_s8(w), x.val[0]), vget_high_s8(w), x.val[1]);
    return vpadalq_s16(acc, pairs);
}
static inline int w_index(int lane, int k) { return (k / 2) * 8 + lane * 2 + k % 2; }

#define DW_QUADS 0
#include "no_quads.h"
