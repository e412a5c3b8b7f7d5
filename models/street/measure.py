"""mAP of a float detector on the validation pictures, with the runtime's own preprocessing, decoding and metric."""

import numpy as np
import torch

import edgert
from edgert import heads
from edgert.graph import Head, Metadata, Preprocess, Quant, Tensor
from edgert.vision.detect import Detector as Answers
from edgert.vision.metrics import mean_average_precision
from edgert.vision.preprocess import Preprocessor
from models.street.model import CLASSES, SIZE, STRIDES

LEAST_SCORE = 0.01  # of what counts for mAP; the file's threshold is for people
HEAD = Head("yolo", ("box", "class:sigmoid") * len(STRIDES), strides=STRIDES, score_threshold=0.35, iou_threshold=0.5)
METADATA = Metadata(
    task="detect", labels=CLASSES, head=HEAD, preprocess=Preprocess("RGB", "letterbox", (128.0,) * 3, (64.0,) * 3)
)


def truth_of(pictures):
    """The boxes of pictures as the metric takes them."""
    return [
        [(int(label), tuple(map(float, box)), False) for label, box in zip(picture.labels, picture.boxes)]
        for picture in pictures
    ]


class Validation:
    """The pictures of the validation split as the model's input, kept in memory."""

    def __init__(self, pictures, size=SIZE):
        self.picture = Tensor("image", "int8", (1, size, size, 3), Quant((1.0 / 64.0,), 0))
        prepare = Preprocessor(self.picture, METADATA.preprocess)
        placed = [prepare.placed(picture.pixels.numpy()) for picture in pictures]
        words = np.stack([np.frombuffer(words, np.int8).reshape(size, size, 3) for words, _ in placed])
        self.words, self.places = torch.from_numpy(words), [place for _, place in placed]
        self.truth = truth_of(pictures)

    @torch.no_grad()
    def __call__(self, model, bf16=False, batch=52):
        """(mAP@0.5, {class index: AP}) of a network in eval mode."""
        model.eval()
        answers, found = None, []
        for start in range(0, len(self.words), batch):
            x = self.words[start : start + batch].permute(0, 3, 1, 2).float() / 64.0
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                outputs = model(x.contiguous(memory_format=torch.channels_last))
            outputs = [part.float().permute(0, 2, 3, 1).contiguous().numpy() for part in outputs]
            answers = answers or self._answers(outputs)
            for at in range(len(x)):
                place = self.places[start + at]
                seen = answers([part[at].tobytes() for part in outputs], place, LEAST_SCORE)
                found.append([(one.index, one.score, one.box) for one in seen])
        return mean_average_precision(found, self.truth)

    def _answers(self, outputs):
        tensors = [Tensor(f"output {k}", "float32", (1, *part.shape[1:])) for k, part in enumerate(outputs)]
        heads.layout(HEAD, [self.picture.shape], tensors)
        return Answers(self.picture, tensors, METADATA)


def shipped(model, pictures):
    """(mAP@0.5, {class index: AP}) of a model file on `pictures`, a list of Picture, in the kernels of this machine."""
    loaded = edgert.load(model, threads=1)
    found = [
        [(one.index, one.score, one.box) for one in loaded.detect(picture.pixels.numpy(), score=LEAST_SCORE)]
        for picture in pictures
    ]
    return mean_average_precision(found, truth_of(pictures))
