"""Which channels of a network stand or fall together, found by sending their names through the exported program.

Every output channel of a layer gets a number. Tensors of such numbers go through the program: what moves elements
(cat, permute, flatten, upsample ...) is simply run on them, element-wise operators on two tensors tie the numbers that
meet, a depthwise convolution and a norm pass them on. What cannot be followed keeps its channels for good.

Source: the idea of a dependency graph is that of Fang et al. 2023, "DepGraph: Towards Any Structural Pruning".
"""

import operator

import numpy as np
import torch

from edgert.convert.importers.torch import program as torch_program
from edgert.convert.importers.torch.operators import name_of
from edgert.errors import ConversionError

FREE = -1  # the number of an element that no channel stands behind: an input, a pad, a constant
MOVING = {
    "permute", "transpose", "t", "cat", "concat", "unsqueeze", "squeeze", "expand", "flip", "clone", "contiguous",
    "dropout", "feature_dropout", "detach", "alias", "upsample_nearest2d", "_upsample_nearest_exact2d", "repeat", "to",
}  # fmt: skip
VIEWS = {"view", "reshape", "flatten", "_unsafe_view"}
SAME = {
    "relu", "relu6", "hardtanh", "clamp", "leaky_relu", "elu", "gelu", "silu", "mish", "softplus", "hardswish", "tanh",
    "hardsigmoid", "sigmoid", "exp", "abs", "neg", "square", "sqrt", "pow", "add", "sub", "mul", "div", "max_pool2d",
}  # fmt: skip
PER_CHANNEL = {  # of pictures: each output pixel from pixels of the same channel
    "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "upsample_bilinear2d", "reflection_pad2d",
    "max_pool2d_with_indices",
}  # fmt: skip
REDUCING = {"mean", "sum", "amax", "amin"}
PAIRS = {"add", "sub", "mul", "div", "maximum", "minimum"}


class Layer:
    """A layer with weights, for costs. outs, ins: classes of its channels (ins None: one input channel per output).

    per_pair: weights per output and input channel. pixels: at how many places its weights are applied.
    """

    def __init__(self, outs, ins, per_pair, pixels):
        self.outs, self.ins, self.per_pair, self.pixels = outs, ins, per_pair, pixels


class Channels:
    """The channels of `module`. removable (K): whether each class of channels that stand or fall together may go.

    slots: (name in the state dict, axis) -> class of each index, FREE where it cannot be cut. layers: list of `Layer`.
    """

    def __init__(self, module, example_inputs):
        program = torch_program.export(module, example_inputs, type(module).__name__)
        walk = _Walk(program)
        roots = np.array([walk.find(i) for i in range(len(walk.leader))], np.int64)
        names, numbers = np.unique(roots, return_inverse=True)
        kept = np.zeros(len(names), bool)
        kept[numbers[sorted(walk.kept)]] = True
        self.removable = ~kept
        to_class = np.append(numbers, FREE)  # FREE is the last
        self.slots = {key: to_class[ids] for key, ids in walk.slots.items()}
        self.layers = walk.layers
        for layer in self.layers:
            layer.outs = to_class[layer.outs]
            layer.ins = None if layer.ins is None else to_class[layer.ins]

    def groups(self):
        """Lists of removable classes that are channels of the same layers, in the order of the network."""
        places = {}
        for key, classes in self.slots.items():
            for c in np.unique(classes[classes >= 0]):
                places.setdefault(int(c), []).append(key)
        found = {}
        for c, keys in sorted(places.items()):
            if self.removable[c]:
                found.setdefault(tuple(sorted(set(keys))), []).append(c)
        return list(found.values())


class _Walk:
    """slots: (parameter, axis) -> channel numbers. kept: numbers that must stay. leader: union-find over numbers."""

    def __init__(self, program):
        self.values, self.leader, self.kept, self.slots, self.layers = {}, [], set(), {}, []
        self.names = {}
        for spec in program.graph_signature.input_specs:
            if spec.target is not None:
                self.names[spec.arg.name] = spec.target
        for node in program.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = None if node.name in self.names else _free(node.meta["val"])
            elif node.op == "call_function":
                self.values[node] = self._call(node)
            elif node.op == "output":
                for value in node.args[0]:
                    self.keep(self.values[value])

    def find(self, i):
        while self.leader[i] != i:
            self.leader[i] = self.leader[self.leader[i]]
            i = self.leader[i]
        return i

    def _call(self, node):
        if node.target is operator.getitem:
            source = self.values[node.args[0]]
            return source[node.args[1]] if isinstance(source, (list, tuple)) else source
        name = name_of(node.target).partition(".")[0]
        given = [self.values.get(source) for source in node.all_input_nodes]
        tensors = [value for value in given if isinstance(value, torch.Tensor)]
        if name in LAYERS:
            return LAYERS[name](self, node)
        if name in PAIRS and sum(isinstance(a, torch.fx.Node) for a in node.args[:2]) == 2:
            return self._pair(*(self._operand(a) for a in node.args[:2]))
        if name in VIEWS:
            return self._view(node, tensors[0])
        if name in MOVING or name in ("pad", "constant_pad_nd"):
            return self._moved(node, name)
        if name in PER_CHANNEL:
            return self.spread(node, self.channels_of(tensors[0], 1))
        if name in REDUCING:
            return self._reduced(node, tensors[0])
        if name in SAME:
            return tensors[0]
        return self._unknown(node)

    # Operators.

    def _unknown(self, node):
        """What cannot be followed: its inputs' channels stay, and nothing behind it is tied to them."""
        for source in node.all_input_nodes:
            self.keep(self.values.get(source))
        value = node.meta.get("val")
        return [_free(v) for v in value] if isinstance(value, (list, tuple)) else _free(value)

    def _moved(self, node, name):
        def numbers(argument):
            value = self.values.get(argument)
            return value if value is not None else self._parameter(argument)

        args = list(torch.fx.node.map_arg(list(node.args), numbers))
        kwargs = dict(node.kwargs)
        if name in ("pad", "constant_pad_nd"):
            return torch.nn.functional.pad(args[0], args[1], value=FREE)
        if name in ("dropout", "feature_dropout", "to", "clone", "contiguous", "detach", "alias"):
            return args[0]
        if name.startswith(("upsample", "_upsample")):
            return self.spread(node, self.channels_of(args[0], 1))
        return node.target(*args, **kwargs)

    def _view(self, node, x):
        """Flattening keeps channels apart; a view that splits a dimension of channels is undone by cutting some."""
        out = x.reshape(tuple(node.meta["val"].shape))
        if out.ndim > x.ndim and sum(dim > 1 for dim in out.shape) > sum(dim > 1 for dim in x.shape):
            self.keep(x)
        return out

    def _reduced(self, node, x):
        dims = node.args[1] if len(node.args) > 1 else list(range(x.ndim))
        dims = [dims] if isinstance(dims, int) else list(dims or range(x.ndim))
        low, high = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
        if bool((low != high).any()):
            return self._unknown(node)
        return low.reshape(tuple(node.meta["val"].shape))

    def _pair(self, a, b):
        for x, y in ((a, b), (b, a)):
            for axis in range(1, min(x.ndim, y.ndim) + 1):
                if x.shape[-axis] == 1 < y.shape[-axis] and bool((y.amin(-axis) != y.amax(-axis)).any()):
                    self.keep(x)  # one channel that meets many
                    return y.expand(torch.broadcast_shapes(a.shape, b.shape))
        a, b = torch.broadcast_tensors(a, b)
        both = torch.stack([a.reshape(-1), b.reshape(-1)], 1).unique(dim=0).tolist()
        for i, j in both:
            if min(i, j) > FREE:
                self.leader[self.find(i)] = self.find(j)
            elif max(i, j) > FREE:  # a channel and a constant: where the channel goes, so does the sum
                self.kept.add(max(i, j))
        return torch.where(a > FREE, a, b)

    def _operand(self, node):
        value = self.values.get(node)
        return self._parameter(node) if value is None else value

    def _parameter(self, node):
        """A parameter that is an operand itself: numbers of its own along its only long dimension."""
        shape = tuple(node.meta["val"].shape)
        long = [axis for axis, dim in enumerate(shape) if dim > 1]
        if len(long) != 1 or node.name not in self.names:
            return torch.full(shape, FREE)
        ids = self.fresh(shape[long[0]])
        self.slot(node, long[0], ids)
        return ids.reshape([-1 if axis == long[0] else 1 for axis in range(len(shape))]).expand(shape)

    # What the layers' rules use.

    def fresh(self, count):
        first = len(self.leader)
        self.leader.extend(range(first, first + count))
        return torch.arange(first, first + count)

    def slot(self, node, axis, ids):
        """Along `axis` of the parameter behind a placeholder lie the channels `ids`; a second layer's are tied."""
        if node is None or getattr(node, "name", None) not in self.names:
            return
        key = (self.names[node.name], axis)
        if key in self.slots:
            self._pair(torch.from_numpy(self.slots[key]), ids)
        else:
            self.slots[key] = ids.numpy()

    def channels_of(self, x, axis):
        """The numbers along one axis; where others lie along the other axes too, none can be told and all stay."""
        first = x.movedim(axis, 0).reshape(x.shape[axis], -1)
        if bool((first != first[:, :1]).any()):
            self.keep(x)
            return torch.full((x.shape[axis],), FREE)
        return first[:, 0]

    def spread(self, node, ids):
        value = node.meta["val"]
        value = value[0] if isinstance(value, (list, tuple)) else value
        out = ids.reshape([-1 if axis == 1 else 1 for axis in range(value.ndim)]).expand(tuple(value.shape))
        return [out, _free(value)] if isinstance(node.meta["val"], (list, tuple)) else out

    def keep(self, value):
        if isinstance(value, torch.Tensor):
            self.kept.update(int(i) for i in value.unique() if i > FREE)
        elif isinstance(value, (list, tuple)):
            for part in value:
                self.keep(part)


def _free(value):
    return torch.full(tuple(value.shape), FREE) if isinstance(value, torch.Tensor) else None


def _arguments(node):
    names = [argument.name for argument in node.target._schema.arguments]
    return dict.fromkeys(names) | dict(zip(names, node.args)) | node.kwargs


def _conv(walk, node):
    args = _arguments(node)
    weight, groups = args["weight"], args["groups"] or 1
    ins = walk.channels_of(walk.values[args["input"]], 1)
    shape, pixels = tuple(weight.meta["val"].shape), int(np.prod(node.meta["val"].shape[2:]))
    transposed = "transpose" in str(node.target) or bool(args.get("transposed"))
    per_pair = int(np.prod(shape[2:]))
    if groups == 1:
        outs = walk.fresh(shape[1 if transposed else 0])
        walk.slot(weight, 1 if transposed else 0, outs)
        walk.slot(weight, 0 if transposed else 1, ins)
        inputs = ins.numpy()
    elif groups == len(ins) and shape[1] == 1 and not transposed:
        outs, inputs = ins.repeat_interleave(shape[0] // groups), None
        walk.slot(weight, 0, outs)
    else:
        walk.keep(ins)
        outs, inputs = torch.full((node.meta["val"].shape[1],), FREE), None
        per_pair *= shape[1]
    walk.slot(args["bias"], 0, outs)
    walk.layers.append(Layer(outs.numpy(), inputs, per_pair, pixels))
    return walk.spread(node, outs)


def _linear(walk, node):
    args = _arguments(node)
    x, weight = walk.values[args["input"]], args["weight"]
    ins, outs = walk.channels_of(x, x.ndim - 1), walk.fresh(weight.meta["val"].shape[0])
    walk.slot(weight, 0, outs)
    walk.slot(weight, 1, ins)
    walk.slot(args["bias"], 0, outs)
    pixels = int(np.prod(x.shape[1:-1]))
    walk.layers.append(Layer(outs.numpy(), ins.numpy(), 1, pixels))
    return outs.expand(*x.shape[:-1], len(outs))


def _batch_norm(walk, node):
    args = _arguments(node)
    x = walk.values[args["input"]]
    ids = walk.channels_of(x, 1)
    for name in ("weight", "bias", "running_mean", "running_var"):
        walk.slot(args[name], 0, ids)
    return x


def _prelu(walk, node):
    x, weight = walk.values[node.args[0]], node.args[1]
    if weight.meta["val"].numel() > 1:
        walk.slot(weight, 0, walk.channels_of(x, 1))
    return x


LAYERS = {
    "conv1d": _conv, "conv2d": _conv, "conv_transpose2d": _conv, "linear": _linear, "batch_norm": _batch_norm,
    "prelu": _prelu,
}  # fmt: skip


def check(module, example_inputs):
    """Raises ConversionError if the module does not run after channels were cut: its code counts on their number."""
    try:
        with torch.no_grad():
            module(*example_inputs)
    except (RuntimeError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise ConversionError(
            f"{type(module).__name__}: its forward() has a number of channels written into it: {reason}"
        ) from error
