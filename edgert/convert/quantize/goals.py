"""What a budget is held against: accuracy over labelled samples, mAP of a detector, or SQNR where there are no labels.

The int8 graph is measured in the kernels that it will run in; they give what the simulation gives, bit for bit.
"""

import numpy as np

import edgert
from edgert.convert.quantize import batches, measure
from edgert.errors import InputError
from edgert.format import writer
from edgert.vision.detect import Detector
from edgert.vision.metrics import mean_average_precision
from edgert.vision.preprocess import Preprocessor

SQNR_SAMPLES = 32
LEAST_SCORE = 0.01  # a curve of precision over recall needs the doubtful boxes too


def answers(int8, data):
    """The int8 graph's outputs for float samples, a list of arrays (N, ...) each, from the kernels of this machine."""
    model = edgert.load(writer.to_bytes(int8))
    rows = []
    for words in measure.inputs(int8, data):
        out = model(*words)
        rows.append([array.copy() for array in (out if isinstance(out, tuple) else (out,))])
    return [np.stack(arrays) for arrays in zip(*rows)]


class Accuracy:
    """Share of right classes, in points (per cent). floor: what the budget allows it to fall to."""

    unit = "points"

    def __init__(self, graph, data, budget):
        self.data, self.labels = data, np.asarray(data.labels)
        self.exact = self._accuracy(batches.outputs(graph, data)[0])
        self.floor = self.exact - budget

    def __call__(self, int8):
        return self._accuracy(answers(int8, self.data)[0])

    def _accuracy(self, scores):
        found = scores.reshape(len(self.labels), -1).argmax(1)
        return 100.0 * float((found == self.labels).mean())

    def text(self, value):
        return f"accuracy {value:.2f} % ({value - self.exact:+.2f} points)"


class Sqnr:
    """Signal-to-quantisation-noise ratio of the worst output, in dB. floor: the budget itself."""

    unit = "dB"

    def __init__(self, graph, data, budget):
        self.data, self.floor = data, budget
        self.wanted = [np.stack(arrays) for arrays in zip(*[batches.outputs(graph, [sample]) for sample in data])]

    def __call__(self, int8):
        return min(measure.outputs(int8, self.wanted, answers(int8, self.data)))

    def text(self, value):
        return f"SQNR {value:.1f} dB"


class MeanAveragePrecision:
    """mAP at an overlap of 0.5 of a detector, in points. floor: what the budget allows it to fall to.

    pictures: [(path, truth)] of `vision.coco.read`.
    """

    unit = "points"

    def __init__(self, graph, pictures, budget):
        preprocessor = Preprocessor(graph.tensors[graph.inputs[0]], graph.metadata.preprocess)
        shape = graph.tensors[graph.inputs[0]].shape
        self.truth, self.places, self.data = [boxes for _, boxes in pictures], [], []
        for path, _ in pictures:
            pixels, place = preprocessor.placed(path)
            self.data.append((np.frombuffer(pixels, np.float32).reshape(shape),))
            self.places.append(place)
        self.exact = self._score(graph, [batches.outputs(graph, [sample]) for sample in self.data])
        self.floor = self.exact - budget

    def __call__(self, int8):
        return self._score(int8, zip(*answers(int8, self.data)))

    def _score(self, graph, rows):
        detect = Detector(graph.tensors[graph.inputs[0]], [graph.tensors[i] for i in graph.outputs], graph.metadata)
        found = []
        for place, arrays in zip(self.places, rows):
            seen = detect([np.ascontiguousarray(a).tobytes() for a in arrays], place, score=LEAST_SCORE)
            found.append([(one.index, one.score, one.box) for one in seen])
        return 100.0 * mean_average_precision(found, self.truth)[0]

    def text(self, value):
        return f"mAP@0.5 {value:.2f} % ({value - self.exact:+.2f} points)"


def check_labels(graph, data):
    """Raises: InputError if the samples have no labels or some that are no class of the model."""
    if data.labels is None:
        raise InputError(f"{data.source}: no labels: a budget in points needs y in the .npz, or one folder a class")
    classes = graph.tensors[graph.outputs[0]].size
    wrong = [label for label in data.labels if not 0 <= label < classes]
    if wrong or len(graph.outputs) != 1:
        raise InputError(f"{data.source}: label {wrong[0] if wrong else ''} is no class of a model with {classes}")
