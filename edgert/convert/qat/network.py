"""The network that is trained: an int8 graph to be, run in PyTorch with the module's parameters in it."""

from copy import copy, deepcopy

import numpy as np
import torch
from torch import nn

from edgert.convert import quantize, tables
from edgert.convert.qat import parameters, simulate
from edgert.convert.qat.rounding import Curve, Gather, Round, derivative, straight
from edgert.convert.quantize import batches
from edgert.convert.quantize.kinds import Kinds
from edgert.convert.quantize.recipe import weight_and_bias
from edgert.convert.quantize.record import Record
from edgert.errors import ConversionError
from edgert.graph import Quant

LEARNING = ("weighted", "arithmetic", "function")  # kinds of nodes that choose the scale of their output


class QatNetwork(nn.Module):
    """Takes and gives what the original module does; in eval mode the answers are those of the int8 graph, exactly.

    network: the module whose parameters are trained. bf16: whether gradients of convolutions are computed in bfloat16
    (twice as fast where the CPU has such instructions).
    """

    def __init__(self, module, graph, draft, recipe, *, ranges="learned", norms="frozen"):
        super().__init__()
        if ranges not in ("learned", "fixed") or norms not in ("frozen", "batch"):
            raise ValueError(f"ranges '{ranges}' (learned, fixed) or norms '{norms}' (frozen, batch) is unknown")
        self.network, self.graph, self.recipe, self.turned = module, graph, recipe, draft.turned
        self.kinds, self.momentum, self.bf16 = Kinds(graph, recipe.in_float), 0.1, False
        self._check()
        self.frozen = norms == "frozen"
        self.shapes = {}  # batch size -> shapes of all tensors
        self.batch = 1
        self.weights, self.own = {}, nn.ParameterDict()
        for at, node in enumerate(graph.nodes):
            if self.kinds.of[at] == "weighted":
                self._add_weights(at, node, draft.origins.get(graph.tensors[node.inputs[1]].name))
        self._add_scales(ranges == "learned")

    def _check(self):
        """Everything must have an int8 form here, and every sample must stand for itself."""
        wrong = [
            f"node {at} {node.op} '{node.name}' stays in float"
            for at, node in enumerate(self.graph.nodes)
            if self.kinds.of[at] in ("unchanged", "index") or not self._is_known(at, node)
        ]
        if wrong:
            raise ConversionError(f"{self.graph.name}: cannot be trained in int8: {'; '.join(wrong)}")
        if batches.widened(self.graph, 2) is None:
            raise ConversionError(f"{self.graph.name}: mixes the samples of a batch; give example_inputs of one sample")

    def _is_known(self, at, node):
        return self.kinds.of[at] in ("weighted", "function") or (
            node.op in simulate.OPS and node.attrs.get("mode", "constant") in ("constant", "nearest", "bilinear")
        )

    def _add_weights(self, at, node, origin):
        found = parameters.of_node(self.network, node.op, origin, *weight_and_bias(self.graph, node))
        self.weights[at] = found
        if found.stored:
            name = self.graph.tensors[node.inputs[1]].name.replace(".", "_")
            self.own[name] = found.weight
            if found.bias is not None:
                self.own[f"{name}_bias"] = found.bias

    def _add_scales(self, learned):
        """One scale per group of tensors that share words: `initial * exp(shift)`, shift a parameter where learned."""
        groups, self.group = {}, {}
        for i, quant in self.recipe.quants.items():
            self.group[i] = groups.setdefault(id(quant), len(groups))
        quants = {self.group[i]: quant for i, quant in self.recipe.quants.items()}
        self.initial = [quants[k].scale[0] for k in range(len(quants))]
        self.zero_points = [quants[k].zero_point for k in range(len(quants))]
        fixed = {self.group[i] for i in self.graph.inputs}
        fixed |= {self.group[i] for i, t in enumerate(self.graph.tensors) if t.is_constant and i in self.group}
        chosen = {
            self.group[node.outputs[0]]
            for at, node in enumerate(self.graph.nodes)
            if self.kinds.of[at] in LEARNING and not _has_fixed_range(node)
        }
        self.learned = sorted(chosen - fixed) if learned else []
        self.shift = nn.Parameter(torch.zeros(len(self.learned)), requires_grad=learned)

    def __deepcopy__(self, memo):
        """An independent copy (an average of weights, say) of what is trained; the float graph is shared."""
        memo |= {id(part): part for part in (self.graph, self.recipe, self.kinds)}
        copied = memo[id(self)] = self.__class__.__new__(self.__class__)
        copied.__dict__.update({k: deepcopy(v, memo) for k, v in self.__dict__.items() if k != "scales"})
        return copied

    def freeze_norms(self, frozen=True):
        """From now on batch norms are used as they are at inference, in training too: for the last epochs."""
        self.frozen = frozen
        return self

    def trained(self):
        """The parameters that the forward pass depends on, to be given to an optimizer."""
        parts = [
            (w.weight, w.bias, *((w.norm["weight"], w.norm["bias"]) if w.norm else ())) for w in self.weights.values()
        ]
        found = dict.fromkeys(p for part in parts for p in part if p is not None)
        return [*found, *([self.shift] if len(self.learned) else [])]

    # What the ops of `simulate` ask.

    def measures_batch(self, weights):
        return self.training and not self.frozen and weights.norm is not None

    def scale(self, i):
        """The scale of tensor i: a float64 scalar that float32 holds exactly."""
        return self.scales[self.group[i]]

    def zero_point(self, i):
        return self.zero_points[self.group[i]]

    def shape(self, i):
        return self.shapes[self.batch][i]

    def word(self, value, i):
        """The word of a real number (which may be infinite) in tensor i, less its zero point."""
        low, high = -128 - self.zero_point(i), 127 - self.zero_point(i)
        return float(np.clip(np.rint(value / float(self.scale(i).detach())), low, high))

    def clamp(self, node):
        """(lowest, highest) word of a node's output, less the zero point."""
        out, attrs = node.outputs[0], node.attrs
        return self.word(attrs.get("clamp_min", -np.inf), out), self.word(attrs.get("clamp_max", np.inf), out)

    def arranged(self, inputs):
        """The module's inputs as the graph has them: pictures channels last where it has turned them."""
        turned = [self.graph.tensors[i].name in self.turned for i in self.graph.inputs]
        return [x.permute(0, 2, 3, 1) if turn else x for x, turn in zip(inputs, turned, strict=True)]

    # Running.

    def forward(self, *inputs):
        """Real numbers, in the module's own layout."""
        results = []
        for i, words in zip(self.graph.outputs, self.words(*inputs)):
            real = words * self.scale(i).float()
            results.append(real.permute(0, 3, 1, 2) if self.graph.tensors[i].name in self.turned else real)
        return results[0] if len(results) == 1 else tuple(results)

    def words(self, *inputs):
        """The output words less their zero points, one float32 tensor per output of the graph, NHWC."""
        self.batch = len(inputs[0])
        if self.batch not in self.shapes:
            self.shapes[self.batch] = [tensor.shape for tensor in batches.widened(self.graph, self.batch).tensors]
        self.scales = self._current_scales()
        values = {}
        for i, x in zip(self.graph.inputs, self.arranged(inputs)):
            values[i] = self._quantised(x, i)
        for at, node in enumerate(self.graph.nodes):
            values[node.outputs[0]] = self._run(at, node, values)
        return [values[i] for i in self.graph.outputs]

    def _run(self, at, node, values):
        kind = self.kinds.of[at]
        if kind == "function":
            root = self.kinds.functions[node.outputs[0]]
            return self._looked_up(values[root.root], root.root, node.outputs[0], root.apply)
        if kind == "weighted":
            return simulate.weighted(self, at, node, values[node.inputs[0]])
        operands = [values[i] if i in values else self._constant(i) for i in node.inputs]
        if kind == "copy":
            operands = [self._rescaled(x, i, node.outputs[0]) for i, x in zip(node.inputs, operands)]
        return simulate.OPS[node.op](self, node, *operands)

    def _current_scales(self):
        shifts = dict(zip(self.learned, _with_small_gradient(self.shift, self.batch).double().exp()))
        one = torch.ones((), dtype=torch.float64)
        return [(s * shifts.get(k, one)).float().double() for k, s in enumerate(self.initial)]

    def _quantised(self, x, i):
        low, high = -128.0 - self.zero_point(i), 127.0 - self.zero_point(i)
        return Round.apply(x / self.scale(i).float(), low, high)

    def _constant(self, i):
        tensor = self.graph.tensors[i]
        value = np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)
        if tensor.dtype != "float32":
            return torch.tensor(value)
        words = np.rint(value.astype(np.float64) / self.recipe.quants[i].scale[0]) + self.zero_point(i)
        return torch.tensor(np.clip(words, -128, 127) - self.zero_point(i), dtype=torch.float32)

    def _rescaled(self, x, i, out):
        """Words that a concat copies, where its input was given another scale."""
        return x if self.group.get(i) in (None, self.group[out]) else self._looked_up(x, i, out, lambda value: value)

    def _looked_up(self, x, i, out, function):
        """A function of each word, as the table that the graph will hold."""
        scale_in, scale_out = self.scale(i), self.scale(out)
        steps = torch.arange(-128, 128, dtype=torch.float64) - self.zero_point(i)
        table = tables.build((function,), self._quant(i), self._quant(out))
        exact = torch.from_numpy(table.astype(np.float64)) - self.zero_point(out)
        smooth = Curve.apply(scale_in * steps, function) / scale_out
        low, high = -128.0 - self.zero_point(out), 127.0 - self.zero_point(out)
        slope = derivative(function, scale_in * steps) * (scale_in / scale_out).detach()
        slope = torch.where((smooth >= low) & (smooth <= high), slope, torch.zeros_like(slope))
        words = straight(exact, smooth.clamp(low, high)).float()
        return Gather.apply(x, words, slope.detach().float(), float(self.zero_point(i) + 128))

    def _quant(self, i):
        return Quant((float(self.scale(i).detach()),), self.zero_point(i))

    @torch.no_grad()
    def to_graph(self):
        """(int8 Graph, its Record): answers as this network in eval mode, bit for bit."""
        self.scales = self._current_scales()
        recipe = copy(self.recipe)
        recipe.rounded, recipe.biases = {}, {}
        recipe.quants = {i: self._quant(i) for i in recipe.quants}
        for at, weights in self.weights.items():
            scale_in = self.scale(self.graph.nodes[at].inputs[0])
            weight, bias = weights.fold()
            scale = parameters.scales(weight, weights.axis, scale_in, bias)
            words = (weight / parameters.along(scale.float(), weights.axis, weight.ndim)).round().clamp(-127, 127)
            recipe.rounded[at] = words.to(torch.int8).contiguous().numpy(), scale.float().numpy()
            if bias is not None:
                recipe.biases[at] = bias.detach().numpy()
        record = Record({"quantised": "in training (QAT)", "scales learned": str(len(self.learned))})
        return quantize.finish(self.graph, recipe, record), record


def _has_fixed_range(node):
    return node.op == "softmax" or node.attrs.get("function") in ("sigmoid", "tanh")


def _with_small_gradient(shift, batch):
    """`shift` with its gradient divided by about the root of how many numbers it moves.

    Source: Esser et al. 2020, section 2.2, with one factor for all tensors.
    """
    factor = 1.0 / (127.0 * batch) ** 0.5
    return shift * factor + (shift * (1.0 - factor)).detach()
