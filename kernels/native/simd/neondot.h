/* The SIMD vocabulary on NEON with the dot product of Armv8.2 (Pi 5): sdot takes signed bytes, nothing to flip. */
#include "neon_common.h"

#define WEIGHT_MIN (-128)

typedef int8x16_t x4v;

static inline x4v x4_load(const uint8_t *p) { return vreinterpretq_s8_s32(vld1q_dup_s32((const int32_t *)p)); }
static inline i32v dot4(i32v acc, x4v x, i8v w) { return vdotq_s32(acc, w, x); }
static inline int w_index(int lane, int k) { return lane * 4 + k; }
