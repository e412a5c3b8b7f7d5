/* Where there is no dot product that takes four neighbouring bytes, the depthwise kernel does not interleave rows for it. */
static inline int quad_channel(int v, int l) { return 0; }
static inline void quad_load(x4v *q, const uint8_t *r0, const uint8_t *r1, const uint8_t *r2) { q[0] = q[1] = q[2] = q[3] = x4_load(r0); }
static inline i8v quad_narrow(f32v a, f32v b, f32v c, f32v d, const requant *r) { return narrow4(a, b, c, d, r); }
