/* See rows_scalar.h: what both NEON vocabularies share. Each defines dot_rows and dot_nibbles before. */
#define ROW_FLIP 0
#define ROWS_AT_ONCE 4
#define WEIGHTS_AT_ONCE 4

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
static inline void prefetch(const void *p) { __builtin_prefetch(p); }
