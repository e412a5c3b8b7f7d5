"""How far an int8 graph is from its float one: SQNR of outputs and of every tensor."""

import numpy as np

from edgert.convert import evaluate
from edgert.convert.quantize import batches

CAP_DB = 200.0  # what equal tensors are given


def to_words(array, tensor):
    """Float values as the words of an int8 tensor; as they are where the tensor is none."""
    if tensor.quant is None:
        return array
    words = np.rint(array / np.float32(tensor.quant.scale[0])) + tensor.quant.zero_point
    return np.clip(words, -128, 127).astype(np.int8)


def to_reals(array, tensor):
    """The inverse, in float32."""
    if tensor.quant is None:
        return array
    return (array.astype(np.float32) - tensor.quant.zero_point) * np.float32(tensor.quant.scale[0])


def inputs(int8, data):
    """Float samples as inputs of the int8 graph."""
    return [tuple([to_words(a, int8.tensors[i]) for a, i in zip(sample, int8.inputs)]) for sample in data]


class Error:
    """Signal and error power, added up over samples."""

    def __init__(self):
        self.signal = self.noise = 0.0

    def add(self, wanted, got):
        wanted = wanted.astype(np.float64)
        self.signal += float((wanted**2).sum())
        self.noise += float(((wanted - got) ** 2).sum())

    @property
    def db(self):
        """Signal-to-quantisation-noise ratio in decibels."""
        if self.noise <= self.signal * 10.0 ** (-CAP_DB / 10):
            return CAP_DB
        return max(-CAP_DB, 10.0 * float(np.log10(max(self.signal, 1e-300) / self.noise)))


def tensors(graph, int8, data):
    """Tensor name -> SQNR in dB, for each float tensor of `graph` that the int8 graph has words or floats of."""
    found, places = {}, {tensor.name.removesuffix("/words"): i for i, tensor in enumerate(int8.tensors)}
    for sample, words in zip(data, inputs(int8, data)):
        wanted, got = {}, {}
        evaluate.graph(graph, sample, lambda i, array, wanted=wanted: wanted.__setitem__(graph.tensors[i].name, array))
        evaluate.graph(int8, words, lambda i, array, got=got: got.__setitem__(i, array))
        for name, array in wanted.items():
            if places.get(name) in got and array.dtype == np.float32:
                i = places[name]
                found.setdefault(name, Error()).add(array, to_reals(got[i], int8.tensors[i]))
    return {name: error.db for name, error in found.items()}


def outputs(int8, wanted, got):
    """SQNR in dB over all outputs. wanted: float graph's outputs. got: the int8 graph's, as they come."""
    errors = [Error() for _ in wanted]
    for error, want, have, i in zip(errors, wanted, got, int8.outputs):
        error.add(want, to_reals(have, int8.tensors[i]))
    return [error.db for error in errors]


def simulated(int8, data):
    """The int8 graph's outputs for float samples, by the reference kernels."""
    return batches.outputs(int8, inputs(int8, data))
