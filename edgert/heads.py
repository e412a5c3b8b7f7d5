"""What a `Head` says about a detector's outputs, proved against their shapes: where each candidate's numbers lie.

A candidate is one cell of one level and one anchor of it. Candidates of the same level and anchor form a group: their
numbers lie at equal distances in the outputs, whatever the outputs' layout. `layout` finds the groups or refuses the
head; the decoding kernels trust what it gives.
"""

from edgert.errors import ModelFormatError
from edgert.graph import Record


class Kind(Record):
    """How one kind of head turns numbers into boxes.

    corners: the four columns are two corners and not a centre and a size. centre, size: the function applied to the
    first and to the last two columns. shared_classes: anchors of a cell have the same class columns. powers: exponents
    of objectness and class in the score.
    """

    __slots__ = ("corners", "centre", "size", "shared_classes", "powers")
    _defaults = {"shared_classes": False, "powers": (1.0, 1.0)}


KINDS = {
    "yolo": Kind(True, "identity", "identity"),
    "yolox": Kind(False, "identity", "exp"),
    "fastestdet": Kind(False, "tanh", "sigmoid", powers=(0.6, 0.4)),
    "yolo_fastestv2": Kind(False, "centre_v5", "size_v5", shared_classes=True),
    "ssd": Kind(False, "identity", "exp"),
    "boxes": Kind(False, "identity", "identity"),
}
BOX_ORDERS = {"xywh": (0, 1, 2, 3), "yxhw": (1, 0, 3, 2), "xyxy": (0, 1, 2, 3), "yxyx": (1, 0, 3, 2)}
ACTIVATIONS = {"box": ("", "sigmoid"), "object": ("", "sigmoid"), "class": ("", "sigmoid", "softmax")}
MAX_ANCHORS_A_LEVEL = 64
MAX_BOXES = 10_000
MAX_BINS = 64


class View(Record):
    """Where one number of a group's candidate 0 lies, and the way to the next candidate and to the next column.

    output: index of the graph's output. offset, row, column: in elements. activation: still to be applied.
    """

    __slots__ = ("output", "offset", "row", "column", "activation")


class Group(Record):
    """The candidates of one anchor of one level, row by row of the level's cells.

    rows: how many. box, object, classes: a View each; object may be None. level, anchor: which.
    """

    __slots__ = ("rows", "box", "object", "classes", "level", "anchor")


class Layout(Record):
    """groups: tuple of Group. classes: columns of a class view, background included. grids: (h, w) per level."""

    __slots__ = ("groups", "classes", "grids")


def is_corners(head):
    """Whether the four box columns mean two corners rather than a centre and a size."""
    return KINDS[head.kind].corners or (head.kind == "boxes" and head.box_order in ("xyxy", "yxyx"))


def check(graph):
    """Raises: ModelFormatError if the graph's head does not fit its outputs."""
    head = graph.metadata.head
    if head is None:
        return
    shapes = [graph.tensors[i].shape for i in graph.inputs]
    layout(head, shapes, [graph.tensors[i] for i in graph.outputs])


def layout(head, input_shapes, outputs):
    """The Layout of a head. outputs: the graph's output tensors, in order.

    Raises: ModelFormatError.
    """
    _check_numbers(head)
    size = _picture_size(input_shapes)
    for tensor in outputs:
        _check_output(tensor)
    grids = [(-(-size[0] // stride), -(-size[1] // stride)) for stride in head.strides]
    counts = head.anchor_counts or (1,) * len(head.strides)
    cells = [h * w for h, w in grids]
    if not head.strides:
        cells, counts = [_explicit_rows(head, outputs)], (1,)
    parts, classes = _parts(head, cells, counts, outputs)
    groups = [
        Group(rows, parts["box"][level, anchor], parts["object"].get((level, anchor)), parts["class"][level, anchor],
              level, anchor)
        for level, rows in enumerate(cells)
        for anchor in range(counts[level])
    ]  # fmt: skip
    return Layout(tuple(groups), classes, tuple(grids))


def _check_numbers(head):
    if head.kind not in KINDS:
        raise ModelFormatError(f"head: kind {head.kind!r} is none of {', '.join(KINDS)}")
    if head.box_order not in BOX_ORDERS:
        raise ModelFormatError(f"head: box order {head.box_order!r} is none of {', '.join(BOX_ORDERS)}")
    if not all(1 <= stride <= 4096 for stride in head.strides):
        raise ModelFormatError(f"head: strides {head.strides} are not all from 1 to 4,096 pixels")
    if head.anchor_counts and len(head.anchor_counts) != len(head.strides):
        raise ModelFormatError(f"head: {len(head.anchor_counts)} anchor counts for {len(head.strides)} strides")
    if not all(1 <= count <= MAX_ANCHORS_A_LEVEL for count in head.anchor_counts):
        raise ModelFormatError(f"head: anchor counts {head.anchor_counts} are not all from 1 to {MAX_ANCHORS_A_LEVEL}")
    numbers = (*head.anchors, *head.scales, head.score_threshold, head.iou_threshold)
    if not all(abs(value) < 1e9 for value in numbers):
        raise ModelFormatError("head: an anchor, scale or threshold is not a number below 1e9")
    if len(head.scales) != 4:
        raise ModelFormatError(f"head: {len(head.scales)} scales; there must be 4, for x, y, w and h")
    if not 0 <= head.score_threshold <= 1 or not 0 <= head.iou_threshold <= 1:
        raise ModelFormatError(
            f"head: thresholds {head.score_threshold} (score) and {head.iou_threshold} (IoU) are not between 0 and 1"
        )
    limits = {"bins": (1, MAX_BINS), "background": (0, 1), "max_boxes": (1, MAX_BOXES)}
    for name, (low, high) in limits.items():
        if not low <= getattr(head, name) <= high:
            raise ModelFormatError(f"head: {name} is {getattr(head, name)}, not from {low} to {high}")
    _check_anchors(head)


def _check_anchors(head):
    wanted = 2 * sum(head.anchor_counts) if head.kind in ("yolo_fastestv2", "ssd") and head.strides else 0
    if head.kind in ("yolo_fastestv2", "ssd") and head.strides:
        if not wanted or len(head.anchors) != wanted:
            raise ModelFormatError(f"head: {len(head.anchors)} anchor numbers for {wanted // 2} anchors, two each")
    elif head.kind == "ssd":
        if not head.anchors or len(head.anchors) % 4:
            raise ModelFormatError(f"head: {len(head.anchors)} anchor numbers; without strides there are four a row")
    elif head.anchors:
        raise ModelFormatError(f"head: kind {head.kind!r} has no anchors")
    elif not head.strides and head.kind != "boxes":
        raise ModelFormatError(f"head: kind {head.kind!r} needs strides")
    if head.bins > 1 and head.kind != "yolo":
        raise ModelFormatError(f"head: only kind 'yolo' has bins, not {head.kind!r}")


def _picture_size(shapes):
    shape = shapes[0] if len(shapes) == 1 else ()
    if len(shape) != 4 or not all(isinstance(dim, int) for dim in shape):
        raise ModelFormatError(f"head: the inputs {shapes} are not one picture (1, H, W, C)")
    return shape[1:3]


def _check_output(tensor):
    if not all(isinstance(dim, int) for dim in tensor.shape) or not tensor.shape:
        raise ModelFormatError(f"head: output {tensor.name!r} has the shape {tensor.shape}")
    if tensor.dtype == "int8":
        if tensor.quant is None or tensor.quant.axis is not None:
            raise ModelFormatError(f"head: output {tensor.name!r} is int8 without one scale for all of it")
    elif tensor.dtype != "float32":
        raise ModelFormatError(f"head: output {tensor.name!r} is {tensor.dtype}, neither int8 nor float32")


def _explicit_rows(head, outputs):
    """Candidates of a head without a grid: as many as it has anchors, or as its first output has rows."""
    if head.anchors:
        return len(head.anchors) // 4
    shape = outputs[0].shape if outputs else ()
    return _product(shape[:-1])


def _parts(head, cells, counts, outputs):
    """({"box" | "object" | "class": {(level, anchor): View}}, number of class columns)."""
    if len(head.columns) != len(outputs):
        raise ModelFormatError(f"head: it describes {len(head.columns)} outputs, the graph has {len(outputs)}")
    views = {"box": {}, "object": {}, "class": {}}
    seen = {"box": 0, "object": 0, "class": 0}
    widths = set()
    for index, (text, tensor) in enumerate(zip(head.columns, outputs)):
        words = _words(text)
        level = seen[words[0][0]]
        whole = _table(head, cells, counts, tensor, range(len(cells)))
        covered = range(len(cells)) if whole else range(level, level + 1)
        table = whole or (level < len(cells) and _table(head, cells, counts, tensor, covered))
        if not table:
            raise ModelFormatError(
                f"head: output {tensor.name!r} of shape {tensor.shape} fits neither all levels nor level {level} "
                f"of {cells} cells with {tuple(counts)} anchors"
            )
        for name, _ in words:
            seen[name] += len(covered)
        widths.add(_add_views(head, views, words, index, table, covered, cells, counts, tensor))
    widths.discard(0)
    _check_complete(views, cells, counts, widths)
    return views, widths.pop()


def _words(text):
    """[(name, activation)] of one output's columns."""
    words = []
    for word in text.split():
        name, _, activation = word.partition(":")
        if name not in ACTIVATIONS or activation not in ACTIVATIONS[name] or name in [known for known, _ in words]:
            raise ModelFormatError(f"head: columns {text[:80]!r} are not box, object and class with known activations")
        words.append((name, activation))
    if not words:
        raise ModelFormatError("head: an output without columns")
    return words


def _table(head, cells, counts, tensor, covered):
    """(rows a cell, row stride, column stride, columns) of an output that holds the levels `covered`, else None.

    Rows a cell is 0 where a row is a cell and its anchors lie side by side in columns.
    """
    shape = tensor.shape[1:] if len(tensor.shape) > 2 and tensor.shape[0] == 1 else tensor.shape
    in_columns = sum(cells[level] for level in covered)
    in_rows = sum(cells[level] * counts[level] for level in covered)
    same = len({counts[level] for level in covered}) == 1
    for rows, rows_a_cell in ((in_columns, 0), (in_rows, 1)):
        if rows_a_cell == 0 and not same:
            continue
        if _product(shape[:-1]) == rows:
            return rows_a_cell, shape[-1], 1, shape[-1]
        if len(shape) > 1 and _product(shape[1:]) == rows:
            return rows_a_cell, 1, rows, shape[0]
    return None


def _add_views(head, views, words, index, table, covered, cells, counts, tensor):
    """Puts the views of one output into `views`; returns its number of class columns, 0 without any."""
    in_rows, row, column, columns = table
    anchors = 1 if in_rows else counts[covered[0]]
    fixed = {"box": 4 * head.bins * anchors, "object": anchors}
    rest = columns - sum(fixed.get(name, 0) for name, _ in words)
    share = 1 if KINDS[head.kind].shared_classes else anchors
    has_classes = "class" in [name for name, _ in words]
    if (rest < 1 or rest % share) if has_classes else rest:
        raise ModelFormatError(f"head: output {tensor.name!r} of shape {tensor.shape} has {columns} columns a row")
    first = 0
    for name, activation in words:
        width = fixed.get(name, rest)
        step = 0 if name == "class" and share == 1 else width // anchors
        start = 0
        for level in covered:
            for anchor in range(counts[level]):
                at = start * row + first * column + anchor * (row if in_rows else step * column)
                if (level, anchor) in views[name]:
                    raise ModelFormatError(f"head: two outputs have the {name} columns of level {level}")
                stride = row * counts[level] if in_rows else row
                views[name][level, anchor] = View(index, at, stride, column, activation)
            start += cells[level] * (counts[level] if in_rows else 1)
        first += width
    return rest // share if has_classes else 0


def _check_complete(views, cells, counts, widths):
    wanted = sum(counts)
    for name in ("box", "class"):
        if len(views[name]) != wanted:
            raise ModelFormatError(f"head: {len(views[name])} of {wanted} groups have {name} columns")
    if len(views["object"]) not in (0, wanted):
        raise ModelFormatError(f"head: {len(views['object'])} of {wanted} groups have an object column")
    if len(widths) != 1:
        raise ModelFormatError(f"head: its levels have different numbers of classes: {sorted(widths)}")


def _product(values):
    result = 1
    for value in values:
        result *= value
    return result
