# Non-maximum suppression: boxes by falling score, each compared with those kept before it.

cdef inline void copy_box(Found *to, Py_ssize_t i, const Found *source, Py_ssize_t j) noexcept nogil:
    to.x1[i], to.y1[i], to.x2[i], to.y2[i] = source.x1[j], source.y1[j], source.x2[j], source.y2[j]
    to.score[i], to.label[i] = source.score[j], source.label[j]


cdef bint is_hidden(const Found *found, Py_ssize_t at, const Found *kept, float overlap) noexcept nogil:
    """Whether a box kept before covers this one of the same class: intersection / union > overlap."""
    cdef float x1 = found.x1[at], y1 = found.y1[at], x2 = found.x2[at], y2 = found.y2[at], area = (x2 - x1) * (y2 - y1)
    cdef float w, h, both
    cdef int32_t label = found.label[at], hits
    cdef Py_ssize_t i = 0, k
    # Whole vectors: what lies beyond the last box is of class -1.
    while i < kept.count:
        hits = 0
        for k in range(i, i + LANES):
            w = min(x2, kept.x2[k]) - max(x1, kept.x1[k])
            h = min(y2, kept.y2[k]) - max(y1, kept.y1[k])
            w, h = (w if w > 0 else 0), (h if h > 0 else 0)
            both = w * h
            hits |= (both > overlap * (area + (kept.x2[k] - kept.x1[k]) * (kept.y2[k] - kept.y1[k]) - both)) & (kept.label[k] == label)
        if hits:
            return True
        i += LANES
    return False


cdef uint32_t *best_first(uint32_t *memory, const float *scores, Py_ssize_t n) noexcept nogil:
    """Places by falling score, equal ones by rising place: a radix sort, for which scores must not be negative."""
    cdef uint32_t *keys = memory
    cdef uint32_t *source = memory + n
    cdef uint32_t *target = memory + 2 * n
    cdef uint32_t *swap
    cdef uint32_t starts[RADIX]
    cdef uint32_t total, count
    cdef int shift
    cdef Py_ssize_t i
    for i in range(n):
        memcpy(&keys[i], &scores[i], 4)
        keys[i] = ~keys[i]
        source[i] = <uint32_t>i
    for shift in range(0, 33, 11):
        memset(starts, 0, sizeof(starts))
        for i in range(n):
            starts[(keys[i] >> shift) & (RADIX - 1)] += 1
        total = 0
        for i in range(RADIX):
            count = starts[i]
            starts[i] = total
            total += count
        for i in range(n):
            count = (keys[source[i]] >> shift) & (RADIX - 1)
            target[starts[count]] = source[i]
            starts[count] += 1
        swap = source
        source = target
        target = swap
    return source
