"""What the inputs of a language model may hold, found in its graph: token ids below the vocabulary, positions within
the context. Kernels clamp what is beyond; a Session refuses it with a name."""

from edgert.errors import InputError
from edgert.graph import Record

_POSITION_INPUT = {"positions": 1, "rope": 2, "cache_append": 1, "attention": 3}


class Limits(Record):
    """tokens, position: indices into the graph's inputs, or None. vocabulary, context: what they must stay below."""

    __slots__ = ("tokens", "vocabulary", "position", "context")


def limits_of(graph):
    """The `Limits` of a graph; all None where it is no language model."""
    tokens = position = vocabulary = context = None
    counted = {node.outputs[0] for node in graph.nodes if node.op == "positions"}
    for node in graph.nodes:
        shapes = [graph.tensors[i].shape for i in (*node.inputs, *node.outputs) if i >= 0]
        if node.op == "embedding" and node.inputs[0] in counted:
            context = _smaller(context, shapes[1][0])
        elif node.op == "embedding" and node.inputs[0] in graph.inputs:
            tokens, vocabulary = graph.inputs.index(node.inputs[0]), _smaller(vocabulary, shapes[1][0])
        elif node.op in _POSITION_INPUT:
            source = node.inputs[_POSITION_INPUT[node.op]]
            position = graph.inputs.index(source) if source in graph.inputs else position
            context = _smaller(context, _rows(node.op, shapes))
    return Limits(tokens, vocabulary, position, context)


def _rows(op, shapes):
    """How many positions an op has room for; None where it does not care."""
    if op == "cache_append":
        return shapes[2][1]
    if op == "attention":
        return shapes[1][1]
    return shapes[1][0] if op == "rope" else None


def _smaller(a, b):
    return b if a is None else a if b is None else min(a, b)


def check(limits, views):
    """Raises: InputError if one of the inputs `views` (bytes) is beyond the limits."""
    tokens, position = (None if i is None else views[i] for i in (limits.tokens, limits.position))
    count = 1 if tokens is None else tokens.nbytes // 4
    if position is not None and position.nbytes == 4 and limits.context is not None:
        first = position.cast("i")[0]
        if first < 0 or first + count > limits.context:
            raise InputError(f"position: {first} and {count} tokens from there leave the context of {limits.context}")
    if tokens is not None:
        ids = tokens.cast("i")
        low, high = min(ids), max(ids)
        if low < 0 or high >= limits.vocabulary:
            wrong = low if low < 0 else high
            raise InputError(f"tokens: id {wrong} is outside the vocabulary 0..{limits.vocabulary - 1}")
