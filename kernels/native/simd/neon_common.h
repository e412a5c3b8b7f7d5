/* What both NEON vocabularies share: everything but the dot product. 4 int32 lanes. */
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define LANES 4
#define TILE_ROWS 4      /* 4 rows x 4 vectors: 16 accumulators of 32 registers */
#define TILE_VECS 4
#define ACT_FLIP 0
#define DW_CHANNELS 16
#define DW_VECS 4
#define DW_WEIGHT_MAX 127

typedef int32x4_t i32v;
typedef float32x4_t f32v;
typedef int8x16_t i8v;
typedef int8_t dw_weight;

static inline i32v i32_zero(void) { return vdupq_n_s32(0); }
static inline i32v i32_set(int32_t v) { return vdupq_n_s32(v); }
static inline i32v i32_load(const int32_t *p) { return vld1q_s32(p); }
static inline i32v i32_add(i32v a, i32v b) { return vaddq_s32(a, b); }
static inline i32v i32_sub(i32v a, i32v b) { return vsubq_s32(a, b); }
static inline i32v i32_mul(i32v a, i32v b) { return vmulq_s32(a, b); }
static inline i32v i32_max(i32v a, i32v b) { return vmaxq_s32(a, b); }
static inline i32v i32_from_i8(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, 4);
    return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)))));
}

static inline f32v f32_set(float v) { return vdupq_n_f32(v); }
static inline f32v f32_load(const float *p) { return vld1q_f32(p); }
static inline void f32_store(float *p, f32v v) { vst1q_f32(p, v); }
static inline f32v f32_from_i32(i32v v) { return vcvtq_f32_s32(v); }
static inline f32v f32_add(f32v a, f32v b) { return vaddq_f32(a, b); }
static inline f32v f32_sub(f32v a, f32v b) { return vsubq_f32(a, b); }
static inline f32v f32_mul(f32v a, f32v b) { return vmulq_f32(a, b); }
static inline f32v f32_div(f32v a, f32v b) { return vdivq_f32(a, b); }
/* The -nm forms return the number when the other operand is NaN; vmaxq alone would return NaN. */
static inline f32v f32_min(f32v a, f32v b) { return vminnmq_f32(a, b); }
static inline f32v f32_max(f32v a, f32v b) { return vmaxnmq_f32(a, b); }

static inline int16x4_t round_clamped(f32v v, f32v lo, f32v hi, i32v zero_point)
{
    return vmovn_s32(vaddq_s32(vcvtnq_s32_f32(vminq_f32(f32_max(v, lo), hi)), zero_point));
}
static inline void i8_store_first(int8_t *out, int n, f32v v, f32v lo, f32v hi, i32v zero_point)
{
    int16x4_t q = round_clamped(v, lo, hi, zero_point);
    int8_t bytes[8];
    vst1_s8(bytes, vmovn_s16(vcombine_s16(q, q)));
    memcpy(out, bytes, n);
}
static inline void i8_store(int8_t *out, f32v v, f32v lo, f32v hi, i32v zero_point)
{
    i8_store_first(out, 4, v, lo, hi, zero_point);
}
static inline i8v w_load(const int8_t *p) { return vld1q_s8(p); }

/* Two taps of 16 channels. Weights within [-127, 127] let the two products share an int16 before they are widened:
   2 * 128 * 127 < 2**15. */
static inline int dw_channel(int v, int l) { return v * 4 + l; }
static inline int dw_w_index(int v, int l, int tap) { return tap * 16 + v * 4 + l; }
static inline void dw_pair(i32v *acc, const int8_t *x0, const int8_t *x1, const dw_weight *w)
{
    int8x16_t a = vld1q_s8(x0), b = vld1q_s8(x1), wa = vld1q_s8(w), wb = vld1q_s8(w + 16);
    int16x8_t low = vmlal_s8(vmull_s8(vget_low_s8(a), vget_low_s8(wa)), vget_low_s8(b), vget_low_s8(wb));
    int16x8_t high = vmlal_high_s8(vmull_high_s8(a, wa), b, wb);
    acc[0] = vaddw_s16(acc[0], vget_low_s16(low));
    acc[1] = vaddw_high_s16(acc[1], low);
    acc[2] = vaddw_s16(acc[2], vget_low_s16(high));
    acc[3] = vaddw_high_s16(acc[3], high);
}
static inline void dw_store(int8_t *out, int n, const i32v *acc, const float *multiplier, f32v lo, f32v hi, i32v zero_point)
{
    int16x4_t q[4];
    for (int v = 0; v < 4; v++)
        q[v] = round_clamped(vmulq_f32(vcvtq_f32_s32(acc[v]), vld1q_f32(multiplier + 4 * v)), lo, hi, zero_point);
    int8x16_t bytes = vcombine_s8(vmovn_s16(vcombine_s16(q[0], q[1])), vmovn_s16(vcombine_s16(q[2], q[3])));
    if (n >= 16) { vst1q_s8(out, bytes); return; }
    int8_t tail[16];
    vst1q_s8(tail, bytes);
    memcpy(out, tail, n);
}
