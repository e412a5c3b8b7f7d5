"""A graph under construction: what importers fill and passes change, before `finish` makes it an immutable `Graph`."""

from collections import Counter

import numpy as np

from edgert import opset
from edgert.convert import evaluate
from edgert.graph import Graph, Metadata, Node, Tensor

MAX_FOLDED_BYTES = 2**28  # a constant computed at import may not be larger: a FILL of 10**12 words must not be tried


class Words:
    """The int8 words that a float constant was made of, in a model that is quantised already.

    array: int8. scale: float32, one or one per index of `axis`. zero_point: of all words, 0 per channel.
    """

    def __init__(self, array, scale, zero_point=0, axis=None):
        self.array, self.scale, self.zero_point, self.axis = array, scale, zero_point, axis

    def moved(self, function, axis):
        """The words after `function` rearranged them; axis: where scales per channel run along then."""
        return Words(function(self.array), self.scale, self.zero_point, None if self.axis is None else axis)


class Draft:
    """Tensors keep their index until `finish`; nodes stay in an order they can run in.

    notes: sentences for the conversion report. fused: how often each pass changed something. operators: how many the
    source model has. origins: name of a constant -> what the importer made it from (see importers/torch/convolutions).
    channels_first: whether pictures are NCHW outside of convolutions, until `passes.layout` ran.
    words: float constants that stand for int8 words, by tensor index. head: the detector's Head where the source model
    itself says how its outputs become boxes.
    """

    def __init__(self, name):
        self.name = name
        self.tensors, self.nodes, self.inputs, self.outputs = [], [], [], []
        self.notes, self.fused, self.operators = [], Counter(), 0
        self.origins = {}
        self.channels_first, self.words, self.head = False, {}, None

    def add(self, tensor):
        """Adds a tensor; returns its index."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, name, array, quant=None):
        """Adds a constant tensor with the array's dtype, shape and values; returns its index."""
        array = np.asarray(array, order="C")
        return self.add(Tensor(name, array.dtype.name, array.shape, quant, memoryview(array.tobytes())))

    def add_output(self, source, name):
        """Makes tensor `source` the next output, called `name`: computed by a node, and for this output alone."""
        tensor = self.tensors[source].replace(name=name)
        if source in self.inputs or source in self.outputs or tensor.is_constant:
            out = self.add(tensor.replace(data=None))
            self.nodes.append(Node("reshape", (source,), (out,), {}, name))
            source = out
        self.tensors[source] = self.tensors[source].replace(name=name)
        self.outputs.append(source)

    def value(self, index):
        """A constant tensor's array (read-only), None for a computed tensor."""
        tensor = self.tensors[index]
        if not tensor.is_constant:
            return None
        return np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)

    def emit(self, op, inputs, outputs, attrs=None, name=""):
        """Adds a node; one whose inputs are all constant is computed now, and its output becomes a constant."""
        node = Node(op, tuple(inputs), tuple(outputs), attrs or {}, name)
        if not self._fold(node):
            self.nodes.append(node)

    def _fold(self, node):
        """Whether the node's output is constant, and is computed now."""
        constant = all(i < 0 or self.tensors[i].is_constant for i in node.inputs)
        if not constant or sum(self.tensors[i].nbytes for i in node.outputs) > MAX_FOLDED_BYTES:
            return False
        evaluate.check(node, self.tensors)
        arrays = evaluate.node(node, self.tensors, {i: self.value(i) for i in node.inputs if i >= 0})
        for i, array in zip(node.outputs, arrays):
            self.tensors[i] = self.tensors[i].replace(data=memoryview(array.tobytes()))
        self.fused["constant folded"] += 1
        return True

    def derive(self, op, inputs, attrs, name, dtype, quant, shape=None):
        """Adds a node and its output, whose shape follows from the inputs (or is `shape`); returns its index."""
        shapes = tuple([None if i < 0 else self.tensors[i].shape for i in inputs])
        shape = opset.infer_shape(op, shapes, attrs, shape)
        out = self.add(Tensor(name, dtype, shape, quant))
        self.emit(op, inputs, [out], attrs, name)
        return out

    def producers(self):
        """Tensor index -> position of the node that computes it."""
        return {i: at for at, node in enumerate(self.nodes) for i in node.outputs}

    def consumers(self):
        """Tensor index -> positions of the nodes that read it (a node that reads it twice is listed twice)."""
        readers = {}
        for at, node in enumerate(self.nodes):
            for i in node.inputs:
                readers.setdefault(i, []).append(at)
        return readers

    def single_reader(self, index, readers):
        """Position of the one node that reads tensor `index`; None if there are several or it is a graph output."""
        at = readers.get(index, ())
        return at[0] if len(at) == 1 and index not in self.outputs else None

    def substitute(self, pairs):
        """Makes readers of tensor `old` read `new`, for each old: new in `pairs`; returns how many were replaced.

        A graph output keeps its name, so it is not replaced by a graph input, a constant or another output.
        """
        final = {}
        for old, new in pairs.items():
            final[old] = final.get(new, new)
        for position, old in enumerate(self.outputs):
            new = final.get(old)
            if new is None:
                continue
            if new in self.inputs or new in self.outputs or self.tensors[new].is_constant:
                del final[old]
                continue
            self.outputs[position] = new
            self.tensors[new] = self.tensors[new].replace(name=self.tensors[old].name)
        for at, node in enumerate(self.nodes):
            if any(i in final for i in node.inputs):
                self.nodes[at] = node.replace(inputs=tuple([final.get(i, i) for i in node.inputs]))
        self.drop_unused()
        return len(final)

    def drop_unused(self):
        """Removes nodes whose outputs nobody reads; returns how many."""
        needed, kept = set(self.outputs), []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                kept.append(node)
        dropped = len(self.nodes) - len(kept)
        self.nodes = kept[::-1]
        return dropped

    def finish(self, metadata=None):
        """The immutable graph: unused nodes and tensors dropped, names made unique. Not validated."""
        self.drop_unused()
        used = {*self.inputs, *self.outputs}.union(*[{*n.inputs, *n.outputs} for n in self.nodes]) - {-1}
        place = {old: new for new, old in enumerate(sorted(used))}
        ends = [place[i] for i in (*self.inputs, *self.outputs)]
        tensors = _uniquely_named([self.tensors[i] for i in sorted(used)], ends)
        nodes = [_renumber(node, place) for node in self.nodes]
        inputs, outputs = (tuple([place[i] for i in ends]) for ends in (self.inputs, self.outputs))
        return Graph(self.name, tuple(tensors), tuple(nodes), inputs, outputs, metadata or Metadata())


def _renumber(node, place):
    place = place | {-1: -1}
    return node.replace(inputs=tuple([place[i] for i in node.inputs]), outputs=tuple([place[i] for i in node.outputs]))


def _uniquely_named(tensors, first):
    """Tensors with names of their own; those at positions `first`, the graph's ends, choose before all others."""
    taken, named = set(), list(tensors)
    for at in dict.fromkeys([*first, *range(len(tensors))]):
        name, n = tensors[at].name, 1
        while name in taken:
            n += 1
            name = f"{tensors[at].name}_{n}"
        taken.add(name)
        if name != tensors[at].name:
            named[at] = tensors[at].replace(name=name)
    return named
