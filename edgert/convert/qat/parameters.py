"""The weights of one node, from the parameters of the module that is trained to the words that the kernels multiply."""

import numpy as np
import torch

from edgert.convert.quantize import weights

TINY = float(np.finfo(np.float32).tiny * 2.0**30)
ARRANGED = {  # from PyTorch's order of dimensions to edgert's
    "conv2d": (0, 2, 3, 1),
    "transpose_conv2d": (1, 2, 3, 0),
    "linear": (0, 1),
}


class Weights:
    """How a weighted node's float weight and bias follow from the module: `fold()`.

    weight, bias: Parameters (bias may be None). norm: the folded batch norm's tensors and eps, or None.
    stored: whether `weight` is in edgert's order already, as no parameter of the module gives the graph's constant.
    """

    def __init__(self, op, weight, bias, norm, stored=False):
        self.op, self.weight, self.bias, self.norm, self.stored = op, weight, bias, norm, stored
        self.axis = weights.CHANNEL_AXIS[op]

    def arranged(self):
        """The weight in edgert's order of dimensions, without the norm."""
        weight = self.weight
        if self.stored:
            return weight
        if weight.ndim == 3:  # conv1d
            weight = weight[:, :, None]
        if self.op == "depthwise_conv2d":
            return weight[:, 0].permute(1, 2, 0)
        return weight.permute(ARRANGED[self.op])

    def gain(self):
        """What the norm multiplies each output channel with, float32 (O)."""
        norm = self.norm
        gain = 1.0 / torch.sqrt(norm["running_var"].double() + norm["eps"])
        return (gain if norm["weight"] is None else gain * norm["weight"].double()).float()

    def fold(self):
        """(weight, bias or None) float32, with the norm drawn in as it is at inference."""
        weight, bias = self.arranged(), self.bias
        if self.norm is None:
            return weight, bias
        gain = self.gain()
        offset = -self.norm["running_mean"] * gain
        if self.norm["bias"] is not None:
            offset = offset + self.norm["bias"]
        return weight * along(gain, self.axis, weight.ndim), offset if bias is None else bias * gain + offset

    def is_folded(self, weight, bias):
        """Whether the graph's constants are what `fold` gives."""
        with torch.no_grad():
            mine, offset = self.fold()
        offset = np.zeros(1, np.float32) if offset is None else offset.detach().numpy()
        bias = np.zeros(1, np.float32) if bias is None else bias
        same = mine.shape == weight.shape and np.allclose(mine.detach().numpy(), weight, rtol=1e-4, atol=1e-6)
        return same and np.allclose(offset, bias, rtol=1e-4, atol=1e-5)


def along(values, axis, ndim):
    return values.reshape([-1 if i == axis else 1 for i in range(ndim)])


def of_node(module, op, origin, weight, bias):
    """The `Weights` of a node; parameters of its own where the module's do not give the graph's constants.

    weight, bias: the graph's float constants (bias may be None). origin: `Draft.origins`' entry, or None.
    """
    if origin is not None and origin["weight"] is not None:
        tensors = dict(module.named_parameters()) | dict(module.named_buffers())
        norm = origin["norm"] and {k: v if k == "eps" else tensors.get(v) for k, v in origin["norm"].items()}
        found = Weights(op, tensors[origin["weight"]], tensors.get(origin["bias"]), norm)
        if found.is_folded(weight, bias):
            return found
    own = torch.nn.Parameter(torch.tensor(weight))
    return Weights(op, own, None if bias is None else torch.nn.Parameter(torch.tensor(bias)), None, stored=True)


def scales(weight, axis, scale_in, bias):
    """float64 scale (O) of each output channel, exactly as the quantiser has it; not trained."""
    with torch.no_grad():
        others = [i for i in range(weight.ndim) if i != axis]
        spans = weight.abs().amax(others).double() / weights.LARGEST
        if bias is not None:
            spans = torch.maximum(spans, bias.abs().double() / (scale_in.detach() * weights.MAX_BIAS))
        return spans.clamp(min=TINY).float().double()
