"""Detectors: which head a graph has, and its outputs cut where the head takes over.

What follows the last convolutions (sigmoids, softmaxes, joining the levels) is done by the head in a few microseconds,
for the few candidates that matter. It also would cost accuracy in int8: joined columns share one scale, although boxes
and scores have little in common. So the last convolutions' results become the outputs.

Sources of the arithmetic: each network's own published inference code.
"""

from edgert.errors import InputError
from edgert.graph import Head, Preprocess, Record

_COCO_ANCHORS = (12.64, 19.39, 37.88, 51.48, 55.71, 138.31, 126.91, 78.23, 131.57, 214.55, 279.92, 258.87)
_FACES = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256)


class Preset(Record):
    """One network family.

    head: its Head, without columns. roles: what the last convolutions of a level give, in order. activations: that
    followed them. preprocess: how it was trained to see. labels: () if they depend on the training.
    """

    __slots__ = ("head", "roles", "activations", "preprocess", "labels")
    _defaults = {"labels": ()}


def _float32(values):
    from numpy import float32

    return tuple([float(float32(value)) for value in values])


PRESETS = {
    "fastestdet": Preset(
        Head("fastestdet", (), strides=(16,), score_threshold=0.65),
        ("object", "box", "class"), {"object": "sigmoid", "class": "softmax"},
        Preprocess("BGR", "stretch", (0.0,), (255.0,)),
    ),
    "yolo_fastestv2": Preset(
        Head("yolo_fastestv2", (), strides=(16, 32), anchors=_float32(_COCO_ANCHORS), anchor_counts=(3, 3),
             score_threshold=0.3, iou_threshold=0.4),
        ("box", "object", "class"), {"box": "sigmoid", "object": "sigmoid", "class": "softmax"},
        Preprocess("BGR", "stretch", (0.0,), (255.0,)),
    ),
    "yolox": Preset(
        Head("yolox", (), strides=(8, 16, 32), score_threshold=0.3),
        ("box", "object", "class"), {"object": "sigmoid", "class": "sigmoid"},
        Preprocess("BGR", "letterbox", (0.0,), (1.0,)),
    ),
    "ultraface": Preset(
        Head("ssd", (), strides=(8, 16, 32, 64), anchors=tuple([float(side) for side in _FACES for _ in range(2)]),
             anchor_counts=(3, 2, 2, 3), scales=(0.1, 0.1, 0.2, 0.2), background=1, score_threshold=0.7,
             iou_threshold=0.3),
        ("class", "box"), {"class": "softmax"},
        Preprocess("RGB", "stretch", (127.0,), (128.0,)), ("face",),
    ),
    "yolo": Preset(
        Head("yolo", (), strides=(8, 16, 32), score_threshold=0.3),
        ("box", "class"), {"class": "sigmoid"},
        Preprocess("RGB", "letterbox", (0.0,), (255.0,)),
    ),
}  # fmt: skip


def attach(draft, name=None):
    """(Head, Preset) of the draft, whose outputs are cut to fit; (None, None) for one that is no detector.

    name: a key of PRESETS; None: the source model's own or found by the shapes of the outputs, "none": not looked for.
    Raises: InputError if the named head does not fit the network.
    """
    if name == "none":
        return None, None
    if name is None and draft.head is not None:
        return draft.head, None
    if name is not None and name not in PRESETS:
        raise InputError(f"head {name!r} is none of {', '.join(PRESETS)}")
    if name is None:
        name = _recognised(draft)
        try:
            return (None, None) if name is None else _attached(draft, name)
        except InputError:  # a classifier of tiny pictures may have a detector's shapes
            return None, None
    return _attached(draft, name)


def _attached(draft, name):
    preset = PRESETS[name]
    height, width = _picture_size(draft, name)
    outputs, columns = _cut(draft, preset, name, height, width)
    draft.outputs[:] = outputs
    draft.drop_unused()
    draft.fused[f"outputs cut for head {name}"] += 1
    return preset.head.replace(columns=tuple(columns)), preset


def _picture_size(draft, name):
    shape = draft.tensors[draft.inputs[0]].shape if len(draft.inputs) == 1 else ()
    if len(shape) != 4 or shape[0] != 1:
        raise InputError(f"head {name!r}: the model does not take one picture")
    return shape[1:3]


def _recognised(draft):
    """The preset whose outputs, as its authors export them, have these shapes."""
    if len(draft.inputs) != 1 or len(draft.tensors[draft.inputs[0]].shape) != 4:
        return None
    height, width = draft.tensors[draft.inputs[0]].shape[1:3]
    shapes = [draft.tensors[i].shape for i in draft.outputs]
    rows, columns = [_product(shape[:-1]) for shape in shapes], [shape[-1] if shape else 0 for shape in shapes]
    if len(shapes) == 2:
        cells = sum(h * w * n for (h, w), n in zip(_grids("ultraface", height, width), (3, 2, 2, 3)))
        return "ultraface" if rows == [cells, cells] and sorted(columns) == [2, 4] else None
    if len(shapes) != 1:
        return None
    least = {"fastestdet": 6, "yolo_fastestv2": 16, "yolox": 6}
    for name, fewest in least.items():
        if rows[0] == sum(h * w for h, w in _grids(name, height, width)) and columns[0] >= fewest:
            return name
    return None


def _grids(name, height, width):
    return [(-(-height // stride), -(-width // stride)) for stride in PRESETS[name].head.strides]


def _cut(draft, preset, name, height, width):
    """(tensors that become the outputs, the head's columns for each)."""
    outputs, columns = [], []
    found = _last_convolutions(draft)
    grids = _grids(name, height, width)
    for level, grid in enumerate(grids):
        anchors = (preset.head.anchor_counts or (1,) * len(grids))[level]
        leaves = [i for i in found if draft.tensors[i].shape[1:3] == grid]
        if len(leaves) != len(preset.roles):
            raise InputError(
                f"head {name!r}: level {level} of {grid[0]} x {grid[1]} cells should end in {len(preset.roles)} "
                f"convolutions ({', '.join(preset.roles)}), the network has {len(leaves)}"
            )
        for role in preset.roles:
            outputs.append(_leaf(draft, leaves, preset.roles, role, anchors, name))
            columns.append(":".join(filter(None, (role, preset.activations.get(role)))))
    return outputs, columns


def _leaf(draft, leaves, roles, role, anchors, name):
    """The tensor of a role: by its width where that decides, else by its place."""
    widths = {"box": 4 * anchors, "object": anchors}
    fitting = [i for i in leaves if draft.tensors[i].shape[3] == widths.get(role)]
    if role == "class":
        fitting = [i for i in leaves if draft.tensors[i].shape[3] not in [widths[r] for r in roles if r != "class"]]
    if len(fitting) == 1:
        return fitting[0]
    leaf = leaves[roles.index(role)]
    if role != "class" and draft.tensors[leaf].shape[3] != widths[role]:
        raise InputError(f"head {name!r}: no convolution gives the {widths[role]} columns of {role}")
    return leaf


def _last_convolutions(draft):
    """Results of the convolutions that are first met going back from the outputs, in the order of the outputs."""
    producers, found, seen = draft.producers(), [], set()
    waiting = list(reversed(draft.outputs))
    while waiting:
        index = waiting.pop()
        if index in seen or index not in producers:
            continue
        seen.add(index)
        node = draft.nodes[producers[index]]
        if node.op in ("conv2d", "depthwise_conv2d"):
            found.append(index)
        else:
            waiting.extend(i for i in reversed(node.inputs) if i >= 0)
    return found


def _product(values):
    result = 1
    for value in values:
        result *= value
    return result
