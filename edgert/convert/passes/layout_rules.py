"""How each kind of operator runs on tensors whose axes are stored in another order: one rule per kind.

A rule is a function(rewriting, node); see `passes.layout`.
"""

from math import prod

import numpy as np

from edgert.convert.passes.layout_views import compose, groups, inverse, is_free, reshaped, turned
from edgert.convert.passes.layout_views import in_order as ordered


def in_order(rewriting, node):
    """Operators that need their axes where they are."""
    rewriting.emit(node, [_plain(rewriting, i) for i in node.inputs])


def _plain(rewriting, index):
    return index if index < 0 else rewriting.stored_as(index, ordered(len(rewriting.old(index).shape)))


def transpose(rewriting, node):
    stored, perm = rewriting.view(node.inputs[0])
    rewriting.views[node.outputs[0]] = (stored, compose(perm, node.attrs["perm"]))


def elementwise(rewriting, node):
    """A function of every element; other inputs (a table) are kept."""
    stored, perm = rewriting.view(node.inputs[0])
    if rewriting.old(node.outputs[0]).quant and rewriting.old(node.outputs[0]).quant.axis is not None:
        return in_order(rewriting, node)
    rewriting.emit(node, [stored, *node.inputs[1:]], perm=perm)
    return None


def along_last(rewriting, node):
    """Softmax, a linear layer: the last axis must stay the last."""
    stored, perm = rewriting.view(node.inputs[0])
    if node.inputs[0] in rewriting.columns:
        return _with_columns(rewriting, node)
    if not perm or perm[-1] != len(perm) - 1:
        return in_order(rewriting, node)
    rewriting.emit(node, [stored, *node.inputs[1:]], perm=perm)
    return None


def broadcasting(rewriting, node):
    """Operators on several tensors of one shape, or that stretch to one: in the order that moves least."""
    rank = len(rewriting.old(node.outputs[0]).shape)
    views = [rewriting.view(i)[1] for i in node.inputs if not rewriting.is_constant(i)]
    choices = sorted({perm for perm in views if len(perm) == rank}, reverse=True)

    def cost(perm):
        return sum([_stretched_cost(rewriting, i, perm) for i in node.inputs])

    perm = min(choices, key=cost, default=ordered(rank))
    if perm == ordered(rank):
        return in_order(rewriting, node)
    rewriting.emit(node, [_stretched(rewriting, i, perm) for i in node.inputs], perm=perm)
    return None


def _stretched_cost(rewriting, index, perm):
    rank = len(rewriting.old(index).shape)
    return rewriting.cost(index, perm if rank == len(perm) else ordered(rank))


def _stretched(rewriting, index, perm):
    """Input `index` in order `perm`; one of fewer dimensions gets some of size 1 in front."""
    shape = rewriting.old(index).shape
    if len(shape) == len(perm):
        return rewriting.stored_as(index, perm)
    if prod(shape) == 1:
        return _plain(rewriting, index)
    wide = (1,) * (len(perm) - len(shape)) + shape
    draft, source = rewriting.draft, _plain(rewriting, index)
    tensor = draft.tensors[source]
    moved = turned(wide, inverse(perm))
    if is_free(wide, inverse(perm)):
        out = draft.derive("reshape", [source], {}, tensor.name, tensor.dtype, tensor.quant, moved)
    else:
        flat = draft.derive("reshape", [source], {}, tensor.name, tensor.dtype, tensor.quant, wide)
        out = draft.derive("transpose", [flat], {"perm": inverse(perm)}, tensor.name, tensor.dtype, tensor.quant)
        rewriting.moved += 0 if tensor.is_constant else tensor.size
    rewriting.move_words(source, out, lambda array: array.reshape(wide).transpose(inverse(perm)))
    return out


def concat(rewriting, node):
    _same_rank(rewriting, node, lambda perm: {"axis": perm[node.attrs["axis"]]})


def _same_rank(rewriting, node, attrs_of):
    rank = len(rewriting.old(node.outputs[0]).shape)
    views = {rewriting.view(i)[1] for i in node.inputs if not rewriting.is_constant(i)}
    perm = min(sorted(views, reverse=True), key=lambda p: sum([rewriting.cost(i, p) for i in node.inputs]),
               default=ordered(rank))  # fmt: skip
    inputs = [rewriting.stored_as(i, perm) for i in node.inputs]
    rewriting.emit(node, inputs, node.attrs | attrs_of(perm), perm)


def per_axis(*names):
    """The rule of an operator on one tensor with a list of values per axis."""

    def rule(rewriting, node):
        stored, perm = rewriting.view(node.inputs[0])
        lists = {name: turned(node.attrs[name], inverse(perm)) for name in names if node.attrs.get(name)}
        rewriting.emit(node, [stored], node.attrs | lists, perm)

    return rule


def at_axis(rewriting, node):
    """Operators along one axis that stays: cumulative_sum."""
    stored, perm = rewriting.view(node.inputs[0])
    rewriting.emit(node, [stored], node.attrs | {"axis": perm[node.attrs["axis"]]}, perm)


def reduce(rewriting, node):
    stored, perm = rewriting.view(node.inputs[0])
    axes = tuple(sorted([perm[a] for a in node.attrs["axes"]]))
    out = perm if node.attrs.get("keep_dims", 0) else without(perm, node.attrs["axes"])
    rewriting.emit(node, [stored], node.attrs | {"axes": axes}, out)


def arg_reduce(rewriting, node):
    stored, perm = rewriting.view(node.inputs[0])
    axis = node.attrs["axis"]
    rewriting.emit(node, [stored], node.attrs | {"axis": perm[axis]}, without(perm, (axis,)))


def without(perm, axes):
    """The perm that is left when `axes` of the view vanish."""
    kept = [p for i, p in enumerate(perm) if i not in axes]
    rank = {p: at for at, p in enumerate(sorted(kept))}
    return tuple([rank[p] for p in kept])


def gather(rewriting, node):
    """Along one axis, by a list of indices that is the same for all others."""
    x, indices = node.inputs
    stored, perm = rewriting.view(x)
    if len(rewriting.old(indices).shape) != 1 or node.attrs.get("batch_dims", 0):
        return in_order(rewriting, node)
    axis = node.attrs.get("axis", 0)
    rewriting.emit(node, [stored, _plain(rewriting, indices)], node.attrs | {"axis": perm[axis]}, perm)
    return None


def reshape(rewriting, node):
    """Where each merged group of axes lies side by side in memory, the reshape needs no transpose."""
    x, out = node.inputs[0], node.outputs[0]
    stored, perm = rewriting.view(x)
    before, after = rewriting.old(x).shape, rewriting.old(out).shape
    stored_shape = rewriting.draft.tensors[stored].shape
    lying = reshaped(stored_shape, perm, before, after)
    if lying is not None:
        return rewriting.emit(node, [stored], perm=inverse(tuple(lying)))
    if _flatten_for_linear(rewriting, node, stored, perm):
        return None
    return in_order(rewriting, node)


def _flatten_for_linear(rewriting, node, stored, perm):
    """A picture flattened in front of linear layers: their weights' columns change places instead of the pixels."""
    x, out = node.inputs[0], node.outputs[0]
    readers = [rewriting.original.nodes[at] for at in rewriting.readers.get(out, ())]
    if out in rewriting.original.outputs or not readers:
        return False
    if any(r.op != "linear" or r.inputs[0] != out or out in r.inputs[1:] for r in readers):
        return False
    before, after = rewriting.old(x).shape, rewriting.old(out).shape
    *lead, (merged, right) = groups(before, after)
    if len(right) != 1 or right[0] != len(after) - 1 or any(len(left) != 1 for left, _ in lead):
        return False
    shape = rewriting.draft.tensors[stored].shape
    order = [a for a in range(len(shape)) if shape[a] != 1]
    if [perm[left[0]] for left, _ in lead] != order[: len(lead)]:
        return False
    sizes = [before[a] for a in merged]
    place = {perm[a]: at for at, a in enumerate(merged)}
    columns = np.arange(prod(sizes)).reshape(sizes).transpose([place[a] for a in order[len(lead) :]])
    rewriting.columns[out] = columns.reshape(-1)
    rewriting.emit(node, [stored])
    return True


def _with_columns(rewriting, node):
    draft, (x, weight, *bias) = rewriting.draft, node.inputs
    columns, stored = rewriting.columns[x], rewriting.view(x)[0]
    moved = draft.constant(draft.tensors[weight].name, draft.value(weight)[:, columns])
    if weight in draft.words:
        words = draft.words[weight]
        draft.words[moved] = words.moved(lambda array: array[:, columns], words.axis)
    rewriting.emit(node, [stored, moved, *bias])


_ELEMENTWISE = ("unary", "lookup", "cast", "quantize", "dequantize")
_BROADCASTING = (
    "add", "sub", "mul", "div", "minimum", "maximum", "squared_difference", "floor_div", "pow", "compare", "select",
)  # fmt: skip

RULES = {
    **dict.fromkeys(_ELEMENTWISE, elementwise),
    **dict.fromkeys(_BROADCASTING, broadcasting),
    **dict.fromkeys(("softmax", "log_softmax", "linear"), along_last),
    **dict.fromkeys(("arg_max", "arg_min"), arg_reduce),
    "transpose": transpose,
    "concat": concat,
    "slice": per_axis("begin", "step"),
    "pad": per_axis("before", "after"),
    "cumulative_sum": at_axis,
    "reduce": reduce,
    "gather": gather,
    "reshape": reshape,
}
