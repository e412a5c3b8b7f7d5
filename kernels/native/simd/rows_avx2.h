/* See rows_scalar.h. vpmaddubsw gets |w| and x with w's sign: 2 * 128 * 127 fits its int16. */
#define ROW_FLIP 0

static inline i32v i32_hold(i32v a) { __asm__("" : "+x"(a)); return a; }
static inline f32v f32_pow2(f32v shifted)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(127)), 23));
}
static inline i8v i8_load_first(const int8_t *p, int n)
{
    int8_t bytes[32] = {0};
    memcpy(bytes, p, n);
    return _mm256_loadu_si256((const __m256i *)bytes);
}
static inline i32v add_pairs(i32v acc, __m256i pairs)
{
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
static inline i32v dot_rows(i32v acc, i8v x, i8v w)
{
    return add_pairs(acc, _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)));
}
static inline i32v dot_nibbles(i32v acc, i8v x, i8v w) { return add_pairs(acc, _mm256_maddubs_epi16(w, x)); }
static inline i8v nibbles_low(i8v w) { return _mm256_and_si256(w, _mm256_set1_epi8(15)); }
static inline i8v nibbles_high(i8v w) { return _mm256_and_si256(_mm256_srli_epi16(w, 4), _mm256_set1_epi8(15)); }
static inline i32v group_scales(const int8_t *p)
{
    return _mm256_setr_m128i(_mm_set1_epi32(p[0]), _mm_set1_epi32(p[1]));
}
static inline i32v i32_sums(const i32v *acc)
{
    __m256i low = _mm256_hadd_epi32(_mm256_hadd_epi32(acc[0], acc[1]), _mm256_hadd_epi32(acc[2], acc[3]));
    __m256i high = _mm256_hadd_epi32(_mm256_hadd_epi32(acc[4], acc[5]), _mm256_hadd_epi32(acc[6], acc[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31));
}
static inline i8v row_flip(i8v w) { return w; }
static inline __m256i halves_of(const int8_t *low, const int8_t *high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low)), _mm_loadu_si128((const __m128i *)high), 1);
}
static inline void panel_turn(i8v *panel, const int8_t *const *rows)
{
    for (int part = 0; part < 2; part++) {
        __m256i v[4];
        for (int i = 0; i < 4; i++) v[i] = halves_of(rows[i] + 16 * part, rows[i + 4] + 16 * part);
        __m256i low01 = _mm256_unpacklo_epi32(v[0], v[1]), high01 = _mm256_unpackhi_epi32(v[0], v[1]);
        __m256i low23 = _mm256_unpacklo_epi32(v[2], v[3]), high23 = _mm256_unpackhi_epi32(v[2], v[3]);
        panel[4 * part] = _mm256_unpacklo_epi64(low01, low23);
        panel[4 * part + 1] = _mm256_unpackhi_epi64(low01, low23);
        panel[4 * part + 2] = _mm256_unpacklo_epi64(high01, high23);
        panel[4 * part + 3] = _mm256_unpackhi_epi64(high01, high23);
    }
}
static inline i32v dot_panel(i32v acc, x4v x, i8v w) { return dot_rows(acc, x, w); }
static inline i32v dot_panel_nibbles(i32v acc, x4v x, i8v w) { return dot_nibbles(acc, x, w); }
static inline __attribute__((always_inline)) void prefetch(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T1); }
