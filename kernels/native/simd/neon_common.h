/* What both NEON vocabularies share: everything but the dot product. 4 int32 lanes. */
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define LANES 4
#define TILE_VECS 4
#define ROW_VECS 8
#define ACT_FLIP 0
#define NARROW_MAX 1e300
#define BLOCK_GROUPS 4
#define PANELS_TOGETHER TILE_VECS /* one ld1 loads them all */
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
static inline void i32_store(int32_t *p, i32v v) { vst1q_s32(p, v); }
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

static inline i8v i8_set(int8_t v) { return vdupq_n_s8(v); }
static inline i8v i8_min(i8v a, i8v b) { return vminq_s8(a, b); }
static inline i8v i8_max(i8v a, i8v b) { return vmaxq_s8(a, b); }

static inline f32v f32_set(float v) { return vdupq_n_f32(v); }
static inline f32v f32_load(const float *p) { return vld1q_f32(p); }
static inline void f32_store(float *p, f32v v) { vst1q_f32(p, v); }
static inline f32v f32_from_i32(i32v v) { return vcvtq_f32_s32(v); }
static inline void f32_from_words(f32v *v, const int8_t *p, int zero_point)
{
    int8x16_t x = vld1q_s8(p), zero = vdupq_n_s8((int8_t)zero_point);
    int16x8_t low = vsubl_s8(vget_low_s8(x), vget_low_s8(zero)), high = vsubl_high_s8(x, zero);
    v[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
    v[1] = vcvtq_f32_s32(vmovl_high_s16(low));
    v[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
    v[3] = vcvtq_f32_s32(vmovl_high_s16(high));
}
static inline f32v f32_add(f32v a, f32v b) { return vaddq_f32(a, b); }
static inline f32v f32_sub(f32v a, f32v b) { return vsubq_f32(a, b); }
static inline f32v f32_mul(f32v a, f32v b) { return vmulq_f32(a, b); }
static inline f32v f32_div(f32v a, f32v b) { return vdivq_f32(a, b); }
/* The -nm forms return the number when the other operand is NaN; vmaxq alone would return NaN. */
static inline f32v f32_min(f32v a, f32v b) { return vminnmq_f32(a, b); }
static inline f32v f32_max(f32v a, f32v b) { return vmaxnmq_f32(a, b); }

/* The end of every int8 kernel. fcvtns rounds half to even and saturates, and so do the narrowing moves, so the clamps
   are done on words. NaN would become 0: quantize sees to that. */
typedef struct { int16x8_t zero_point; int8x16_t lo, hi; } requant;

static inline requant requant_set(int clamp_min, int clamp_max, int zero_point)
{
    requant r = {vdupq_n_s16((int16_t)zero_point), vdupq_n_s8((int8_t)clamp_min), vdupq_n_s8((int8_t)clamp_max)};
    return r;
}
static inline int16x8_t words_of(f32v a, f32v b, const requant *r)
{
    return vqaddq_s16(vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(a)), vcvtnq_s32_f32(b)), r->zero_point);
}
static inline i8v narrow4_whole(f32v a, f32v b, f32v c, f32v d, const requant *r)
{
    return vqmovn_high_s16(vqmovn_s16(words_of(a, b, r)), words_of(c, d, r));
}
static inline i8v narrow4(f32v a, f32v b, f32v c, f32v d, const requant *r)
{
    return vminq_s8(vmaxq_s8(narrow4_whole(a, b, c, d, r), r->lo), r->hi);
}
static inline i8v narrow_words(const f32v *v, const requant *r) { return narrow4(v[0], v[1], v[2], v[3], r); }
static inline void i8_store4(int8_t *out, i8v q) { vst1q_s8(out, q); }
static inline void i8_store2(int8_t *out, i8v q, int half) { vst1_s8(out, half ? vget_high_s8(q) : vget_low_s8(q)); }
static inline void i8_store1(int8_t *out, i8v q, int quarter)
{
    int32x4_t words = vreinterpretq_s32_s8(q);
    int32_t from = quarter == 0 ? vgetq_lane_s32(words, 0) : quarter == 1 ? vgetq_lane_s32(words, 1) : quarter == 2 ? vgetq_lane_s32(words, 2) : vgetq_lane_s32(words, 3);
    memcpy(out, &from, 4);
}
/* No call of memcpy: around one, GCC would keep every vector in memory. */
static inline void i8_store_first(int8_t *out, i8v q, int quarter, int n)
{
    if (quarter == 1) q = vextq_s8(q, q, 4);
    if (quarter == 2) q = vextq_s8(q, q, 8);
    if (quarter == 3) q = vextq_s8(q, q, 12);
    if (n >= 16) { vst1q_s8(out, q); return; }
    if (n & 8) { vst1_s8(out, vget_low_s8(q)); out += 8; q = vextq_s8(q, q, 8); }
    if (n & 4) { vst1q_lane_s32((int32_t *)out, vreinterpretq_s32_s8(q), 0); out += 4; q = vextq_s8(q, q, 4); }
    if (n & 2) { vst1q_lane_s16((int16_t *)out, vreinterpretq_s16_s8(q), 0); out += 2; q = vextq_s8(q, q, 2); }
    if (n & 1) vst1q_lane_s8(out, q, 0);
}

static inline i8v w_load(const int8_t *p) { return vld1q_s8(p); }
static inline const int8_t *w_load4(i8v *w, const int8_t *p)
{
    int8x16x4_t all = vld1q_s8_x4(p);
    for (int i = 0; i < 4; i++) w[i] = all.val[i];
    p += 64;
    __asm__("" : "+r"(p)); /* the load moves its pointer on for nothing, unless GCC makes four sums of it */
    return p;
}

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
static inline void dw_store(int8_t *out, int n, const i32v *acc, const float *multiplier, const requant *r)
{
    f32v v[4];
    for (int i = 0; i < 4; i++) v[i] = vmulq_f32(vcvtq_f32_s32(acc[i]), vld1q_f32(multiplier + 4 * i));
    i8v q = narrow4(v[0], v[1], v[2], v[3], r);
    if (n >= 16) i8_store4(out, q); else i8_store_first(out, q, 0, n);
}

static inline Py_ssize_t lookup_blocks(uint8_t *out, const uint8_t *x, Py_ssize_t n, const uint8_t *table)
{
    uint8x16x4_t t[4];
    Py_ssize_t i = 0;
    for (int part = 0; part < 4; part++) t[part] = vld1q_u8_x4(table + 64 * part);
    for (; i + 16 <= n; i += 16) {
        uint8x16_t index = vld1q_u8(x + i), step = vdupq_n_u8(64);
        uint8x16_t y = vqtbl4q_u8(t[0], index); /* an index beyond 63 gives 0, and tbx leaves what is there */
        for (int part = 1; part < 4; part++) y = vqtbx4q_u8(y, t[part], index = vsubq_u8(index, step));
        vst1q_u8(out + i, y);
    }
    return i;
}
