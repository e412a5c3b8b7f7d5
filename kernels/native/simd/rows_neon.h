/* See rows_scalar.h: what both NEON vocabularies share. Each defines dot_rows, dot_nibbles and dot4_order before. */
#define ROW_FLIP 0

static inline i32v i32_hold(i32v a) { __asm__("" : "+w"(a)); return a; }
static inline f32v f32_pow2(f32v shifted)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vreinterpretq_s32_f32(shifted), vdupq_n_s32(127)), 23));
}
static inline i8v i8_load_first(const int8_t *p, int n)
{
    int8_t bytes[16] = {0};
    memcpy(bytes, p, n);
    return vld1q_s8(bytes);
}
static inline i8v nibbles_low(i8v w) { return vandq_s8(w, vdupq_n_s8(15)); }
static inline i8v nibbles_high(i8v w) { return vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(w), 4)); }
static inline i32v group_scales(const int8_t *p) { return vdupq_n_s32(*p); }
static inline i32v i32_sums(const i32v *acc)
{
    return vpaddq_s32(vpaddq_s32(acc[0], acc[1]), vpaddq_s32(acc[2], acc[3]));
}
static inline i8v row_flip(i8v w) { return w; }
static inline void panel_turn(i8v *panel, const int8_t *const *rows)
{
    int32x4_t r0 = vreinterpretq_s32_s8(vld1q_s8(rows[0])), r1 = vreinterpretq_s32_s8(vld1q_s8(rows[1]));
    int32x4_t r2 = vreinterpretq_s32_s8(vld1q_s8(rows[2])), r3 = vreinterpretq_s32_s8(vld1q_s8(rows[3]));
    int64x2_t even01 = vreinterpretq_s64_s32(vtrn1q_s32(r0, r1)), odd01 = vreinterpretq_s64_s32(vtrn2q_s32(r0, r1));
    int64x2_t even23 = vreinterpretq_s64_s32(vtrn1q_s32(r2, r3)), odd23 = vreinterpretq_s64_s32(vtrn2q_s32(r2, r3));
    panel[0] = dot4_order(vreinterpretq_s8_s64(vtrn1q_s64(even01, even23)));
    panel[1] = dot4_order(vreinterpretq_s8_s64(vtrn1q_s64(odd01, odd23)));
    panel[2] = dot4_order(vreinterpretq_s8_s64(vtrn2q_s64(even01, even23)));
    panel[3] = dot4_order(vreinterpretq_s8_s64(vtrn2q_s64(odd01, odd23)));
}
static inline i32v dot_panel(i32v acc, x4v x, i8v w) { return dot4(acc, x, w); }
static inline i32v dot_panel_nibbles(i32v acc, x4v x, i8v w) { return dot4(acc, x, w); }
static inline __attribute__((always_inline)) void prefetch(const void *p) { __builtin_prefetch(p, 0, 2); }
