"""From a float graph and a recipe to the int8 graph: each float tensor gets words, each node the op that works on them.

A node that has no int8 form, or that the recipe leaves in float, stays as it is between `dequantize` and `quantize`.
"""

import numpy as np

from edgert.convert import tables
from edgert.convert.draft import Draft
from edgert.convert.quantize import weights
from edgert.convert.quantize.kinds import Kinds
from edgert.graph import Quant, Tensor


def lower(graph, recipe):
    """The Draft of the int8 graph of float `graph`; tensors keep their names. recipe: a `recipe.Recipe`."""
    return Lowering(graph, recipe).run()


class Lowering:
    """words, real: float graph's tensor index -> index of its int8 words, of its float values, in the draft."""

    def __init__(self, graph, recipe):
        self.graph, self.recipe = graph, recipe
        self.kinds = Kinds(graph, recipe.in_float)
        self.draft, self.words, self.real, self.plain = Draft(graph.name), {}, {}, {}
        self.float_outputs = {i for i in graph.outputs if recipe.gives_float(i)}

    def run(self):
        for i in self.graph.inputs:
            tensor = self.graph.tensors[i]
            index = self.draft.add(self._typed(i) if tensor.dtype == "float32" else tensor)
            (self.words if tensor.dtype == "float32" else self.plain)[i] = index
            self.draft.inputs.append(index)
        for at, node in enumerate(self.graph.nodes):
            self.lower_node(at, node)
        for i in self.graph.outputs:
            self.draft.outputs.append(self._output(i))
        return self.draft

    def lower_node(self, at, node):
        getattr(self, f"_{self.kinds.of[at]}")(at, node)

    def _output(self, i):
        if self.graph.tensors[i].dtype != "float32":
            return self._as_is(i)
        return self._real(i) if i in self.float_outputs else self._words(i)

    # What a node reads.

    def _words(self, i):
        """The int8 form of float tensor i: computed, quantised from a constant, or quantised at run time."""
        if i not in self.words:
            tensor = self.graph.tensors[i]
            if tensor.is_constant:
                quant = self.recipe.quants[i]
                value = np.frombuffer(tensor.data, np.float32).reshape(tensor.shape)
                rounded = np.rint(value.astype(np.float64) / quant.scale[0]) + quant.zero_point
                self.words[i] = self.draft.constant(tensor.name, np.clip(rounded, -128, 127).astype(np.int8), quant)
            else:
                self.words[i] = self._emit("quantize", [self._real(i)], self._typed(i, "/words"))
        return self.words[i]

    def _real(self, i):
        if i not in self.real:
            tensor = self.graph.tensors[i]
            if tensor.is_constant:
                self.real[i] = self.draft.add(tensor)
            else:
                name = tensor.name if i in self.float_outputs else f"{tensor.name}/real"
                self.real[i] = self._emit("dequantize", [self.words[i]], tensor.replace(name=name))
        return self.real[i]

    def _as_is(self, i):
        if i not in self.plain:
            self.plain[i] = self.draft.add(self.graph.tensors[i])
        return self.plain[i]

    def _typed(self, i, suffix=""):
        """Float tensor i as an int8 tensor."""
        tensor = self.graph.tensors[i]
        suffix = suffix or ("/words" if i in self.float_outputs else "")
        return Tensor(tensor.name + suffix, "int8", tensor.shape, self.recipe.quants[i])

    def _emit(self, op, inputs, tensor, attrs=None, name=""):
        out = self.draft.add(tensor)
        self.draft.emit(op, inputs, [out], attrs, name)
        return out

    # What becomes of each kind of node.

    def _weighted(self, at, node):
        x, out = self._words(node.inputs[0]), self._typed(node.outputs[0])
        inputs = [x, *self.parameters(at, node, self.recipe.quants[node.inputs[0]].scale[0])]
        self.words[node.outputs[0]] = self._emit(node.op, inputs, out, _clamped(node, out.quant), node.name)

    def parameters(self, at, node, scale_in):
        """Indices of the int8 weights and the int32 bias."""
        values = self.recipe.parameters(at, node, scale_in)
        weight = self.graph.tensors[node.inputs[1]].name
        quant = Quant(weights.floats(values.scale), 0, weights.CHANNEL_AXIS[node.op])
        indices = [self.draft.constant(weight, values.words, quant)]
        if values.bias is not None:
            bias_words, bias_quant = weights.bias_words(values.bias, scale_in, values.scale)
            has_bias = len(node.inputs) > 2 and node.inputs[2] >= 0
            name = self.graph.tensors[node.inputs[2]].name if has_bias else f"{weight}/bias"
            indices.append(self.draft.constant(name, bias_words, bias_quant))
        return indices

    def _arithmetic(self, at, node):
        out = self._typed(node.outputs[0])
        inputs = [self._words(i) for i in node.inputs]
        self.words[node.outputs[0]] = self._emit(node.op, inputs, out, _clamped(node, out.quant), node.name)

    def _copy(self, at, node):
        """Words move: inputs that were given another scale are brought to this one first."""
        out = self._typed(node.outputs[0])
        inputs = [self._as_is(i) if self._is_index(i) else self._at(i, out.quant) for i in node.inputs]
        attrs = _clamped(node, out.quant)
        if node.op == "pad" and "value" in attrs:
            attrs["value"] = _word(attrs["value"], out.quant)
        self.words[node.outputs[0]] = self._emit(node.op, inputs, out, attrs, node.name)

    def _is_index(self, i):
        return self.graph.tensors[i].dtype != "float32"

    def _at(self, i, quant):
        words = self._words(i)
        given = self.draft.tensors[words]
        if given.quant == quant:
            return words
        table = self.draft.constant(f"{given.name}/table", tables.build((), given.quant, quant))
        return self._emit(
            "lookup", [words, table], given.replace(name=f"{given.name}/rescaled", quant=quant, data=None)
        )

    def _function(self, at, node):
        if node.outputs[0] not in self.kinds.read:
            return  # a step towards another function, whose table has it
        function, out = self.kinds.functions[node.outputs[0]], self._typed(node.outputs[0])
        root = self._words(function.root)
        built = tables.build((function.apply,), self.draft.tensors[root].quant, out.quant, function.channels)
        table = self.draft.constant(f"{out.name}/table", built)
        self.words[node.outputs[0]] = self._emit("lookup", [root, table], out, name=node.name)

    def _index(self, at, node):
        """Words in, plain integers out."""
        out = self.graph.tensors[node.outputs[0]]
        self.plain[node.outputs[0]] = self._emit(node.op, [self._words(node.inputs[0])], out, node.attrs, node.name)

    def _unchanged(self, at, node):
        """In float, or on integers from the beginning."""
        inputs = [-1 if i < 0 else self._as_is(i) if self._is_index(i) else self._real(i) for i in node.inputs]
        for i in node.outputs:
            tensor = self.graph.tensors[i]
            kept = self.plain if tensor.dtype != "float32" else self.real
            kept[i] = self._emit(node.op, inputs, tensor, node.attrs, node.name)


def _clamped(node, quant):
    """The node's attributes with a clamp in real numbers turned into one in words, left out where words end anyway."""
    attrs = {name: value for name, value in node.attrs.items() if not name.startswith("clamp_")}
    low, high = node.attrs.get("clamp_min"), node.attrs.get("clamp_max")
    if low is not None and (word := _word(low, quant)) > -128:
        attrs["clamp_min"] = word
    if high is not None and (word := _word(high, quant)) < 127:
        attrs["clamp_max"] = word
    return attrs


def _word(value, quant):
    """The nearest word of a real number, which may be infinite."""
    return int(np.clip(np.rint(value / quant.scale[0]) + quant.zero_point, -128, 127))
