"""A trained torch network as a flat list of layers with batch norm folded and ReLU fused: what the quantiser reads."""

import operator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Layer:
    """One step of the float network; arrays are float32 in torch's own layout.

    op: conv2d, depthwise_conv2d, linear, add or mean (over height and width). inputs: names of layers, "image" first of
    all. weight: (O, I, KH, KW) or (O, I). low, high: the clamp that a fused ReLU or ReLU6 leaves.
    """

    op: str
    name: str
    inputs: tuple
    weight: np.ndarray | None = field(default=None, repr=False)
    bias: np.ndarray | None = field(default=None, repr=False)
    stride: int = 1
    padding: int = 0
    low: float = -np.inf
    high: float = np.inf


def layers_of(model):
    """The layers of a network made of Conv2d, BatchNorm2d, ReLU, ReLU6, Linear, `+` and `x.mean((2, 3))`.

    Raises: ValueError naming the first module or function that is none of these.
    """
    traced = torch.fx.symbolic_trace(model.eval())
    modules = dict(traced.named_modules())
    layers, source = {}, {}  # name -> Layer; fx node -> name of the layer whose output it is
    for node in traced.graph.nodes:
        module = modules.get(node.target) if node.op == "call_module" else None
        inputs = tuple(source[argument] for argument in node.args if isinstance(argument, torch.fx.Node))
        if node.op == "placeholder":
            source[node] = "image"
        elif node.op == "output" or isinstance(module, (nn.Identity, nn.Dropout)):
            source[node] = inputs[0]
        elif isinstance(module, (nn.BatchNorm2d, nn.ReLU, nn.ReLU6)):
            if len(node.args[0].users) > 1:
                raise ValueError(f"{node.name} cannot be folded: {inputs[0]} is also read by others")
            layers[inputs[0]] = _fused(layers[inputs[0]], module)
            source[node] = inputs[0]
        else:
            layer = _layer(node, module, inputs)
            layers[layer.name], source[node] = layer, layer.name
    return list(layers.values())


def _layer(node, module, inputs):
    name = node.target.removesuffix(".0") if module is not None else node.name
    if isinstance(module, nn.Conv2d):
        if module.groups not in (1, module.in_channels) or module.dilation != (1, 1):
            raise ValueError(f"{node.target}: groups {module.groups}, dilation {module.dilation} are not supported")
        op = "depthwise_conv2d" if module.groups > 1 else "conv2d"
        return Layer(op, name, inputs, *_parameters(module), module.stride[0], module.padding[0])
    if isinstance(module, nn.Linear):
        return Layer("linear", name, inputs, *_parameters(module))
    if node.target in (operator.add, torch.add):
        return Layer("add", name, inputs)
    if node.target == "mean" and tuple(node.args[1]) == (2, 3):
        return Layer("mean", name, inputs)
    raise ValueError(f"{node.name}: {module or node.target} is not supported")


def _parameters(module):
    weight = module.weight.detach().numpy()
    bias = np.zeros(len(weight), np.float32) if module.bias is None else module.bias.detach().numpy()
    return weight, bias


def _fused(layer, module):
    """`layer` with the batch norm or ReLU that follows it drawn in."""
    if isinstance(module, nn.BatchNorm2d):
        gain = (module.weight / torch.sqrt(module.running_var + module.eps)).detach().numpy()
        bias = (layer.bias - module.running_mean.numpy()) * gain + module.bias.detach().numpy()
        return replace(layer, weight=layer.weight * gain[:, None, None, None], bias=bias)
    return replace(layer, low=0.0, high=6.0 if isinstance(module, nn.ReLU6) else np.inf)


@torch.no_grad()
def run(layers, x):
    """The output of every layer for images x (N, C, H, W): {name: tensor}, with "image" for x itself."""
    values = {"image": x}
    for layer in layers:
        values[layer.name] = _run_one(layer, *(values[name] for name in layer.inputs)).clamp(layer.low, layer.high)
    return values


def _run_one(layer, x, other=None):
    if layer.op == "add":
        return x + other
    if layer.op == "mean":
        return x.mean((2, 3))
    weight, bias = torch.from_numpy(layer.weight), torch.from_numpy(layer.bias)
    if layer.op == "linear":
        return F.linear(x, weight, bias)
    groups = len(weight) if layer.op == "depthwise_conv2d" else 1
    return F.conv2d(x, weight, bias, layer.stride, layer.padding, groups=groups)
