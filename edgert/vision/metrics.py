"""How good a detector is: average precision of boxes against the truth.

Source: the PASCAL VOC challenge since 2010 (all points of the curve), at the one overlap of 0.5; COCO calls it AP50.
"""

IOU = 0.5


def mean_average_precision(found, truth, iou=IOU):
    """(mAP, {class index: average precision}) over the classes that the truth has.

    found: for each picture its (class index, score, (left, top, right, bottom)), in any order. truth: for each picture
    its (class index, box, ignored); what meets an ignored box (a crowd) counts neither as right nor as wrong.
    iou: from which overlap on a box is right; each true box is met at most once, by the best score.
    """
    classes = sorted({index for boxes in truth for index, _, ignored in boxes if not ignored})
    each = {index: _average_precision(found, truth, index, iou) for index in classes}
    return (sum(each.values()) / len(each) if each else 0.0), each


def _average_precision(found, truth, index, iou):
    wanted = [[(box, ignored) for label, box, ignored in boxes if label == index] for boxes in truth]
    total = sum(not ignored for boxes in wanted for _, ignored in boxes)
    met = [[False] * len(boxes) for boxes in wanted]
    answers = [
        (score, picture, box) for picture, boxes in enumerate(found) for label, score, box in boxes if label == index
    ]
    answers.sort(key=lambda answer: -answer[0])
    right, precision, recall, wrong = 0, [], [], 0
    for _, picture, box in answers:
        hit = _match(box, wanted[picture], met[picture], iou)
        if hit is None:
            continue
        right, wrong = right + hit, wrong + (not hit)
        precision.append(right / (right + wrong))
        recall.append(right / total)
    return _area(recall, precision)


def _match(box, wanted, met, iou):
    """True for the first box on a true one, False for any other, None on an ignored one."""
    best, best_overlap = None, iou
    for i, (other, ignored) in enumerate(wanted):
        overlap = intersection_over_union(box, other)
        if overlap >= best_overlap and not met[i] and not ignored:
            best, best_overlap = i, overlap
    if best is not None:
        met[best] = True
        return True
    if any(ignored and intersection_over_union(box, other) >= iou for other, ignored in wanted):
        return None
    return False


def _area(recall, precision):
    """Under the curve, each precision taken as the best at that recall or a higher one."""
    area = highest = 0.0
    for i in range(len(recall) - 1, -1, -1):
        highest = max(highest, precision[i])
        area += highest * (recall[i] - (recall[i - 1] if i else 0.0))
    return area


def intersection_over_union(a, b):
    """Of two boxes (left, top, right, bottom)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)
