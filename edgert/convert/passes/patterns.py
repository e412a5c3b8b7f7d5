"""Functions that a source model writes out in several float operators become one `unary` again."""

import math

from edgert.convert.passes.lookups import uniform
from edgert.graph import Node

CLOSE = 1e-5  # models hold their constants in float32, some in float16 before


def fuse(draft):
    """x * sigmoid(x) is SiLU, x * relu6(x + 3) / 6 hard-swish, x * (1 + erf(x / sqrt 2)) / 2 GELU, and so on."""
    match, count = _Matching(draft), 0
    for at, node in enumerate(draft.nodes):
        if node.op not in ("mul", "div") or draft.tensors[node.outputs[0]].dtype != "float32" or node.attrs:
            continue
        found = next(filter(None, (pattern(match, node) for pattern in PATTERNS)), None)
        if found is not None:
            function, x = found
            if draft.tensors[x].shape == draft.tensors[node.outputs[0]].shape:
                draft.nodes[at] = Node("unary", (x,), node.outputs, {"function": function}, node.name)
                count += 1
    return count


class _Matching:
    """Looks backwards from a tensor."""

    def __init__(self, draft):
        self.draft = draft
        self.producers = draft.producers()

    def source(self, index):
        """The node that computes a tensor, None for an input or a constant."""
        at = self.producers.get(index)
        return None if at is None else self.draft.nodes[at]

    def unary(self, index, function):
        """x, if the tensor is `function` of it."""
        node = self.source(index)
        if node is None or node.op != "unary" or node.attrs["function"] != function:
            return None
        return node.inputs[0]

    def with_constant(self, index, op, value, attrs=()):
        """x, if the tensor is x `op` value, with just the attributes `attrs`."""
        node = self.source(index)
        if node is None or node.op != op or tuple(sorted(node.attrs.items())) != tuple(attrs):
            return None
        return self.operand(node, value)

    def operand(self, node, value):
        """The other operand of a node one of whose operands is the constant `value`."""
        for place in (1, 0) if node.op in ("add", "mul") else (1,):
            found = uniform(self.draft, node.inputs[place])
            if found is not None and math.isclose(found[0], value, rel_tol=CLOSE):
                return node.inputs[1 - place]
        return None

    def scaled(self, node, factor):
        """x, if the node is x * factor, however that is written."""
        if node.op == "mul":
            return self.operand(node, factor)
        return self.operand(node, 1.0 / factor) if node.op == "div" else None


def _gated(match, node, gate):
    """x, if the node is x * gate(x)."""
    if node.op != "mul":
        return None
    for x, other in (node.inputs, node.inputs[::-1]):
        if gate(other) == x:
            return x
    return None


def _silu(match, node):
    x = _gated(match, node, lambda y: match.unary(y, "sigmoid"))
    return None if x is None else ("silu", x)


def _mish(match, node):
    def gate(y):
        inner = match.unary(y, "tanh")
        return None if inner is None else match.unary(inner, "softplus")

    x = _gated(match, node, gate)
    return None if x is None else ("mish", x)


RELU6 = (("clamp_max", 6.0), ("clamp_min", 0.0))


def _hard_swish(match, node):
    """The division by 6 comes last, in the gate, or is a hard-sigmoid of slope 1/6."""

    def shifted(y):
        return match.with_constant(y, "add", 3.0, RELU6)

    def divided(y):
        source = match.source(y)
        inner = match.scaled(source, 1 / 6) if source is not None else None
        if inner is not None:
            return shifted(inner)
        if source is not None and source.op == "unary" and source.attrs["function"] == "hard_sigmoid":
            slope, offset = source.attrs.get("alpha", 0.0), source.attrs.get("beta", 0.0)
            if math.isclose(slope, 1 / 6, rel_tol=1e-3) and offset == 0.5:
                return source.inputs[0]
        return None

    x = _gated(match, node, divided)
    if x is None:
        product = match.scaled(node, 1 / 6)
        source = match.source(product) if product is not None else None
        x = _gated(match, source, shifted) if source is not None and not source.attrs else None
    return None if x is None else ("hard_swish", x)


def _gelu(match, node):
    """x * 0.5 * (1 + erf(x / sqrt 2)), with the factor 0.5 at any of three places."""

    def bell(y):
        inner = match.with_constant(y, "add", 1.0)
        inner = match.unary(inner, "erf") if inner is not None else None
        source = match.source(inner) if inner is not None else None
        return match.scaled(source, math.sqrt(0.5)) if source is not None else None

    def halved(y):
        source = match.source(y)
        inner = match.scaled(source, 0.5) if source is not None else None
        return bell(inner) if inner is not None else None

    x = _gated(match, node, halved)
    if x is None:  # 0.5 * (x * bell)
        product = match.scaled(node, 0.5)
        source = match.source(product) if product is not None else None
        x = _gated(match, source, bell) if source is not None and not source.attrs else None
    if x is None and node.op == "mul":  # (0.5 * x) * bell
        for half, other in (node.inputs, node.inputs[::-1]):
            source = match.source(half)
            inner = match.scaled(source, 0.5) if source is not None else None
            if inner is not None and bell(other) == inner:
                x = inner
    return None if x is None else ("gelu", x)


PATTERNS = (_silu, _hard_swish, _gelu, _mish)
