"""Quantisation-aware training: a PyTorch network trained through the very rounding of the int8 kernels.

    model = edgert.convert.qat.prepare(module, example_inputs, calibration)
    for x, y in batches:                       # any training loop
        loss = loss_of(model(x), y)
        ...
    graph, record = model.to_graph()           # int8; answers as model.eval() did, bit for bit

What stands between two tensors here are the words of the int8 graph, less their zero point, as integers in float32; so
the forward pass computes what the kernels compute, and gradients pass straight through each rounding.
docs/training.md has measured examples.
"""

import torch

from edgert import convert
from edgert.convert.qat.network import QatNetwork
from edgert.convert.quantize import calibrate, samples
from edgert.convert.quantize.recipe import Recipe

__all__ = ["QatNetwork", "prepare"]


def prepare(module, example_inputs, calibration, *, ranges="learned", norms="frozen", observer="mse", **options):
    """A `QatNetwork` that trains the parameters of `module` (the same tensors) through int8 arithmetic.

    example_inputs: a tuple of tensors of one sample each. calibration: a batch of inputs, a tensor or a tuple of them
    in the module's own layout, or whatever `quantize.quantize` takes.
    ranges: "learned", scales of activations are trained too (Esser et al. 2020, "Learned Step Size Quantization"), or
    "fixed", they stay as calibrated. norms: "frozen", batch norms are folded as they are at inference, or "batch": they
    go on measuring batches in training mode (until `freeze_norms`). options: as `edgert.convert.from_torch`, as
    preprocessing and labels; a detector's head is left to the module unless it is named.
    Raises: ConversionError for networks with parts that stay in float, InputError, UnsupportedOpError.
    """
    graph, draft = convert.torch_draft(module, example_inputs, **{"head": "none"} | options)
    data = samples.load(graph, _channels_last(graph, draft, calibration))
    found = calibrate.ranges(graph, calibrate.observe(graph, data), observer)
    recipe = Recipe(graph, found, outputs="int8")
    return QatNetwork(module, graph, draft, recipe, ranges=ranges, norms=norms)


def _channels_last(graph, draft, calibration):
    """Batches of tensors as one tuple of arrays per sample, in the graph's layout; anything else as it is."""
    batches = (calibration,) if isinstance(calibration, torch.Tensor) else calibration
    if not isinstance(batches, tuple) or not all(isinstance(batch, torch.Tensor) for batch in batches):
        return calibration
    turned = [graph.tensors[i].name in draft.turned for i in graph.inputs]
    batches = [x.permute(0, 2, 3, 1) if turn else x for x, turn in zip(batches, turned, strict=True)]
    return [tuple(x[k : k + 1].numpy() for x in batches) for k in range(len(batches[0]))]
