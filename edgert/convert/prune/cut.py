"""Cuts classes of channels out of a module, in place: parameters, buffers, and the numbers that layers keep of them."""

import numpy as np
import torch
from torch import nn


@torch.no_grad()
def cut(module, found, kept):
    """found: the module's `Channels`. kept (K) bool: which of its classes remain."""
    stays = {key: np.where(classes >= 0, kept[classes], True) for key, classes in found.slots.items()}
    for name in dict.fromkeys(name for name, _ in stays):
        owner, _, leaf = name.rpartition(".")
        part = module.get_submodule(owner)
        tensor = getattr(part, leaf)
        rest = tensor
        for (other, axis), keep in stays.items():
            if other == name and not keep.all():
                rest = rest.index_select(axis, torch.from_numpy(np.flatnonzero(keep)).to(rest.device))
        if rest is not tensor:
            _replace(part, leaf, tensor, rest)
    for part in module.modules():
        _settle(part)


@torch.no_grad()
def reshape(module, state):
    """Gives the layers of `module`, in place, the widths of a state dict of the same network with fewer channels.

    Their contents are new: load the state dict, or train anew.
    """
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if name in state and state[name].shape != tensor.shape:
            owner, _, leaf = name.rpartition(".")
            _replace(module.get_submodule(owner), leaf, tensor, torch.zeros(state[name].shape, dtype=tensor.dtype))
    for part in module.modules():
        _settle(part)
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()


def _replace(part, leaf, tensor, rest):
    rest = rest.contiguous(memory_format=torch.channels_last) if rest.ndim == 4 else rest.contiguous()
    if isinstance(tensor, nn.Parameter):
        setattr(part, leaf, nn.Parameter(rest, tensor.requires_grad))
    else:
        part.register_buffer(leaf, rest, leaf not in part._non_persistent_buffers_set)


def _settle(part):
    """Makes a layer's numbers those of its tensors."""
    if isinstance(part, nn.modules.conv._ConvNd):
        outs, ins = part.weight.shape[:2]
        if part.transposed:
            outs, ins = ins, outs
        elif part.groups > 1 and ins == 1:  # depthwise: a multiple of channels per input channel
            each = part.out_channels // part.groups
            part.groups = outs // each
            ins = part.groups
        elif part.groups > 1:
            ins *= part.groups
        part.out_channels, part.in_channels = outs, ins
    elif isinstance(part, nn.modules.batchnorm._BatchNorm):
        part.num_features = len(part.running_mean) if part.weight is None else len(part.weight)
    elif isinstance(part, nn.Linear):
        part.out_features, part.in_features = part.weight.shape
    elif isinstance(part, nn.PReLU):
        part.num_parameters = part.weight.numel()
