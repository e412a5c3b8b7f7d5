/* The words of half vectors, where LANES is so small that a panel is seldom half empty: never called. */
#define HALF_LANES 0
typedef i32v i32h;
static inline i32h i32_load_half(const int32_t *p) { return i32_zero(); }
static inline x4v x4_load_half(const uint8_t *p) { return x4_load(p); }
static inline i32h dot4_half(i32h acc, x4v x, i8v w) { return acc; }
static inline i32v i32_join(i32h a, i32h b) { return a; }
static inline f32v f32_twice(f32v a) { return a; }
static inline void i8_store_half(int8_t *out, i8v q, int eighth, int n) {}
