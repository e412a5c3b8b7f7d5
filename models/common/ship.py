"""The last steps before a model is shipped: softmax, golden vectors, accuracy out of the product's own session."""

import numpy as np

from edgert.format import writer
from edgert.graph import Node, Quant, Tensor
from edgert.model import Model
from edgert.session import Session

from .training import show_progress


def words(images):
    """uint8 pixels -> the int8 words of a model made here: `pixel - 128` (see training.normalise)."""
    return (images.astype(np.int16) - 128).astype(np.int8)


def with_golden(graph, pictures):
    """`graph` with the answers to picture files stored in it, to be reproduced bit for bit anywhere."""
    model = Model(writer.to_bytes(graph))
    golden = []
    for picture in pictures:
        x = bytes(model.prepare(picture))
        golden.append(((x,), tuple(bytes(y) for y in model.run_buffers([x]))))
    return graph.replace(metadata=graph.metadata.replace(golden=tuple(golden)))


def with_softmax(graph):
    """An int8 graph of one output of scores, with a softmax behind it at scale 1/256."""
    scores = graph.tensors[graph.outputs[0]]
    out = Tensor("scores", "int8", scores.shape, Quant((1.0 / 256.0,), -128))
    node = Node("softmax", graph.outputs, (len(graph.tensors),), {}, "scores")
    return graph.replace(tensors=(*graph.tensors, out), nodes=(*graph.nodes, node), outputs=(len(graph.tensors),))


def accuracy(model, images, labels):
    """Fraction of images (N, H, W, C) uint8 that the int8 model (path or bytes) labels right, in shipped kernels."""
    session = Session(model)
    hits = 0
    for i, (image, label) in enumerate(zip(images, labels)):
        (scores,) = session.run_buffers([words(image).tobytes()])
        hits += int(np.frombuffer(scores, np.int8).argmax()) == label
        if i % 100 == 99:
            show_progress("int8", i + 1, len(images))
    return hits / len(images)
