"""A detector's outputs -> boxes: the definition of decoding and of class-aware non-maximum suppression.

Each candidate has a place (bx, by) and factors (kx, ky, kw, kh), its prior, and four numbers f(t) of the output:

    corners:    x1 = bx + f(t0) * kx    y1 = by + f(t1) * ky    x2 = bx + f(t2) * kw    y2 = by + f(t3) * kh
    otherwise:  x  = bx + f(t0) * kx    y  = by + f(t1) * ky    w  = f(t2) * kw         h  = f(t3) * kh

in float32, (x, y) the middle of the box. f of an int8 word comes from a table of 256 float32, so that all tiers agree;
of a float it is computed in float64 and rounded once, which may differ in the last bit from one mathematics library to
another. The score is object * class, of the best class alone (of equal ones the first).
"""

import numpy as np

_FUNCTIONS = {
    "": lambda t: t,
    "identity": lambda t: t,
    "sigmoid": lambda t: 1.0 / (1.0 + np.exp(-t)),
    "tanh": np.tanh,
    "exp": np.exp,
    "centre_v5": lambda t: 2.0 * t - 0.5,
    "size_v5": lambda t: 4.0 * t * t,
}


class BoxDecoder:
    """Built once for a model.

    outputs: (dtype, elements) of each output. groups: (rows, box, object, classes) each; a view is None or (output,
    offset, row, column, activation, tables): elements to candidate 0, to the next candidate and column; tables, for
    int8: 1,024 bytes each, float32 by word + 128. box has one for centre, w and h; a softmax and bins have one of
    exp(-scale * d) by the distance d from the largest. priors: float32 (candidates, 6), bytes. functions, size_scales:
    for centre and size of float outputs, and factors of w and h inside the latter. order: which box columns are x, y,
    w, h. powers: exponents of object and class scores. limit: the most boxes given.
    """

    def __init__(self, *, outputs, groups, priors, functions, size_scales, order, powers, corners, bins, classes,
                 background, limit):  # fmt: skip
        self.outputs, self.groups, self.functions, self.size_scales = outputs, groups, functions, size_scales
        self.priors = np.frombuffer(priors, np.float32).reshape(-1, 6)
        self.order, self.powers, self.corners, self.bins = order, powers, corners, bins
        self.classes, self.background, self.limit = classes, background, limit

    def __call__(self, buffers, score_threshold, iou_threshold):
        """Boxes as tuples (x1, y1, x2, y2, score, class), best first, in pixels of the input.

        buffers: the bytes of each output. A box of a score below score_threshold is left out, and so is one that
        overlaps a better one of its class by more than iou_threshold.
        """
        arrays = [np.frombuffer(buffer, dtype, elements) for buffer, (dtype, elements) in zip(buffers, self.outputs)]
        with np.errstate(all="ignore"):
            score_threshold, iou_threshold = np.float32(score_threshold), np.float32(iou_threshold)
            boxes, scores, labels = self._decode(arrays, score_threshold)
            kept = suppress(boxes, scores, labels, iou_threshold, self.limit)
        rows = zip(boxes[kept].tolist(), scores[kept].tolist(), labels[kept].tolist())
        return [(*box, score, label) for box, score, label in rows]

    def _decode(self, arrays, score_threshold):
        found = [([], [], [])]
        first = 0
        for rows, box, objects, classes in self.groups:
            prior = self.priors[first : first + rows]
            first += rows
            object_scores = self._object_scores(arrays, objects, rows)
            class_scores, labels = self._class_scores(arrays, classes, rows)
            scores = object_scores * class_scores
            chosen = np.flatnonzero((object_scores >= score_threshold) & (scores >= score_threshold))
            corners = self._boxes(arrays, box, rows, prior)[chosen]
            real = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
            found.append((corners[real], scores[chosen][real], labels[chosen][real]))
        boxes, scores, labels = (np.concatenate(part) for part in zip(*found[1:]))
        return boxes, scores, labels

    def _object_scores(self, arrays, view, rows):
        if view is None:
            return np.ones(rows, np.float32)
        values = _columns(arrays, view, rows, 1)[:, 0]
        if values.dtype == np.int8:
            return _looked_up(view, 0, values)
        return _power(_FUNCTIONS[view[4]](values.astype(np.float64)).astype(np.float32), self.powers[0])

    def _class_scores(self, arrays, view, rows):
        values = _columns(arrays, view, rows, self.classes)
        values = np.where(np.isnan(values), -np.inf, values) if values.dtype != np.int8 else values
        own = values[:, self.background :]
        labels = own.argmax(axis=1)
        best = own[np.arange(rows), labels]
        if view[4] != "softmax":
            if values.dtype == np.int8:
                return _looked_up(view, 0, best), labels
            return _power(_FUNCTIONS[view[4]](best.astype(np.float64)).astype(np.float32), self.powers[1]), labels
        top = values.max(axis=1) if self.background else best
        share = _weights(view, best, top) / _weights(view, values, top[:, None]).sum(axis=1)
        return _power(share, self.powers[1]), labels

    def _boxes(self, arrays, view, rows, prior):
        columns = _columns(arrays, view, rows, 4 * self.bins)
        x, y, w, h = (self._numbers(view, columns, self.order[i], max(0, i - 1), i > 1) for i in range(4))
        x, y = prior[:, 0] + x * prior[:, 2], prior[:, 1] + y * prior[:, 3]
        w, h = w * prior[:, 4], h * prior[:, 5]
        if self.corners:
            return np.stack([x, y, prior[:, 0] + w, prior[:, 1] + h], axis=1)
        half = np.float32(0.5)
        return np.stack([x - w * half, y - h * half, x + w * half, y + h * half], axis=1)

    def _numbers(self, view, columns, side, part, is_size):
        if self.bins > 1:
            logs = columns[:, side * self.bins : (side + 1) * self.bins]
            weights = _weights(view, logs, logs.max(axis=1, keepdims=True))
            return ((weights * np.arange(self.bins)).sum(axis=1) / weights.sum(axis=1)).astype(np.float32)
        values = columns[:, side]
        if values.dtype == np.int8:
            return _looked_up(view, part, values)
        inner = _FUNCTIONS[view[4]](values.astype(np.float64)).astype(np.float32).astype(np.float64)
        factor = self.size_scales[part - 1] if is_size else 1.0
        return _FUNCTIONS[self.functions[is_size]](factor * inner).astype(np.float32)


def suppress(boxes, scores, labels, iou_threshold, limit):
    """Indices of the boxes to keep, best first: greedy, per class, at most `limit`.

    boxes (N, 4) float32: x1, y1, x2, y2. A box goes if intersection > iou_threshold * union with a better one kept.
    """
    order = np.argsort(-scores, kind="stable")
    x1, y1, x2, y2 = boxes[order].T
    area, labels = (x2 - x1) * (y2 - y1), labels[order]
    hidden = np.zeros(len(order), bool)
    kept = []
    for i in range(len(order)):
        if hidden[i]:
            continue
        if len(kept) == limit:
            break
        kept.append(order[i])
        w = np.maximum(np.minimum(x2[i], x2) - np.maximum(x1[i], x1), 0)
        h = np.maximum(np.minimum(y2[i], y2) - np.maximum(y1[i], y1), 0)
        both = w * h
        hidden |= (both > iou_threshold * (area + area[i] - both)) & (labels == labels[i])
    return np.array(kept, np.int64)


def _columns(arrays, view, rows, columns):
    output, offset, row, column = view[:4]
    return arrays[output][offset + row * np.arange(rows)[:, None] + column * np.arange(columns)]


def _looked_up(view, part, words):
    return np.frombuffer(view[5][part], np.float32)[words.astype(int) + 128]


def _weights(view, values, top):
    """exp(value - top) in float64: the unnormalised softmax."""
    if values.dtype == np.int8:
        return np.frombuffer(view[5][0], np.float32)[top.astype(int) - values].astype(np.float64)
    return np.exp(values.astype(np.float64) - top)


def _power(values, exponent):
    if exponent == 1.0:
        return values.astype(np.float32)
    return np.power(values.astype(np.float64), exponent).astype(np.float32)
