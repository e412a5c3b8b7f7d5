/* Words that an instruction set without a shorter way of its own shares with others. */

/* Where activations come four at a time and every vector of weights is an instruction of its own: nothing is blocked. */
#define BLOCK_GROUPS 1
#define PANELS_TOGETHER 1
typedef x4v xblock;
static inline xblock block_load(const uint8_t *p) { return x4_load(p); }
static inline xblock block_turn(xblock x, int step) { return x; }
static inline const int8_t *w_load4(i8v *w, const int8_t *p) { return p; }
static inline i32v dot_block(i32v acc, xblock x, i8v w, int step) { return acc; }
static inline int block_index(int lane, int k) { return 0; }
