"""How much a network would miss each class of channels."""

from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from edgert.errors import InputError

SCORES = ("taylor", "gain", "norm")


def scores_of(score, module, found, losses=None):
    """(K,) float64: the importance of each class of `found`, a `Channels` of `module`.

    "taylor": how much the loss changes without it, to first order, squared and summed over the batches of `losses()`
    (Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning"); of the norm's gain and bias where a
    channel has one, of its weights where not. "gain": |gain| of its norms (Liu et al. 2017, "Network Slimming").
    "norm": the L2 norm of its weights (Li et al. 2017), in units of the layer's mean. Where a class has several
    layers their scores add up.
    Raises: InputError.
    """
    if score not in SCORES:
        raise InputError(f"score '{score}' is none of {', '.join(SCORES)}")
    tensors = dict(module.named_parameters())
    producers = _producers(module, found, tensors, score)
    if score != "taylor":
        return _summed(found, [(classes, _size(score, [tensors[n] for n in names])) for names, classes in producers])
    if losses is None:
        raise InputError("score 'taylor' needs losses, a function that gives losses on some batches; 'norm' needs none")
    total = np.zeros(len(found.removable))
    with _all_learning(tensors.values()):
        for loss in losses():
            module.zero_grad()
            loss.backward()
            change = [(classes, _change([tensors[name] for name in names])) for names, classes in producers]
            total += _summed(found, change) ** 2
        module.zero_grad()
    return total


@contextmanager
def _all_learning(parameters):
    """Gradients for frozen parameters too, such as a norm's gain that is held at 1: its channels are scored alike."""
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def _producers(module, found, tensors, score):
    """[(names of the parameters that scale its channels, their classes)] for each layer that gives channels."""
    rows = []
    for name, part in module.named_modules():
        prefix = f"{name}." if name else ""
        slot = found.slots.get((f"{prefix}weight", 1 if getattr(part, "transposed", False) else 0))
        is_norm = isinstance(part, nn.modules.batchnorm._BatchNorm)
        if slot is None or not (is_norm or isinstance(part, (nn.modules.conv._ConvNd, nn.Linear))):
            continue
        names = [f"{prefix}{leaf}" for leaf in ("weight", "bias") if f"{prefix}{leaf}" in tensors]
        rows.append((is_norm, names if is_norm and score != "gain" else names[:1], slot))
    normed = {int(c) for is_norm, _, slot in rows if is_norm for c in slot}
    use_norms = score != "norm"
    return [
        (names, slot)
        for is_norm, names, slot in rows
        if (is_norm and use_norms) or (not is_norm and not (use_norms and normed.issuperset(slot.tolist())))
    ]


def _summed(found, rows):
    total = np.zeros(len(found.removable))
    for classes, values in rows:
        inside = classes >= 0
        np.add.at(total, classes[inside], values[inside])
    return total


@torch.no_grad()
def _change(tensors):
    """Per output channel, the sum of value times gradient."""
    return sum((t * t.grad).flatten(1).sum(1) if t.ndim > 1 else t * t.grad for t in tensors).double().numpy()


@torch.no_grad()
def _size(score, tensors):
    weight = tensors[0]
    if score == "gain" and weight.ndim == 1:
        return weight.abs().double().numpy()
    norms = weight.flatten(1).norm(dim=1) if weight.ndim > 1 else weight.abs()
    return (norms / norms.mean().clamp(min=1e-12)).double().numpy()
