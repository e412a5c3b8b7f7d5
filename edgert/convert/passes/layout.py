"""Channels-first to channels-last: transposes are carried along the graph until they meet their inverse.

Every tensor `old` of the draft gets a *view* (stored, perm): `old == stored.transpose(perm)`. A transpose computes
nothing, it only changes the view. Operators that do not care about the order of axes run on what is stored, with
their attributes turned. The others ask for the axes in order: where the view is not, a transpose is written, once. An
importer puts each convolution between a transpose to NHWC and one back, so inside a CNN all of them cancel.
"""

from edgert.convert.draft import Draft
from edgert.convert.passes import layout_rules
from edgert.convert.passes.layout_views import compose, in_order, inverse, is_free, turned
from edgert.graph import Node

NCHW_FROM_NHWC = (0, 3, 1, 2)


def to_channels_last(draft):
    """Rewrites the draft in place; returns how many transposes are left. 4-D inputs and outputs become NHWC where that
    saves transposes; `draft.turned` names them.
    """
    chosen = []
    for index in draft.inputs:
        shape = draft.tensors[index].shape
        if len(shape) == 4:
            as_is, with_it = (_Rewriting(draft, trial).run() for trial in (chosen, [*chosen, index]))
            if with_it.moved < as_is.moved or (with_it.moved == as_is.moved and shape[1] in (1, 3)):
                chosen.append(index)
    rewriting = _Rewriting(draft, chosen).run()
    rewriting.finish()
    return sum(node.op == "transpose" for node in draft.nodes)


class _Rewriting:
    """One pass over the nodes. moved: how many elements the transposes it writes move."""

    def __init__(self, draft, inputs):
        self.original, self.inputs, self.moved = draft, inputs, 0
        self.draft = Draft(draft.name)
        self.draft.tensors, self.draft.words = list(draft.tensors), dict(draft.words)
        self.draft.inputs, self.draft.outputs = list(draft.inputs), list(draft.outputs)
        self.readers = draft.consumers()
        self.views, self.ready, self.columns = {}, {}, {}
        for index in inputs:
            tensor = draft.tensors[index]
            self.draft.tensors[index] = tensor.replace(shape=turned(tensor.shape, inverse(NCHW_FROM_NHWC)))
            self.views[index] = (index, NCHW_FROM_NHWC)

    def run(self):
        for node in self.original.nodes:
            layout_rules.RULES.get(node.op, layout_rules.in_order)(self, node)
        self.draft.outputs = [self._output(index) for index in self.original.outputs]
        return self

    def finish(self):
        """Makes the original draft the rewritten one."""
        draft, done = self.original, self.draft
        names = [draft.tensors[i].name for i in self.inputs]
        for old, new in zip(draft.outputs, done.outputs):
            if self.views.get(old, (old, ()))[1] == NCHW_FROM_NHWC and new == self.views[old][0]:
                names.append(draft.tensors[old].name)
        draft.turned = tuple(names)
        for name in names:
            draft.notes.append(f"'{name}' is NHWC here (height, width, channels), NCHW in the source")
        draft.tensors, draft.nodes, draft.outputs, draft.words = done.tensors, done.nodes, done.outputs, done.words
        draft.drop_unused()

    def old(self, index):
        """The tensor of the original draft."""
        return self.original.tensors[index]

    def view(self, index):
        return self.views.get(index) or (index, in_order(len(self.old(index).shape)))

    def is_constant(self, index):
        return self.old(index).is_constant

    def cost(self, index, perm):
        """How many elements a transpose to the order `perm` moves."""
        if self.is_constant(index):
            return 0
        stored, own = self.view(index)
        needed = compose(own, inverse(perm))
        return 0 if is_free(self.draft.tensors[stored].shape, needed) else self.old(index).size

    def stored_as(self, index, perm):
        """The tensor X with `old == X.transpose(perm)`; a node is written unless that is stored already."""
        stored, own = self.view(index)
        needed = compose(own, inverse(perm))
        if needed == in_order(len(needed)):
            return stored
        key = (stored, needed)
        if key not in self.ready:
            self.ready[key] = self._transpose(stored, needed, self.old(index).name)
        return self.ready[key]

    def _transpose(self, stored, perm, name):
        draft, tensor = self.draft, self.draft.tensors[stored]
        if is_free(tensor.shape, perm):
            out = draft.derive("reshape", [stored], {}, name, tensor.dtype, tensor.quant, turned(tensor.shape, perm))
        else:
            out = draft.derive("transpose", [stored], {"perm": perm}, name, tensor.dtype, tensor.quant)
            self.moved += 0 if tensor.is_constant else tensor.size
        self.move_words(stored, out, lambda array: array.transpose(perm))
        return out

    def move_words(self, old, new, function):
        """Constant `new` is what `function` makes of `old`: so are its words, if they have one scale."""
        words = self.draft.words.get(old)
        if words is not None and words.axis is None:
            self.draft.words[new] = words.moved(function, None)

    def emit(self, node, inputs, attrs=None, perm=None, op=None):
        """Writes a node that gives `node`'s output in order `perm` (None: in order)."""
        out = node.outputs[0]
        tensor = self.old(out)
        perm = in_order(len(tensor.shape)) if perm is None else perm
        place = out
        if perm != in_order(len(perm)):
            place = self.draft.add(tensor.replace(shape=turned(tensor.shape, inverse(perm))))
        self.views[out] = (place, perm)
        attrs = node.attrs if attrs is None else attrs
        self.draft.nodes.append(Node(op or node.op, tuple(inputs), (place,), attrs, node.name))

    def _output(self, index):
        """Where a graph output is stored: pictures as they are, all else in the source's order."""
        stored, perm = self.view(index)
        tensor = self.draft.tensors[stored]
        free = stored not in self.draft.inputs and not tensor.is_constant
        alone = sum(self.view(i)[0] == stored for i in self.original.outputs) == 1
        if perm == NCHW_FROM_NHWC and free and alone and not is_free(tensor.shape, perm):
            self.draft.tensors[stored] = tensor.replace(name=self.old(index).name)
            return stored
        result = self.stored_as(index, in_order(len(perm)))
        if result != index and result not in self.original.outputs:
            self.draft.tensors[result] = self.draft.tensors[result].replace(name=self.old(index).name)
        return result
