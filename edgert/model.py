"""Model: a Session with the face its task asks for."""

from struct import pack

from edgert.errors import InputError
from edgert.session import Session

_STRUCT_CODES = {"float32": "f", "int8": "b", "uint8": "B", "int16": "h", "int32": "i", "int64": "q"}


def load(source, *, threads=None, tier=None, all_rows=False):
    """Load a model file, ready to run.

    source: path, or the file's bytes. threads: how many cores an answer may use. tier: forces one kernel tier.
    all_rows: a language model gives logits for every token, not for the last one.
    Raises: ModelFormatError if the file is wrong, TierError if this CPU lacks the tier.
    """
    return Model(source, threads=threads, tier=tier, all_rows=all_rows)


class Class(tuple):
    """One possible answer: `label, score, index`.

    score is the model's own output as a real number: a probability where the model ends in softmax.
    """

    __slots__ = ()
    label = property(lambda self: self[0], doc="the class's name, or 'class 7' if the model names none")
    score = property(lambda self: self[1], doc="real number, higher is more likely")
    index = property(lambda self: self[2], doc="position in the model's output")

    def __repr__(self):
        return f"Class(label={self.label!r}, score={self.score:.4f}, index={self.index})"


class Model:
    """A loaded model.

    model(x) takes and gives ndarrays; run_buffers takes and gives raw bytes and never imports NumPy; classify takes a
    picture, generate a prompt. Two threads may call it: one waits for the other.
    """

    def __init__(self, source, *, threads=None, tier=None, all_rows=False):
        self.session = Session(source, threads=threads, tier=tier, all_rows=all_rows)
        self._preprocessor = self._detector = self._language = None

    @property
    def inputs(self):
        """What goes in: objects with name, shape, dtype and quant."""
        return self.session.inputs

    @property
    def outputs(self):
        """What comes out: objects with name, shape, dtype and quant."""
        return self.session.outputs

    @property
    def metadata(self):
        """Task, labels, preprocessing, provenance: a graph.Metadata."""
        return self.session.graph.metadata

    def __call__(self, *arrays):
        """Run on one ndarray per input. Returns: the output array, or a tuple of them if there are several.

        Raises: InputError if an array's shape or dtype is not the input's.
        """
        outputs = self.session.run(arrays)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def run_buffers(self, buffers):
        """Run on one bytes-like per input, C-contiguous and of the input's exact size.

        Returns: a memoryview of bytes per output.
        """
        return self.session.run_buffers(buffers)

    def prepare(self, image, name=None):
        """The input's bytes for a picture: a path, encoded bytes, a PIL image or pixels (H, W, 3) uint8, RGB.

        name: what errors call the picture; a path's own name if not given.
        Raises: InputError if it is no picture or the model takes none.
        """
        return self.prepare_placed(image, name)[0]

    def prepare_placed(self, image, name=None):
        """As `prepare`, with the vision.detect.Place that leads from boxes in the input back to the picture."""
        if self._preprocessor is None:
            from edgert.vision.preprocess import Preprocessor

            if len(self.inputs) != 1:
                raise InputError(f"the model has {len(self.inputs)} inputs, so a picture alone does not fill it")
            self._preprocessor = Preprocessor(self.inputs[0], self.metadata.preprocess)
        return self._preprocessor.placed(image, name)

    def classify(self, image, top=5):
        """What the picture shows: the `top` likeliest classes (None: all) as Class objects, best first.

        Raises: InputError if the picture is unreadable or this model does not classify.
        """
        self.check_classifies()
        if top is not None and top < 1:
            raise InputError(f"top is {top}; ask for at least 1 class")
        return self.rank(self.run_buffers([self.prepare(image)])[0], top)

    def detect(self, image, score=None, iou=None):
        """What is where in the picture: Detection objects (label, score, box, index), best first.

        score, iou: thresholds other than the file's: the least score that is shown, and the overlap from which on a box
        hides another of its class.
        Raises: InputError if the picture is unreadable or this model does not detect.
        """
        self.check_detects()
        data, place = self.prepare_placed(image)
        return self.locate(self.run_buffers([data]), place, score, iou)

    def locate(self, outputs, place, score=None, iou=None):
        """The Detection objects in a detector's outputs (bytes), for the picture that `place` belongs to."""
        if self._detector is None:
            from edgert.vision.detect import Detector

            self._detector = Detector(self.inputs[0], self.outputs, self.metadata)
        return self._detector(outputs, place, score, iou)

    def check_detects(self):
        """Raises: InputError if the file does not say how this model's outputs become boxes."""
        if self.metadata.head is None:
            task = self.metadata.task or "none"
            raise InputError(f"this model does not detect: its task is {task} and it has no head for boxes")

    def rank(self, output, top=5):
        """Order the bytes of a classifier's output into Class objects, best first; equal scores by lower index."""
        labels = self.metadata.labels
        scores = real_values(output, self.outputs[0])
        order = sorted(range(len(scores)), key=lambda i: -scores[i] if scores[i] == scores[i] else float("inf"))
        return [Class((labels[i] if i < len(labels) else f"class {i}", scores[i], i)) for i in order[:top]]

    def generate(self, prompt, *, max_tokens=256, stop=(), **sampling):
        """Continue a text: an iterator over its pieces, each a str with `token` and `logit`.

        prompt: text, or token ids. max_tokens: the most to add. stop: text, or several, that end the answer and are not
        part of it. sampling: temperature (0.8; 0: always the likeliest), top_k, top_p, min_p, repetition_penalty, seed.
        The result also has text(), cancel(), tokens, finish_reason and times (`text.generation.Generation`).
        Raises: InputError naming the argument that is wrong, or if this model does not generate.
        """
        return self.language.generate(prompt, max_tokens, stop, **sampling)

    @property
    def language(self):
        """The tokenizer and the loop of a language model, a `text.language.Language`.

        Raises: InputError if this model does not generate, ModelFormatError if its tokenizer is damaged.
        """
        if self._language is None:
            from edgert.text.language import language

            text = self.metadata.text
            if text is None or self.metadata.task != "generate":
                raise InputError(f"this model's task is {self.metadata.task!r}, not 'generate'")
            self._language = language(text, self.outputs[0].shape[-1], self._logits)
        return self._language

    def _logits(self, ids, position):
        """The logits after the last of `ids`, which stand at `position` and behind; a memoryview of float32."""
        count = len(ids)
        buffers = pack(f"<{count}i", *ids), pack("<i", position)
        logits = self.session.run_buffers(buffers)[0].cast("f")
        return logits[-self.outputs[0].shape[-1] :]

    def check_classifies(self):
        """Raises: InputError if this model's answer is not one row of scores."""
        output = self.outputs[0]
        if self.metadata.task not in ("", "classify"):
            raise InputError(f"this model's task is {self.metadata.task!r}, not 'classify'")
        if len(self.outputs) != 1 or not output.shape or _product(output.shape[:-1]) != 1:
            shapes = ", ".join(str(spec.shape) for spec in self.outputs)
            raise InputError(f"this model does not classify: its outputs are {shapes}, not one row of scores")


def real_values(buffer, spec):
    """The numbers in a tensor's bytes as Python numbers, dequantised where the tensor has a scale."""
    words = memoryview(buffer).cast("B").cast(_STRUCT_CODES[spec.dtype]).tolist()
    if spec.quant is None or spec.dtype == "float32" or len(spec.quant.scale) != 1:
        return words
    scale, zero_point = spec.quant.scale[0], spec.quant.zero_point
    return [scale * (word - zero_point) for word in words]


def _product(values):
    result = 1
    for value in values:
        result *= value
    return result
