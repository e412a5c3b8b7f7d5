"""What a network costs with some of its channels gone: multiply-adds, bytes of the int8 file, time in our kernels."""

import re
import time

import numpy as np
import torch

from edgert.errors import InputError

UNITS = {
    "%": ("share", 0.01), "mac": ("macs", 1.0), "kmac": ("macs", 1e3), "mmac": ("macs", 1e6), "gmac": ("macs", 1e9),
    "b": ("bytes", 1.0), "kb": ("bytes", 1e3), "kib": ("bytes", 1024.0), "mb": ("bytes", 1e6),
    "ms": ("ms", 1.0), "us": ("ms", 1e-3), "s": ("ms", 1e3),
}  # fmt: skip
BLOCK = 15  # runs of which one median is taken
BYTES_PER_OUTPUT = 12  # bias, scale of the weight, scale of the bias: four bytes each


def parse(target):
    """("macs", "bytes", "ms" or "share", number) of a text like "0.5 ms", "3 MMAC", "100 KB" or "40 %" (of the MACs).

    Raises: InputError.
    """
    found = re.fullmatch(r"\s*([0-9.]+(?:e[+-]?\d+)?)\s*([a-z%]+)\s*", str(target).lower())
    if found is None or found[2] not in UNITS or not 0.0 < float(found[1]) < 1e18:
        raise InputError(f"target '{target}' is none of '0.5 ms', '3 MMAC', '100 KB', '40 %'")
    kind, factor = UNITS[found[2]]
    return kind, float(found[1]) * factor


class Costs:
    """macs, bytes (of weights, biases and scales): of a network whose classes `kept` (K, bool) remain."""

    def __init__(self, channels):
        self.layers = channels.layers

    def macs(self, kept):
        return sum(self._weights(layer, kept) * layer.pixels for layer in self.layers)

    def bytes(self, kept):
        return sum(self._weights(layer, kept) + BYTES_PER_OUTPUT * _count(layer.outs, kept) for layer in self.layers)

    def _weights(self, layer, kept):
        pairs = _count(layer.outs, kept) * (1 if layer.ins is None else _count(layer.ins, kept))
        return pairs * layer.per_pair


def _count(classes, kept):
    """How many indices remain; those of no class (-1) always do."""
    return int(np.count_nonzero(classes < 0) + np.count_nonzero(kept[classes[classes >= 0]]))


def latency_ms(module, example_inputs, *, threads=1, seconds=0.3):
    """Time of one inference of `module` as an int8 graph in the kernels of this machine, in milliseconds.

    The least of the medians of blocks of runs, as others may use the machine too. The weights do not matter for it, so
    the graph is calibrated with one random input.
    """
    from edgert.session import Session

    session = Session(file_of(module, example_inputs), threads=threads)
    inputs = [bytes(tensor.nbytes) for tensor in session.inputs]
    session.run_buffers(inputs)
    medians, end = [], time.perf_counter() + seconds
    while len(medians) < 3 or time.perf_counter() < end:
        times = []
        for _ in range(BLOCK):
            start = time.perf_counter_ns()
            session.run_buffers(inputs)
            times.append(time.perf_counter_ns() - start)
        medians.append(np.median(times))
    return float(min(medians)) / 1e6


def file_of(module, example_inputs):
    """The bytes of the int8 file that `module` would be, whatever its accuracy."""
    from edgert.convert import from_torch
    from edgert.convert.quantize import quantize
    from edgert.format import writer

    graph = from_torch(module, tuple(x[:1] for x in example_inputs))
    rng = np.random.default_rng(0)
    sample = tuple(rng.normal(0, 1, graph.tensors[i].shape).astype(np.float32) for i in graph.inputs)
    return writer.to_bytes(quantize(graph, [sample], observer="minmax", correct=False)[0])


@torch.no_grad()
def parameters(module):
    return sum(p.numel() for p in module.parameters())
