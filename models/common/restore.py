"""A shipped int8 file back as a torch network: where training goes on from when there is no checkpoint."""

import numpy as np
import torch
from torch import nn

from edgert.format import reader

STORED = {"conv2d": (0, 3, 1, 2), "linear": (0, 1)}  # edgert's order of dimensions to torch's


@torch.no_grad()
def restored(network, path, x):
    """`network` with the weights of the file at `path`, in eval mode.

    The file has its norms inside the convolutions. Here they get the statistics of images x (N, C, H, W), as training
    needs them, and the gain and bias that make nothing of it.
    Raises: ValueError if the file is not of this network.
    """
    graph = reader.read(path).graph
    modules = dict(network.named_modules())
    for node in graph.nodes:
        if node.op not in STORED:
            continue
        weight, bias = (_real(graph.tensors[i]) for i in node.inputs[1:])
        layer = modules.get(node.name)
        inner, norm = (layer[0], layer[1]) if isinstance(layer, nn.Sequential) else (layer, None)
        weight = np.ascontiguousarray(weight.transpose(STORED[node.op]))
        if inner is None or tuple(inner.weight.shape) != weight.shape:
            raise ValueError(f"{path}: layer '{node.name}' {weight.shape} is not one of this network")
        inner.weight.copy_(torch.from_numpy(weight))
        (inner.bias if norm is None else norm.bias).copy_(torch.from_numpy(bias))
        if norm is not None:
            norm.weight.fill_((1.0 + norm.eps) ** 0.5)  # undoes the variance of 1 and the epsilon that it starts with
            norm.reset_running_stats()
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_hook(_measure) for norm in norms]
    network(x)
    for hook in hooks:
        hook.remove()
    return network


def _measure(norm, inputs, output):
    """Gives a norm the statistics of its input, without a change of its output."""
    var, mean = torch.var_mean(inputs[0], (0, 2, 3))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(var)
    norm.weight.copy_(torch.sqrt(var + norm.eps))
    norm.bias.add_(mean)


def _real(tensor):
    words = np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)
    scale = np.asarray(tensor.quant.scale, np.float32)
    shape = [-1 if i == (tensor.quant.axis or 0) else 1 for i in range(words.ndim)]
    return words.astype(np.float32) * scale.reshape(shape)
