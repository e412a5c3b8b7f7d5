"""TFLite_Detection_PostProcess, the operator that SSD detectors end in: it becomes the file's head.

The graph then ends in what the operator read, box encodings and class scores, and the anchors go into the head.

Source: tensorflow/lite/kernels/detection_postprocess.cc.
"""

import struct

import numpy as np

from edgert.convert.importers.tflite.convolutions import dequantised
from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError
from edgert.graph import Head

NAME = "TFLite_Detection_PostProcess"
MAX_ANCHORS = 100_000
SCALES = ("x_scale", "y_scale", "w_scale", "h_scale")


def postprocess(site):
    """Outputs are two: the boxes (rows of y, x, h, w against the anchors) and the scores of each class."""
    boxes, scores, anchors = site.spec(0), site.spec(1), _anchors(site)
    if len(boxes.shape) != 3 or boxes.shape[0] != 1 or boxes.shape[2] < 4 or boxes.shape[1] != len(anchors):
        raise ConversionError(f"box encodings of shape {boxes.shape} do not fit {len(anchors)} anchors")
    if len(scores.shape) != 3 or scores.shape[:2] != boxes.shape[:2]:
        raise ConversionError(f"scores of shape {scores.shape} do not fit boxes of shape {boxes.shape}")
    if boxes.shape[2] != 4:
        raise Unsupported(f"{boxes.shape[2]} numbers a box: the {boxes.shape[2] - 4} beside its sides are keypoints")
    options = _options(site)
    background = scores.shape[2] - options["num_classes"]
    if background not in (0, 1):
        raise ConversionError(f"{scores.shape[2]} scores a box for {options['num_classes']} classes")
    site.draft.head = Head(
        "ssd", ("box", "class"), anchors=tuple(anchors[:, [1, 0, 3, 2]].reshape(-1).tolist()), box_order="yxhw",
        scales=tuple([1.0 / options[name] for name in SCALES]), background=background,
        score_threshold=min(max(options["nms_score_threshold"], 0.0), 1.0),
        iou_threshold=min(max(options["nms_iou_threshold"], 0.0), 1.0),
        max_boxes=options["max_detections"],
    )  # fmt: skip
    site.note("each box has its best class alone and hides only others of that class, whichever suppression was asked")
    site.ends(site.input(0), site.input(1))


def _anchors(site):
    """(N, 4) float64: centre y, x, height and width, as fractions of the picture."""
    tensor, value = site.spec(2), site.draft.value(site.input(2))
    if value is None or value.ndim != 2 or value.shape[1] != 4 or not 1 <= len(value) <= MAX_ANCHORS:
        raise ConversionError(f"anchors '{tensor.name}' of shape {tensor.shape} are no constant of up to "
                              f"{MAX_ANCHORS:,} rows of 4")  # fmt: skip
    if tensor.quant is not None:
        if tensor.quant.axis is not None:
            raise Unsupported(f"anchors '{tensor.name}' are quantised per channel")
        value = dequantised(value, tensor.quant)
    if value.dtype != np.float32 or not np.isfinite(value).all():
        raise ConversionError(f"anchors '{tensor.name}' are not finite numbers")
    return value.astype(np.float64)


def _options(site):
    """The operator's options, a FlexBuffers map of which only numbers are read."""
    from flatbuffers import flexbuffers

    wanted = ("num_classes", "max_detections", "nms_score_threshold", "nms_iou_threshold", *SCALES)
    found = {}
    try:
        table = flexbuffers.GetRoot(bytearray(site.custom_options)).AsMap
        found |= {name: float(table[name].AsFloat) for name in wanted}
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, struct.error) as error:
        raise ConversionError(f"its options are damaged or incomplete ({type(error).__name__}: {error})") from None
    if not all(np.isfinite(list(found.values()))) or not all(1e-3 <= found[name] <= 1e6 for name in SCALES):
        raise ConversionError(f"its options {found} are not numbers that boxes can be scaled by")
    return found | {name: int(found[name]) for name in ("num_classes", "max_detections")}
