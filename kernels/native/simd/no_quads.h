/* Where there is no dot product that takes four neighbouring bytes, the depthwise kernel does not interleave rows for it. */
static inline int quad_channel(int vecs, int v, int l) { return 0; }
static inline void quad_load(int vecs, x4v *q, const uint8_t *r0, const uint8_t *r1, const uint8_t *r2) { q[0] = q[1] = q[2] = q[3] = x4_load(r0); }
static inline void quad_between(x4v *q, const x4v *left, const x4v *right) { }
static inline void quad_store(int vecs, int8_t *out, int n, f32v a, f32v b, f32v c, f32v d, const requant *r) { }
