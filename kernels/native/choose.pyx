# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The next token from a row of logits, in one call. edgert/text/sampling.py says what each step means; its Python
version is what runs where nothing is compiled. Independent of the instruction set.
"""
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.math cimport INFINITY, isfinite
from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset


cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* Largest of n floats: eight running maxima, so that the compiler uses the vector unit. NaNs are passed over. */
    static float edgert_largest(const float *x, Py_ssize_t n)
    {
        float best[8];
        for (int j = 0; j < 8; j++) best[j] = -__builtin_inff();
        Py_ssize_t i = 0;
        for (; i + 8 <= n; i += 8)
            for (int j = 0; j < 8; j++) best[j] = x[i + j] > best[j] ? x[i + j] : best[j];
        for (; i < n; i++) best[0] = x[i] > best[0] ? x[i] : best[0];
        for (int j = 1; j < 8; j++) best[0] = best[j] > best[0] ? best[j] : best[0];
        return best[0];
    }

    /* exp(x) for x <= 0 within 2 ulp, 0 below -87: 2**k * exp(r), r by its series (coefficients fitted, Cephes expf). */
    static inline float edgert_exp(float x)
    {
        float clipped = x < -87.0f ? -87.0f : x;
        float k = clipped * 1.44269504f + 12582912.0f;  /* 1.5 * 2**23: rounds to an integer */
        k -= 12582912.0f;
        float r = clipped - k * 0.693359375f + k * 2.12194440e-4f;
        float p = 1.9875691500e-4f;
        p = p * r + 1.3981999507e-3f;
        p = p * r + 8.3334519073e-3f;
        p = p * r + 4.1665795894e-2f;
        p = p * r + 1.6666665459e-1f;
        p = p * r + 5.0000001201e-1f;
        p = p * r * r + r + 1.0f;
        int32_t bits = ((int32_t)k + 127) << 23;
        float power;
        memcpy(&power, &bits, 4);
        return x < -87.0f ? 0.0f : p * power;
    }

    /* w[i] = exp((x[i] - largest) / temperature); returns their sum, added in four parts in double. */
    static double edgert_weigh(float *w, const float *x, Py_ssize_t n, float largest, float temperature)
    {
        double sum[4] = {0, 0, 0, 0};
        for (Py_ssize_t i = 0; i < n; i++) w[i] = edgert_exp((x[i] - largest) / temperature);
        Py_ssize_t i = 0;
        for (; i + 4 <= n; i += 4)
            for (int j = 0; j < 4; j++) sum[j] += w[i + j];
        for (; i < n; i++) sum[0] += w[i];
        return (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }

    /* The exponent and the first bit behind it of a weight, 0 <= w <= 1: larger weights have no smaller ones. NaN: 0. */
    #define HALF_OCTAVES 256
    static inline int half_octave(float w) { int32_t bits; memcpy(&bits, &w, 4); return w > 0 && w < 2 ? bits >> 22 : 0; }
    """
    float edgert_largest(const float *x, Py_ssize_t n) nogil
    double edgert_weigh(float *w, const float *x, Py_ssize_t n, float largest, float temperature) nogil
    int half_octave(float w) nogil
    enum:
        HALF_OCTAVES


cdef class Chooser:
    """Scratch memory for rows of up to `n` logits."""

    cdef float *logits
    cdef float *weights
    cdef int32_t *heap
    cdef char *seen
    cdef readonly Py_ssize_t n

    def __cinit__(self, Py_ssize_t n):
        if n < 1:
            raise ValueError(f"a row of {n} logits")
        self.n = n
        self.logits = <float *>PyMem_Malloc(n * (2 * sizeof(float) + sizeof(int32_t) + 1))
        if self.logits == NULL:
            raise MemoryError(f"no {13 * n} bytes of memory left")
        self.weights = self.logits + n
        self.heap = <int32_t *>(self.weights + n)
        self.seen = <char *>(self.heap + n)
        memset(self.seen, 0, n)

    def __dealloc__(self):
        PyMem_Free(self.logits)

    def choose(self, const float[::1] row, history, double penalty, double temperature, Py_ssize_t top_k, double top_p, double min_p, double draw):
        """(index, its logit) of the next token; the index is -1 if no logit is finite.

        row: at least n float32. history: ids whose logits `penalty` lowers. temperature 0: the largest. top_k 0: all.
        draw: a random number, 0 <= draw < 1.
        """
        cdef Py_ssize_t n = self.n
        cdef const float *logits = &row[0]
        if row.shape[0] < n:
            raise ValueError(f"{row.shape[0]} logits for a vocabulary of {n}")
        if penalty != 1.0:
            memcpy(self.logits, logits, n * sizeof(float))
            self.punish(history, penalty)
            logits = self.logits
        cdef float largest = edgert_largest(logits, n)
        cdef Py_ssize_t chosen
        if not isfinite(largest):
            return -1, largest
        if temperature == 0:
            chosen = self.first_of(logits, largest)
        else:
            chosen = self.draw_one(logits, largest, temperature, top_k, top_p, min_p, draw)
        return chosen, row[chosen]

    cdef void punish(self, history, double penalty) except *:
        cdef Py_ssize_t token
        try:
            for token in history:
                if 0 <= token < self.n and not self.seen[token]:
                    self.seen[token] = 1
                    self.logits[token] = <float>(self.logits[token] / penalty if self.logits[token] > 0 else self.logits[token] * penalty)
        finally:
            for token in history:
                if 0 <= token < self.n:
                    self.seen[token] = 0

    cdef Py_ssize_t first_of(self, const float *logits, float value) noexcept:
        cdef Py_ssize_t i = 0
        while logits[i] != value:
            i += 1
        return i

    cdef Py_ssize_t draw_one(self, const float *logits, float largest, double temperature, Py_ssize_t top_k, double top_p, double min_p, double draw) noexcept:
        cdef double total = edgert_weigh(self.weights, logits, self.n, largest, <float>temperature)
        if top_k == 0 and top_p >= 1:
            return self.draw_in_order(total, min_p, draw)
        return self.draw_from_best(total, top_k, top_p, min_p, draw)

    cdef Py_ssize_t draw_in_order(self, double total, double min_p, double draw) noexcept:
        """Nothing but `min_p` leaves tokens out, so they need no sorting."""
        cdef Py_ssize_t i, last = 0
        cdef double sum = 0
        if min_p > 0:
            total = 0
            for i in range(self.n):
                if self.weights[i] >= min_p:
                    total += self.weights[i]
        for i in range(self.n):
            if self.weights[i] > 0 and self.weights[i] >= min_p:
                sum += self.weights[i]
                last = i
                if sum > draw * total:
                    break
        return last

    cdef Py_ssize_t draw_from_best(self, double total, Py_ssize_t top_k, double top_p, double min_p, double draw) noexcept:
        """The best tokens one after the other off a heap, as many as top_k and top_p say; then one of them."""
        cdef Py_ssize_t n = self.eligible(total, top_k, top_p), left = n, kept = 0, i
        cdef double sum = 0
        for i in range(n // 2 - 1, -1, -1):
            self.sift(i, n)
        # What is taken off the heap is put where it ends: heap[left:n] holds it, the best one last.
        while left and (top_k == 0 or kept < top_k):
            left -= 1
            self.heap[0], self.heap[left] = self.heap[left], self.heap[0]
            self.sift(0, left)
            sum += self.weights[self.heap[left]]
            kept += 1
            if top_k == 0 and sum >= top_p * total:
                break
        if top_k:
            kept = self.first_reaching(n, kept, top_p * sum)
        while kept > 1 and self.weights[self.heap[n - kept]] < min_p:
            kept -= 1
        sum = 0
        for i in range(kept):
            sum += self.weights[self.heap[n - 1 - i]]
        return self.heap[n - self.first_reaching(n, kept, draw * sum)]

    cdef Py_ssize_t eligible(self, double total, Py_ssize_t top_k, double top_p) noexcept:
        """Puts the tokens that may be among the best ones asked for into the heap's memory, unordered; how many they are.

        Few of a large vocabulary: all in the half octaves of weight that hold the top_k best; or those above a weight
        below which all tokens together weigh less than what top_p leaves out (half of it: sums are rounded).
        """
        cdef Py_ssize_t counts[HALF_OCTAVES]
        cdef Py_ssize_t i, found = 0
        cdef int least = 0
        cdef double lightest = 0.5 * (1 - top_p) * total / self.n
        if top_k:
            lightest, least = 0, HALF_OCTAVES - 1
            memset(counts, 0, sizeof(counts))
            for i in range(self.n):
                counts[half_octave(self.weights[i])] += 1
            while least and counts[least] < top_k:
                least -= 1
                counts[least] += counts[least + 1]
        for i in range(self.n):
            if half_octave(self.weights[i]) >= least and not self.weights[i] < lightest:
                self.heap[found] = <int32_t>i
                found += 1
        return found

    cdef Py_ssize_t first_reaching(self, Py_ssize_t n, Py_ssize_t kept, double mass) noexcept:
        """How many of the `kept` best tokens, the last of heap[:n], weigh `mass` together."""
        cdef double sum = 0
        cdef Py_ssize_t i
        for i in range(kept):
            sum += self.weights[self.heap[n - 1 - i]]
            if sum >= mass:
                return i + 1
        return kept

    cdef void sift(self, Py_ssize_t at, Py_ssize_t n) noexcept:
        """Makes heap[at:n] a heap again, the largest weight on top and the lower index of equal ones."""
        cdef Py_ssize_t child
        cdef int32_t moved = self.heap[at]
        while True:
            child = 2 * at + 1
            if child >= n:
                break
            if child + 1 < n and self.better(self.heap[child + 1], self.heap[child]):
                child += 1
            if not self.better(self.heap[child], moved):
                break
            self.heap[at] = self.heap[child]
            at = child
        self.heap[at] = moved

    cdef inline bint better(self, int32_t a, int32_t b) noexcept:
        return self.weights[a] > self.weights[b] or (self.weights[a] == self.weights[b] and a < b)
