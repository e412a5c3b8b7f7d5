"""Random small int8 graphs of the ops that share memory, and a run of any graph that shares none."""

import random

import numpy as np

from edgert.graph import Graph, Node, Quant, Tensor
from edgert.kernels import reference

QUANT = Quant((0.5,), 1)  # one for all: copies need equal quantisation
SIDES = (1, 1, 2, 3, 4)


class GraphMaker:
    """Grows a graph node by node; every choice comes from the seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.tensors, self.nodes, self.computed = [], [], []
        self.table = self.add_tensor((256,), bytes(self.random.randrange(256) for _ in range(256)))

    def add_tensor(self, shape, data=None):
        self.tensors.append(Tensor(f"t{len(self.tensors)}", "int8", tuple(shape), QUANT, data))
        return len(self.tensors) - 1

    def node(self, op, inputs, shape, **attrs):
        output = self.add_tensor(shape)
        self.nodes.append(Node(op, tuple(inputs), (output,), attrs))
        self.computed.append(output)

    def pick(self):
        """Recent tensors more often: chains matter, and so do old tensors used late."""
        choices = self.computed[-3:] if self.random.random() < 0.6 else self.computed
        return self.random.choice(choices)

    def shape(self, index):
        return self.tensors[index].shape

    def binary(self):
        a, b = self.pick(), self.pick()
        try:
            shape = np.broadcast_shapes(self.shape(a), self.shape(b))
        except ValueError:
            b, shape = a, self.shape(a)
        self.node(self.random.choice(["add", "sub", "mul", "maximum"]), [a, b], shape)

    def lookup(self):
        x = self.pick()
        self.node("lookup", [x, self.table], self.shape(x))

    def reshape(self):
        x = self.pick()
        shape = list(self.shape(x))
        shape.insert(self.random.randrange(4), 1) if self.random.random() < 0.4 else self.random.shuffle(shape)
        if len(shape) > 4:
            shape = [int(np.prod(shape))]
        self.node("reshape", [x], shape)

    def transpose(self):
        x = self.pick()
        perm = list(range(len(self.shape(x))))
        self.random.shuffle(perm)
        self.node("transpose", [x], [self.shape(x)[p] for p in perm], perm=tuple(perm))

    def slice(self):
        x = self.pick()
        begin, step, shape = [], [], []
        for dim in self.shape(x):
            size = dim if self.random.random() < 0.5 else self.random.randint(1, dim)
            first, stride = self.random.randint(0, dim - size), 1
            if self.random.random() < 0.2:
                first, stride = first + size - 1, -1
            begin.append(first)
            step.append(stride)
            shape.append(size)
        attrs = {} if set(step) == {1} else {"step": tuple(step)}
        self.node("slice", [x], shape, begin=tuple(begin), **attrs)

    def concat(self):
        first = self.pick()
        shape = list(self.shape(first))
        axis = self.random.randrange(len(shape))
        fitting = [
            i
            for i in self.computed
            if len(self.shape(i)) == len(shape)
            and all(a == b for d, (a, b) in enumerate(zip(self.shape(i), shape)) if d != axis)
        ]
        parts = [first, *self.random.choices(fitting, k=self.random.randint(0, 2))]
        shape[axis] = sum(self.shape(i)[axis] for i in parts)
        if np.prod(shape) < 300:
            self.node("concat", parts, shape, axis=axis)


def random_graph(seed):
    """Up to 14 nodes over 1-3 inputs; every tensor nobody reads is an output, and some others too."""
    maker = GraphMaker(seed)
    rng = maker.random
    shape = [rng.choice(SIDES) for _ in range(rng.randint(2, 3))]
    inputs = [maker.add_tensor(shape if rng.random() < 0.7 else [1, *shape[1:]]) for _ in range(rng.randint(1, 3))]
    maker.computed += inputs
    grow = [maker.binary, maker.lookup, maker.reshape, maker.slice, maker.concat, maker.concat, maker.transpose]
    while len(maker.nodes) < rng.randint(2, 14):
        rng.choice(grow)()
    read = {i for node in maker.nodes for i in node.inputs}
    made = [node.outputs[0] for node in maker.nodes]
    outputs = [i for i in made if i not in read or rng.random() < 0.15]
    return Graph(f"seed {seed}", tuple(maker.tensors), tuple(maker.nodes), tuple(inputs), tuple(outputs))


def run_without_sharing(graph, inputs):
    """The outputs as bytes; every tensor has an array of its own and every node its reference kernel."""
    arrays = [None] * len(graph.tensors)
    for index, tensor in enumerate(graph.tensors):
        if tensor.is_constant:
            arrays[index] = np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)
        elif tensor.state:
            arrays[index] = np.zeros(tensor.shape, tensor.dtype)
    for index, content in zip(graph.inputs, inputs):
        arrays[index] = np.frombuffer(content, graph.tensors[index].dtype).reshape(graph.tensors[index].shape)
    for node in graph.nodes:
        (output,) = [graph.tensors[i] for i in node.outputs]
        specs = tuple(graph.tensors[i] if i >= 0 else None for i in node.inputs)
        result = np.empty(output.shape, output.dtype)
        function = reference.bind(node.op, specs, (output,), node.attrs)
        function([arrays[i] if i >= 0 else None for i in node.inputs], [result])
        arrays[node.outputs[0]] = result
    return [arrays[index].tobytes() for index in graph.outputs]
