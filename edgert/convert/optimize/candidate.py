"""A model on its way to being cheap: the float network, the graph made of it, and how it is to be run."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgert.errors import InputError
from edgert.graph import Graph


class Data:
    """What a model is measured on.

    x: the model's input in real numbers, (N, ...) float32, one row an answer; pictures as (N, H, W, C). y: (N,) class
    numbers, or None where only time, memory and size are asked for.
    """

    def __init__(self, x, y=None):
        self.x = np.ascontiguousarray(x, np.float32)
        self.y = None if y is None else np.asarray(y)
        if not len(self.x):
            raise InputError("there is no row of data to measure with")
        if self.y is not None and self.y.shape != (len(self.x),):
            raise InputError(f"{len(self.x)} rows and labels of shape {self.y.shape}: one class number a row is needed")


@dataclass(frozen=True)
class Candidate:
    """Immutable: every stage makes another one.

    network: the torch module in float, None where the model came as a graph. example: its example inputs, a batch of
    one. graph: the same in our representation, float or int8. accelerated: run by compiled kernels. entries: how many
    answers are kept for inputs that come again. stages: what was applied, in order.
    """

    graph: Graph
    data: Data
    network: Any = None
    example: tuple = ()
    accelerated: bool = False
    entries: int = 0
    stages: tuple = field(default=())

    def with_stage(self, name, **changes):
        return replace(self, stages=(*self.stages, name), **changes)

    @property
    def is_quantised(self):
        """Whether any node computes in int8."""
        return any(self.graph.tensors[i].quant is not None for node in self.graph.nodes for i in node.outputs)

    @property
    def runner(self):
        """What runs it: a float network is PyTorch's, all else ours; compiled or not, as was asked for."""
        if self.network is not None and not self.is_quantised:
            return "PyTorch compiled" if self.accelerated else "PyTorch eager"
        return "edgert native" if self.accelerated else "edgert reference"

    @property
    def parameters(self):
        """Numbers among the constants: weights and biases."""
        return sum(tensor.size for tensor in self.graph.tensors if tensor.is_constant)
