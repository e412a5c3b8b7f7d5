/* What language models need beyond products of packed weights: dot products of rows as they are stored, exp. In plain C. */
#define ROW_FLIP 0      /* what dot_rows adds to every weight; its caller takes ROW_FLIP * sum(x) off again */

/* keeps a sum in one register through a loop: GCC would copy those that are used behind it in every round */
static inline i32v i32_hold(i32v a) { return a; }
/* 2**n of n + 1.5 * 2**23, -127 < n < 128: the low bits of that float hold n */
static inline f32v f32_pow2(f32v shifted)
{
    EACH_LANE {
        uint32_t bits;
        memcpy(&bits, &shifted.v[l], 4);
        bits = (bits + 127) << 23;
        memcpy(&shifted.v[l], &bits, 4);
    }
    return shifted;
}
/* the first n < 4 * LANES words, and zeros */
static inline i8v i8_load_first(const int8_t *p, int n) { i8v x = {{0}}; memcpy(x.v, p, n); return x; }
/* acc[lane] += sum over k < 4 of x[lane][k] * (w[lane][k] + ROW_FLIP); x in -127..127 */
static inline i32v dot_rows(i32v acc, i8v x, i8v w)
{
    EACH_LANE for (int k = 0; k < 4; k++) acc.v[l] = wrapping_add(acc.v[l], x.v[l * 4 + k] * w.v[l * 4 + k]);
    return acc;
}
/* the same for w in 0..15, without the flip */
static inline i32v dot_nibbles(i32v acc, i8v x, i8v w) { return dot_rows(acc, x, w); }
static inline i8v nibbles_low(i8v w) { for (int i = 0; i < 16; i++) w.v[i] &= 15; return w; }
static inline i8v nibbles_high(i8v w) { for (int i = 0; i < 16; i++) w.v[i] = (int8_t)((uint8_t)w.v[i] >> 4); return w; }
/* LANES / 4 words, each in four lanes */
static inline i32v group_scales(const int8_t *p) { return i32_set(*p); }
/* lane l becomes the sum of acc[l], l < LANES */
static inline i32v i32_sums(const i32v *acc)
{
    i32v r = i32_zero();
    EACH_LANE for (int k = 0; k < LANES; k++) r.v[l] = wrapping_add(r.v[l], acc[l].v[k]);
    return r;
}
/* panels: the same flip, done once for many rows; the first 4 * LANES bytes of LANES rows as LANES vectors, the g-th with
   group g of 4 of each row, as dot4 wants its weights; dot4 of activations in -127..127 and of flipped weights, or of
   weights in 0..15 without the flip */
static inline i8v row_flip(i8v w) { return w; }
static inline void panel_turn(i8v *panel, const int8_t *const *rows)
{
    for (int g = 0; g < LANES; g++) EACH_LANE memcpy(panel[g].v + 4 * l, rows[l] + 4 * g, 4);
}
static inline i32v dot_panel(i32v acc, x4v x, i8v w) { return dot4(acc, x, w); }
static inline i32v dot_panel_nibbles(i32v acc, x4v x, i8v w) { return dot4(acc, x, w); }
/* GCC takes a function that only prefetches for one without effect, and drops its calls unless it is part of them */
static inline __attribute__((always_inline)) void prefetch(const void *p) { __builtin_prefetch(p, 0, 2); }
