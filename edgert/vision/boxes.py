"""From the bytes of a detector's outputs to boxes in pixels of its input: the tables and places that decoding needs.

What depends on the file alone is computed here, once, in plain Python; the candidates are the native kernel's work, or
the reference's where nothing is compiled.
"""

from array import array
from math import exp, tanh

from edgert import heads

_LARGEST = 80.0  # exp() of more would leave float32
_FUNCTIONS = {
    "": lambda t: t,
    "identity": lambda t: t,
    "sigmoid": lambda t: 1.0 / (1.0 + exp(-max(t, -_LARGEST))),
    "tanh": tanh,
    "exp": lambda t: exp(min(t, _LARGEST)),
    "centre_v5": lambda t: 2.0 * t - 0.5,
    "size_v5": lambda t: 4.0 * t * t,
}


def decoder(head, input_tensor, outputs):
    """A function from (list of the outputs' bytes, score threshold, IoU threshold) to boxes.

    Each is (x1, y1, x2, y2, score, class), best first, in pixels of the input. head: a graph.Head; input_tensor: the
    picture (1, H, W, C); outputs: the graph's output tensors.
    Raises: ModelFormatError if the head does not fit them.
    """
    layout = heads.layout(head, [input_tensor.shape], outputs)
    kind = heads.KINDS[head.kind]
    tables = _Tables(head, kind, outputs)
    groups = [
        (g.rows, tables.view("box", g.box), tables.view("object", g.object), tables.view("class", g.classes))
        for g in layout.groups
    ]
    # A size is a factor inside exp() for "ssd", outside it for all others.
    inner = head.scales[2:] if head.kind == "ssd" else (1.0, 1.0)
    return _implementation()(
        outputs=tuple([(tensor.dtype, tensor.size) for tensor in outputs]),
        groups=tuple(groups),
        priors=_priors(head, layout, input_tensor.shape[1:3]).tobytes(),
        functions=(kind.centre, kind.size),
        size_scales=tuple(inner),
        order=heads.BOX_ORDERS[head.box_order],
        powers=kind.powers,
        corners=heads.is_corners(head),
        bins=head.bins,
        classes=layout.classes,
        background=head.background,
        limit=head.max_boxes,
    )


def _implementation():
    try:
        from edgert.kernels.native.boxes import BoxDecoder
    except ImportError:
        from edgert.kernels.reference.boxes import BoxDecoder
    return BoxDecoder


class _Tables:
    """Views as the kernels take them; equal tables are made once."""

    def __init__(self, head, kind, outputs):
        self.head, self.kind, self.outputs, self.known = head, kind, outputs, {}

    def view(self, part, view):
        if view is None:
            return None
        tensor = self.outputs[view.output]
        key = (part, view.output)
        if key not in self.known:
            self.known[key] = self.tables(part, view.activation, tensor) if tensor.dtype == "int8" else ()
        return (view.output, view.offset, view.row, view.column, view.activation, self.known[key])

    def tables(self, part, activation, tensor):
        scale = tensor.quant.scale[0]
        if activation == "softmax" or (part == "box" and self.head.bins > 1):
            return (array("f", [exp(-scale * distance) for distance in range(256)]).tobytes(),)
        real = array("f", [scale * (word - tensor.quant.zero_point) for word in range(-128, 128)])
        real = array("f", [_FUNCTIONS[activation](value) for value in real])
        if part != "box":
            power = self.kind.powers[part == "class"]
            return (array("f", [max(value, 0.0) ** power for value in real]).tobytes(),)
        centre, size = _FUNCTIONS[self.kind.centre], _FUNCTIONS[self.kind.size]
        factors = self.head.scales[2:] if self.head.kind == "ssd" else (1.0, 1.0)
        functions = (centre, *[lambda value, factor=factor: size(factor * value) for factor in factors])
        return tuple([array("f", [function(value) for value in real]).tobytes() for function in functions])


def _priors(head, layout, size):
    """Six float32 for each candidate, group after group: bx, by, kx, ky, kw, kh (see kernels/reference/boxes.py)."""
    height, width = size
    if head.kind == "boxes":
        rows = sum([group.rows for group in layout.groups])
        return array("f", (0.0, 0.0, *head.scales)) * rows
    if not head.strides:
        return _explicit_priors(head, width, height)
    priors = array("f")
    before = [sum(head.anchor_counts[:level]) for level in range(len(head.strides))]
    for group in layout.groups:
        stride, (rows, columns) = head.strides[group.level], layout.grids[group.level]
        at = 2 * (before[group.level] + group.anchor)
        anchor = tuple(head.anchors[at : at + 2]) or (stride, stride)
        middle, factors = _cell(head, stride, anchor, width, height)
        # Prior boxes lie evenly in the picture even where its size is no multiple of the stride.
        step_x, step_y = (width / columns, height / rows) if head.kind == "ssd" else (stride, stride)
        for y in range(rows):
            for x in range(columns):
                priors.extend((step_x * (x + middle), step_y * (y + middle), *factors))
    return priors


def _cell(head, stride, anchor, width, height):
    """(where in a cell its origin lies, the four factors) of one anchor."""
    if head.kind == "yolo":
        return 0.5, (-stride, -stride, stride, stride)
    if head.kind == "fastestdet":
        return 0.0, (stride, stride, width, height)
    if head.kind == "ssd":
        return 0.5, (head.scales[0] * anchor[0], head.scales[1] * anchor[1], *anchor)
    return 0.0, (stride, stride, *anchor)


def _explicit_priors(head, width, height):
    priors = array("f")
    for at in range(0, len(head.anchors), 4):
        x, y, w, h = head.anchors[at : at + 4]
        w, h = w * width, h * height
        priors.extend((x * width, y * height, head.scales[0] * w, head.scales[1] * h, w, h))
    return priors
