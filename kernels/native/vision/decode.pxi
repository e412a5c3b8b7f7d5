# The outputs of one group of candidates -> boxes above the threshold.

cdef inline float apply(Function function, double t) noexcept nogil:
    """In double, rounded once: so are the tables for int8 words."""
    if function == SIGMOID:
        return <float>(1.0 / (1.0 + exp(-t)))
    if function == TANH:
        return <float>tanh(t)
    if function == EXP:
        return <float>exp(t)
    if function == CENTRE_V5:
        return <float>(2.0 * t - 0.5)
    if function == SIZE_V5:
        return <float>(4.0 * t * t)
    return <float>t


cdef inline word lowest(const word *kind) noexcept nogil:
    if word is int8_t:
        return -128
    else:
        return -INFINITY


cdef inline word largest(const word *row, Py_ssize_t n) noexcept nogil:
    """The largest of n neighbours; NaN loses."""
    cdef word lanes[LANES]
    cdef word best = lowest(row)
    cdef Py_ssize_t i = 0, k
    if n >= LANES:
        for k in range(LANES):
            lanes[k] = best
        while i + LANES <= n:
            for k in range(LANES):
                lanes[k] = row[i + k] if row[i + k] > lanes[k] else lanes[k]
            i += LANES
        for k in range(LANES):
            best = lanes[k] if lanes[k] > best else best
    while i < n:
        best = row[i] if row[i] > best else best
        i += 1
    return best


cdef inline void largest_across(const word *first, const View *view, Py_ssize_t rows, Py_ssize_t n, word *best) noexcept nogil:
    """The same for a block of neighbouring rows whose classes lie far apart."""
    cdef Py_ssize_t r, c
    for r in range(rows):
        best[r] = lowest(first)
    for c in range(n):
        for r in range(rows):
            best[r] = first[c * view.column + r * view.row] if first[c * view.column + r * view.row] > best[r] else best[r]


cdef inline float object_score(const View *view, const char **data, Py_ssize_t row, const Rule *rule) noexcept nogil:
    cdef const char *output = data[view.output]
    if not view.is_float:
        return view.tables[0][(<const int8_t *>output)[view.offset + row * view.row] + 128]
    cdef float value = apply(view.activation, (<const float *>output)[view.offset + row * view.row])
    return value if rule.object_power == 1.0 else <float>pow(value, rule.object_power)


cdef inline float class_score(const word *row, const View *view, word best, const Rule *rule) noexcept nogil:
    """The score of the best class; row: the first class column, background included."""
    cdef double total = 0.0, value
    cdef word top = best
    cdef Py_ssize_t c
    if view.activation != SOFTMAX:
        if word is int8_t:
            return view.tables[0][best + 128]
        else:
            value = apply(view.activation, best)
            return <float>value if rule.class_power == 1.0 else <float>pow(value, rule.class_power)
    if rule.background and row[0] > top:
        top = row[0]
    for c in range(rule.classes):
        total += weight_of(row[c * view.column], top, view)
    value = weight_of(best, top, view) / total
    return <float>value if rule.class_power == 1.0 else <float>pow(value, rule.class_power)


cdef inline double weight_of(word value, word top, const View *view) noexcept nogil:
    """exp(value - top), the unnormalised softmax."""
    if word is int8_t:
        return view.tables[0][top - value]
    else:
        return exp(<double>value - <double>top)


cdef inline void decode_group(const word *kind, const Group *group, const Rule *rule, const char **data, const float *priors, Found *found) noexcept nogil:
    cdef const View *view = &group.classes
    cdef const word *classes = <const word *>data[view.output] + view.offset
    cdef const word *own
    cdef word best[BLOCK]
    cdef Py_ssize_t first = 0, r, n = rule.classes - rule.background, rows
    cdef float scores[BLOCK]
    cdef float score
    while first < group.rows:
        rows = min(<Py_ssize_t>BLOCK, group.rows - first)
        for r in range(rows):
            scores[r] = object_score(&group.object, data, first + r, rule) if group.object.present else 1.0
        own = classes + first * view.row + rule.background * view.column
        if view.column == 1:
            for r in range(rows):
                if scores[r] >= rule.score:
                    best[r] = largest(own + r * view.row, n)
        else:
            largest_across(own, view, rows, n, best)
        for r in range(rows):
            if not scores[r] >= rule.score:
                continue
            score = scores[r] * class_score(own + r * view.row - rule.background * view.column, view, best[r], rule)
            if score >= rule.score:
                add_box(own + r * view.row, group, rule, data, priors, first + r, score, best[r], found)
        first += BLOCK


cdef inline void add_box(const word *classes, const Group *group, const Rule *rule, const char **data, const float *priors, Py_ssize_t row, float score, word best, Found *found) noexcept nogil:
    cdef const float *prior = priors + 6 * (group.first + row)
    cdef float x = box_number(&group.box, data, row, rule.x, 0, rule), y = box_number(&group.box, data, row, rule.y, 0, rule)
    cdef float w = box_number(&group.box, data, row, rule.w, 1, rule), h = box_number(&group.box, data, row, rule.h, 2, rule)
    cdef Py_ssize_t i = found.count, label = 0
    while label < rule.classes - rule.background - 1 and classes[label * group.classes.column] != best:
        label += 1
    x, y = prior[0] + x * prior[2], prior[1] + y * prior[3]
    w, h = w * prior[4], h * prior[5]
    if rule.corners:
        found.x1[i], found.y1[i], found.x2[i], found.y2[i] = x, y, prior[0] + w, prior[1] + h
    else:
        found.x1[i], found.y1[i] = x - w * <float>0.5, y - h * <float>0.5
        found.x2[i], found.y2[i] = x + w * <float>0.5, y + h * <float>0.5
    found.score[i], found.label[i] = score, <int32_t>label
    # NaN and boxes without an area are dropped
    found.count += found.x2[i] > found.x1[i] and found.y2[i] > found.y1[i]


cdef inline float box_number(const View *view, const char **data, Py_ssize_t row, int side, int part, const Rule *rule) noexcept nogil:
    """Box column `side` with its function applied; part: 0 for x and y, 1 for w, 2 for h."""
    cdef Py_ssize_t at = view.offset + row * view.row
    cdef Function function = rule.size if part else rule.centre
    cdef double factor = rule.size_w if part == 1 else rule.size_h if part == 2 else 1.0
    if rule.bins > 1:
        at += side * rule.bins * view.column
        if view.is_float:
            return expected(<const float *>data[view.output] + at, view, rule.bins)
        return expected(<const int8_t *>data[view.output] + at, view, rule.bins)
    at += side * view.column
    if view.is_float:
        return apply(function, factor * apply(view.activation, (<const float *>data[view.output])[at]))
    return view.tables[part][(<const int8_t *>data[view.output])[at] + 128]


cdef inline float expected(const word *bins, const View *view, int n) noexcept nogil:
    """The mean of a distribution over 0, 1, 2 ... whose logarithms the columns are."""
    cdef double total = 0.0, moment = 0.0, weight
    cdef word top = lowest(bins)
    cdef int i
    for i in range(n):
        top = bins[i * view.column] if bins[i * view.column] > top else top
    for i in range(n):
        weight = weight_of(bins[i * view.column], top, view)
        total += weight
        moment += i * weight
    return <float>(moment / total)
