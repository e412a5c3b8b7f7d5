"""From a picture's place in the input and the model's outputs to what was seen, in pixels of the picture."""


class Detection(tuple):
    """One thing that was seen: `label, score, box, index`.

    box: (left, top, right, bottom) in pixels of the original picture, within it. score: 0 to 1.
    """

    __slots__ = ()
    label = property(lambda self: self[0], doc="the class's name, or 'class 7' if the model names none")
    score = property(lambda self: self[1], doc="0 to 1, higher is more certain")
    box = property(lambda self: self[2], doc="(left, top, right, bottom) in pixels of the picture")
    index = property(lambda self: self[3], doc="number of the class")

    def __repr__(self):
        box = ", ".join([f"{side:.1f}" for side in self.box])
        return f"Detection(label={self.label!r}, score={self.score:.4f}, box=({box}), index={self.index})"


class Detector:
    """Turns a model's outputs into Detection objects; built once for a model.

    input_tensor, outputs: the graph's. metadata: its Metadata, with a head.
    """

    def __init__(self, input_tensor, outputs, metadata):
        from edgert.vision.boxes import decoder

        self.labels = metadata.labels
        self.score_threshold, self.iou_threshold = metadata.head.score_threshold, metadata.head.iou_threshold
        self._decode = decoder(metadata.head, input_tensor, outputs)

    def __call__(self, buffers, place, score=None, iou=None):
        """The Detections in the outputs' bytes, best first.

        place: the Place of the picture. score, iou: thresholds other than the file's.
        """
        score = self.score_threshold if score is None else score
        iou = self.iou_threshold if iou is None else iou
        found = []
        for x1, y1, x2, y2, certainty, index in self._decode(buffers, score, iou):
            box = place.to_picture(x1, y1, x2, y2)
            if box[2] > box[0] and box[3] > box[1]:
                label = self.labels[index] if index < len(self.labels) else f"class {index}"
                found.append(Detection((label, certainty, box, index)))
        return found


class Place(tuple):
    """Which part of a picture fills which part of the input: `(width, height), source box, target box`.

    width, height: of the original picture. source: (left, top, right, bottom) in it. target: in the input.
    """

    __slots__ = ()

    def to_picture(self, x1, y1, x2, y2):
        """A box of the input as (left, top, right, bottom) in pixels of the original picture, cut at its edges."""
        (width, height), source, target = self
        scale_x = (source[2] - source[0]) / (target[2] - target[0])
        scale_y = (source[3] - source[1]) / (target[3] - target[1])
        left, right = [source[0] + (x - target[0]) * scale_x for x in (x1, x2)]
        top, bottom = [source[1] + (y - target[1]) * scale_y for y in (y1, y2)]
        return max(0.0, left), max(0.0, top), min(float(width), right), min(float(height), bottom)
