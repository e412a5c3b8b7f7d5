"""From a graph to a program: every tensor gets its memory, every node the fastest kernel that does its case."""

import mmap

from edgert import opset
from edgert.errors import CustomOpError, InputError, ModelFormatError, TierError
from edgert.graph import TOKENS, Record
from edgert.kernels import tiers
from edgert.storage import plan_storage

try:
    from edgert.kernels.native.program import Call, Program, address_of
except ImportError:  # no compiler when it was installed: every node runs on the reference tier
    Call = Program = address_of = None


class Plan(Record):
    """A graph made ready to run: write `inputs`, call `program.run()`, read `outputs`.

    Inputs do not survive a run: their memory is used again. `program` has run(), profile(enabled) and times_ns().

    graph: with the symbolic dimension bound.
    inputs, outputs: lists of (tensor, memoryview of its bytes).
    steps: list of (node index, tier, kernel name, tensor indices), one per entry of times_ns().
    elided: dict from the index of a node that needs no step to the reason: "view" of its input, or inputs "placed".
    arena_bytes, arena_map: size of the arena; list of (tensor index, offset, nbytes, first step, last step).
    state: the buffer of the tensors that live between runs, to be handed to other plans of the same model.
    call: the native `Call` that copies inputs and outputs as well, None where nothing is compiled.
    """

    __slots__ = (
        "graph", "program", "inputs", "outputs", "steps", "elided", "arena_bytes", "arena_map", "state", "call",
    )  # fmt: skip


def make(graph, tier=None, threads=1, tokens=None, state=None, choices=None):
    """Plan a graph that has passed `opset.validate`.

    tier: name of the kernel tier to start with, else the best. tokens: rows for the symbolic dimension, if it has one.
    state: `Plan.state` of another plan of this model, else fresh and zero. choices: dict from node index to the
    (tier, variant) to offer that node first.
    Raises: TierError, InputError for `tokens`, ModelFormatError if the model needs more memory than there is.
    """
    order = _resolve(tier)
    graph = _bind_tokens(graph, tokens)
    storage = plan_storage(graph)
    try:
        memory = _Memory(graph, storage, state)
        steps, entries = [], []
        for index in storage.steps:
            first = [choices[index]] if choices and index in choices else []
            names = tiers.order_for(graph.nodes[index].op, order)
            step, entry = _bind(graph, index, first + [(name, "") for name in names], memory)
            steps.append(step)
            entries.append(entry)
        program = _program(entries, threads)
    except MemoryError:
        raise ModelFormatError(
            f"the model needs more memory than there is (arena: {storage.arena_bytes:,} bytes)"
        ) from None
    arena_map = [(b.tensor, b.offset, b.nbytes, b.first_step, b.last_step) for b in storage.blocks]
    inputs, outputs = ([(graph.tensors[i], memory.view(i)) for i in ends] for ends in (graph.inputs, graph.outputs))
    call = None
    if address_of is not None:
        ends = ([(memory.address(i), graph.tensors[i].nbytes) for i in ends] for ends in (graph.inputs, graph.outputs))
        call = Call(program, *ends)
    return Plan(
        graph, program, inputs, outputs, steps, storage.elided, storage.arena_bytes, arena_map, memory.state, call
    )


def _program(entries, threads):
    try:
        return (Program or PythonProgram)(entries, threads)
    except MemoryError as error:
        if threads == 1:
            raise
        raise InputError(f"a program of {threads} threads does not start here: {error}") from None


def _resolve(tier):
    try:
        return tiers.resolve(tier)
    except ValueError as error:
        raise TierError(str(error)) from None


def _bind_tokens(graph, tokens):
    if all(TOKENS not in tensor.shape for tensor in graph.tensors):
        return graph
    if type(tokens) is not int or tokens < 1:
        raise InputError(f"the model takes a number of tokens of 1 or more, not {tokens!r}")
    opset.validate(graph, tokens)
    return opset.bind_tokens(graph, tokens)


def _bind(graph, index, offers, memory):
    """((node index, tier, kernel name, tensor indices), the program's entry) of one node.

    offers: (tier, variant) in the order to try.
    """
    node = graph.nodes[index]
    indices = (*node.inputs, *node.outputs)
    inputs = tuple([graph.tensors[i] if i >= 0 else None for i in node.inputs])
    outputs = tuple([graph.tensors[i] for i in node.outputs])
    for tier, variant in offers:
        try:
            bound = tiers.bind(tier, node.op, inputs, outputs, node.attrs, variant)
        except CustomOpError as error:
            raise CustomOpError(f"{opset.describe(graph, index)}: {error}") from error
        if bound is None:
            continue
        kind, kernel = bound
        if kind == "native":
            addresses = tuple([memory.address(i) if i >= 0 else 0 for i in indices])
            return (index, tier, kernel.name, indices), (kernel, addresses)
        call = _PythonStep(kernel, index, memory)
        return (index, tier, f"{node.op}__{tier}", indices), (call, None)
    names = ", ".join([tier for tier, _ in offers])
    raise ModelFormatError(f"{opset.describe(graph, index)}: no tier of {names} has a kernel for this case")


class _Memory:
    """The arena, the state buffer and the constants: where a tensor's bytes are."""

    __slots__ = ("arena", "arena_address", "graph", "state", "state_address", "storage")

    def __init__(self, graph, storage, state):
        self.graph, self.storage = graph, storage
        self.arena = _zeros(storage.arena_bytes)
        self.state = state or (_zeros(storage.state_bytes) if storage.state_bytes else None)
        if address_of is not None:
            self.arena_address = address_of(self.arena)
            self.state_address = address_of(self.state) if self.state else 0

    def view(self, index):
        """The tensor's bytes as a memoryview."""
        root, offset = self.storage.places[index]
        owner, nbytes = self.graph.tensors[root], self.graph.tensors[index].nbytes
        if owner.is_constant:
            buffer = memoryview(owner.data).cast("B")
        else:
            buffer = memoryview(self.state if owner.state else self.arena)
            offset += self.storage.offsets[root]
        return buffer[offset : offset + nbytes]

    def address(self, index):
        """The address of the tensor's first byte."""
        root, offset = self.storage.places[index]
        owner = self.graph.tensors[root]
        if owner.is_constant:
            return address_of(owner.data) + offset
        return (self.state_address if owner.state else self.arena_address) + self.storage.offsets[root] + offset


def _zeros(nbytes):
    """Page-aligned zeroed memory that is taken from the system as it is touched; private, so a fork gets a copy."""
    try:
        return mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError):
        raise MemoryError(f"no {nbytes:,} bytes of memory left") from None


class _PythonStep:
    """A kernel called from Python on its arrays, which are views of the arena, made when it first runs."""

    __slots__ = ("arrays", "function", "index", "memory")

    def __init__(self, function, index, memory):
        self.function, self.index, self.memory = function, index, memory
        self.arrays = None

    def __call__(self):
        if self.arrays is None:
            node = self.memory.graph.nodes[self.index]
            self.arrays = [self._array(i) for i in node.inputs], [self._array(i) for i in node.outputs]
        try:
            self.function(*self.arrays)
        except CustomOpError as error:
            raise CustomOpError(f"{opset.describe(self.memory.graph, self.index)}: {error}") from error

    def _array(self, index):
        if index < 0:
            return None
        from numpy import ndarray

        tensor = self.memory.graph.tensors[index]
        return ndarray(tensor.shape, tensor.dtype, self.memory.view(index))


class PythonProgram:
    """What `native.program.Program` is, for an installation without compiled kernels."""

    __slots__ = ("calls", "threads", "times", "timed")

    def __init__(self, steps, threads=1):
        self.calls = [call for call, _ in steps]
        self.threads, self.timed = 1, False
        self.times = [0] * len(steps)

    def profile(self, enabled):
        """Switch per-step timing on or off."""
        self.timed = enabled

    def times_ns(self):
        """Nanoseconds each step took in the last profiled run."""
        return list(self.times)

    def run(self):
        """Run every step once, in order."""
        if not self.timed:
            for call in self.calls:
                call()
            return
        from time import perf_counter_ns

        for index, call in enumerate(self.calls):
            start = perf_counter_ns()
            call()
            self.times[index] = perf_counter_ns() - start
