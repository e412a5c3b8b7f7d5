"""Frames in, answers out: the loop from a camera to what was seen, with the time that each stage took."""

from time import monotonic_ns

from edgert.errors import InputError

STAGES = ("capture", "preprocess", "inference", "postprocess", "draw", "total")


class Seen:
    """What one frame showed.

    frame: the Frame. items: Detection objects, Class objects, or joints (y, x, score) of a pose; kind says which:
    "detect", "classify" or "pose". place: where the frame lies in the model's input. ms: dict from STAGES to
    milliseconds; capture is the time from the capture to the start of the work, total from the capture to the answer.
    """

    __slots__ = ("frame", "items", "kind", "place", "ms", "picture")

    def __init__(self, frame, items, kind, place, ms):
        self.frame, self.items, self.kind, self.place, self.ms, self.picture = frame, items, kind, place, ms, None

    def as_dict(self):
        """For JSON; boxes are [left, top, right, bottom] in pixels of the frame."""
        found = {"frame": self.frame.number, "width": self.frame.width, "height": self.frame.height}
        if self.frame.name:
            found["input"] = self.frame.name
        if self.kind == "pose":
            found["joints"] = [[round(value, 4) for value in joint] for joint in self.items]
        elif self.kind == "classify":
            found["classes"] = [{"label": c.label, "score": round(c.score, 4), "index": c.index} for c in self.items]
        else:
            found["detections"] = [
                {"label": d.label, "score": round(d.score, 4), "index": d.index, "box": [round(s, 1) for s in d.box]}
                for d in self.items
            ]
        found["ms"] = {stage: round(value, 3) for stage, value in self.ms.items()}
        return found


class Watcher:
    """A model that looks at frames; one per thread.

    score, iou: thresholds other than the model's own, which may be changed while it runs. top: classes of a classifier.
    """

    def __init__(self, model, score=None, iou=None, top=3):
        from edgert.vision.frames import FramePreprocessor

        self.model, self.score, self.iou, self.top = model, score, iou, top
        self.kind = _kind(model)
        if len(model.inputs) != 1:
            raise InputError(f"the model has {len(model.inputs)} inputs; frames are for models of one")
        self._prepare = FramePreprocessor(model.inputs[0], model.metadata.preprocess)
        self._input = None
        self._whole = None

    def threshold(self):
        """The least score that is shown; None where the model has none."""
        if self.kind != "detect":
            return None
        return self.model.metadata.head.score_threshold if self.score is None else self.score

    def __call__(self, frame):
        """What the frame shows, a Seen."""
        start = monotonic_ns()
        source = frame.small or frame
        self._input, place = self._prepare(source, self._input)
        if frame.small is not None:
            place = _of_larger(place, frame)
        prepared = monotonic_ns()
        outputs = self.model.run_buffers([self._input])
        answered = monotonic_ns()
        items = self._items(outputs, place)
        done = monotonic_ns()
        ms = {
            "capture": (start - frame.timestamp_ns) / 1e6,
            "preprocess": (prepared - start) / 1e6,
            "inference": (answered - prepared) / 1e6,
            "postprocess": (done - answered) / 1e6,
            "draw": 0.0,
            "total": (done - frame.timestamp_ns) / 1e6,
        }
        return Seen(frame, items, self.kind, place, ms)

    def _items(self, outputs, place):
        if self.kind == "detect":
            return self.model.locate(outputs, place, self.score, self.iou)
        if self.kind == "classify":
            return self.model.rank(outputs[0], self.top)
        from edgert.model import real_values

        values = real_values(outputs[0], self.model.outputs[0])
        return [tuple(values[at : at + 3]) for at in range(0, 51, 3)]


def draw(seen, status=""):
    """The frame as a PIL image with what was seen in it; its time goes into the Seen."""
    from edgert.vision import draw as pencil

    start = monotonic_ns()
    picture = pencil.picture_of(seen.frame)
    if seen.kind == "detect":
        pencil.draw_detections(picture, seen.items)
    elif seen.kind == "classify":
        pencil.draw_classes(picture, seen.items)
    else:
        pencil.draw_pose(picture, seen.items, seen.place)
    if status:
        pencil.draw_status(picture, status)
    elapsed = (monotonic_ns() - start) / 1e6
    seen.ms["draw"] += elapsed
    seen.ms["total"] += elapsed
    return picture


class Timings:
    """Median and 95th percentile of each stage over the last `kept` frames, and the frame rate."""

    def __init__(self, kept=512):
        self.kept, self.rows, self.count, self.ends = kept, [], 0, []

    def add(self, ms):
        self.rows.append(ms)
        self.ends.append(monotonic_ns())
        self.count += 1
        if len(self.rows) > self.kept:
            del self.rows[: self.kept // 2], self.ends[: self.kept // 2]

    def summary(self):
        """{stage: (median, 95th percentile)} in milliseconds; {} before the first frame."""
        if not self.rows:
            return {}
        return {stage: _percentiles([row[stage] for row in self.rows]) for stage in STAGES}

    def fps(self):
        """Frames a second over the last ones; 0 before the second frame."""
        span = self.ends[-1] - self.ends[0] if len(self.ends) > 1 else 0
        return (len(self.ends) - 1) * 1e9 / span if span else 0.0


def _percentiles(values):
    values = sorted(values)
    return values[len(values) // 2], values[min(len(values) - 1, int(0.95 * len(values)))]


def _kind(model):
    if model.metadata.head is not None:
        return "detect"
    shape = model.outputs[0].shape
    if len(model.outputs) == 1 and shape and shape[-2:] == (17, 3):
        return "pose"
    model.check_classifies()
    return "classify"


def _of_larger(place, frame):
    """The Place of the frame whose smaller twin was looked at."""
    from edgert.vision.detect import Place

    (width, height), source, target = place
    factors = (frame.width / width, frame.height / height) * 2
    return Place(((frame.width, frame.height), tuple([side * by for side, by in zip(source, factors)]), target))
