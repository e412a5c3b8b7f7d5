"""Where every tensor lives: which share memory, how long each is needed, and one arena for all of them.

Three ways to share. A reshape or a slice of neighbouring bytes is a view of its input, and needs no step. The inputs of
a concat whose outer dimensions are 1 are made inside its output; if all are, it needs no step either. An elementwise op
overwrites an input that nobody reads later. What remains are blocks with a lifetime, placed greedily, largest first.
"""

from edgert.errors import ModelFormatError
from edgert.graph import Record

ALIGNMENT = 64
SLACK = 64  # kernels may read, never write, this many bytes past a tensor's end
IN_PLACE_OPS = frozenset(["add", "sub", "mul", "div", "minimum", "maximum", "squared_difference", "lookup", "unary"])
_MAX_SEARCHED_BLOCKS = 4_096  # the search is quadratic; longer graphs than any model's go without reuse


class Block(Record):
    """A piece of the arena: tensor `tensor` and those that share its memory, from first_step to last_step.

    last_step is the number of steps for a graph output: it is read after the last one.
    """

    __slots__ = ("tensor", "offset", "nbytes", "first_step", "last_step")


class Storage(Record):
    """places: per tensor (the tensor whose memory it is in, byte offset there). offsets: of tensors that own memory, in
    the arena, or in the state buffer for states. steps: indices of the nodes that need a kernel. elided: dict from the
    index of each other node to the reason, "view" or "placed".
    """

    __slots__ = ("places", "offsets", "blocks", "arena_bytes", "state_bytes", "steps", "elided")


def plan_storage(graph):
    """Decide sharing, lifetimes and offsets. The graph has no symbolic dimension."""
    _check_states(graph)
    sharing = _Sharing(graph)
    elided = sharing.share_copies()
    steps = [index for index in range(len(graph.nodes)) if index not in elided]
    lifetimes = _lifetimes(graph, steps, sharing)
    _work_in_place(graph, steps, sharing, lifetimes)
    blocks, arena_bytes = _place(graph, lifetimes)
    state_offsets, state_bytes = _state_offsets(graph)
    offsets = {block.tensor: block.offset for block in blocks} | state_offsets
    places = [sharing.find(index) for index in range(len(graph.tensors))]
    return Storage(places, offsets, blocks, arena_bytes, state_bytes, steps, elided)


def _align(n):
    return -(-n // ALIGNMENT) * ALIGNMENT


def _check_states(graph):
    """A node that reads the state it writes must be done with each word when it overwrites it."""
    for index, node in enumerate(graph.nodes):
        out = node.outputs[0]
        if graph.tensors[out].state and out in node.inputs and node.op not in IN_PLACE_OPS:
            raise ModelFormatError(
                f"node {index} {node.name!r} ({node.op}) reads state {graph.tensors[out].name!r} while it writes it"
            )


class _Sharing:
    """Which tensors lie inside which: a forest with byte offsets."""

    __slots__ = ("graph", "inside", "written_states")

    def __init__(self, graph):
        self.graph = graph
        self.inside = [None] * len(graph.tensors)
        self.written_states = {i for node in graph.nodes for i in node.outputs if graph.tensors[i].state}

    def find(self, index):
        """(the tensor that owns the memory, byte offset in it)."""
        path, offset = [], 0
        while self.inside[index] is not None:
            path.append((index, offset))
            index, step = self.inside[index]
            offset += step
        for member, before in path:  # shortened, or a long chain of reshapes would be walked again and again
            self.inside[member] = (index, offset - before)
        return index, offset

    def share_copies(self):
        """Turn copies into views where possible. Returns: dict from node index to the reason for each that is gone."""
        elided = {}
        for index, node in enumerate(self.graph.nodes):
            output = self.graph.tensors[node.outputs[0]]
            if output.state:
                continue
            if node.op == "concat":
                if self._place_in_concat(node, output):
                    elided[index] = "placed"
            else:
                offset = self._view_offset(node, output)
                if offset is not None and self._can_be_viewed(node.inputs[0]):
                    self.inside[node.outputs[0]] = (node.inputs[0], offset)
                    elided[index] = "view"
        return elided

    def _view_offset(self, node, output):
        """Byte offset of the output in the input if the node only names a part of it, else None."""
        if node.op == "reshape":
            return 0
        if node.op != "slice":
            return None
        x = self.graph.tensors[node.inputs[0]]
        return contiguous_slice(x.shape, output.shape, node.attrs, x.nbytes // x.size)

    def _can_be_viewed(self, index):
        """Not a constant: kernels read past the end of activations, and a constant may end the file. Not a state that
        a node writes: the view would change with it."""
        root = self.graph.tensors[self.find(index)[0]]
        return not root.is_constant and self.find(index)[0] not in self.written_states

    def _place_in_concat(self, node, output):
        """Put as many inputs as possible into the output; whether all of them are."""
        if any(dim != 1 for dim in output.shape[: node.attrs["axis"]]):
            return False
        offset, complete = 0, True
        for index in node.inputs:
            nbytes = self.graph.tensors[index].nbytes
            root, start = self.find(index)
            owner = self.graph.tensors[root]
            if start == 0 and owner.nbytes == nbytes and not owner.is_constant and not owner.state:
                self.inside[root] = (node.outputs[0], offset)
            else:
                complete = False
            offset += nbytes
        return complete


def contiguous_slice(shape, out_shape, attrs, item_bytes):
    """Byte offset of a slice whose elements are neighbours in x, None if they are not.

    So it is if dimensions are 1 wide up to one that is cut, and whole after it.
    """
    begin, step = attrs["begin"], attrs.get("step") or (1,) * len(shape)
    start, stride, may_be_cut = 0, item_bytes, True
    for dim, size, first, stride_of in reversed(list(zip(shape, out_shape, begin, step))):
        if size > 1 and (stride_of != 1 or not may_be_cut):
            return None
        may_be_cut = may_be_cut and size == dim
        start += first * stride
        stride *= dim
    return start


def _lifetimes(graph, steps, sharing):
    """Dict from each tensor that owns arena memory to [first step, last step] of all that lie in it."""
    lifetimes = {}

    def touch(index, step):
        root = sharing.find(index)[0]
        if graph.tensors[root].is_constant or graph.tensors[root].state:
            return
        life = lifetimes.setdefault(root, [step, step])
        life[0], life[1] = min(life[0], step), max(life[1], step)

    for index in graph.inputs:
        touch(index, 0)
    for step, node in enumerate(steps):
        for index in (*graph.nodes[node].inputs, *graph.nodes[node].outputs):
            if index >= 0:
                touch(index, step)
    for index in graph.outputs:
        touch(index, len(steps))
    return lifetimes


def _work_in_place(graph, steps, sharing, lifetimes):
    """Let elementwise ops write over an input of the same type and shape that ends there."""
    tensors = graph.tensors
    for step, index in enumerate(steps):
        node = graph.nodes[index]
        out = node.outputs[0]
        if node.op not in IN_PLACE_OPS or tensors[out].state or sharing.inside[out] is not None:
            continue
        roots = [sharing.find(i)[0] for i in node.inputs]
        for x, root in zip(node.inputs, roots):
            alike = tensors[x].shape == tensors[out].shape and tensors[x].dtype == tensors[out].dtype
            ends = root in lifetimes and lifetimes[root][1] == step
            # Another input elsewhere in the same memory would be overwritten before it is read.
            alone = all(i == x or other != root for i, other in zip(node.inputs, roots))
            if alike and ends and alone and tensors[root].nbytes == tensors[out].nbytes:
                sharing.inside[out] = (root, 0)
                lifetimes[root][1] = lifetimes.pop(out)[1]
                break


# What goes first into the arena; none of these orders is best for every graph, and one costs 0.2 ms for 60 blocks.
_ORDERS = (
    lambda nbytes, first, last: -nbytes,
    lambda nbytes, first, last: first,
    lambda nbytes, first, last: -nbytes * (last - first + 1),
)


def _place(graph, lifetimes):
    """(blocks by offset, size of the arena): the best of a few greedy placements."""
    wanted = [(_align(graph.tensors[root].nbytes), *life, root) for root, life in lifetimes.items()]
    bound = _most_alive(wanted)
    _check_size(graph, bound, lifetimes)
    best, best_end = None, None
    for order in _ORDERS:
        placed, end = _greedy(sorted(wanted, key=lambda block: (order(*block[:3]), block)))
        if best is None or end < best_end:
            best, best_end = placed, end
        if end == bound or len(wanted) > _MAX_SEARCHED_BLOCKS:
            break
    _check_size(graph, best_end, lifetimes)
    blocks = [Block(root, offset, graph.tensors[root].nbytes, *life) for offset, _, *life, root in sorted(best)]
    return blocks, best_end + SLACK


def _most_alive(wanted):
    """The most bytes alive at one step: no arena can be smaller."""
    changes = {}
    for nbytes, first, last, _ in wanted:
        changes[first] = changes.get(first, 0) + nbytes
        changes[last + 1] = changes.get(last + 1, 0) - nbytes
    alive, most = 0, 0
    for step in sorted(changes):
        alive += changes[step]
        most = max(most, alive)
    return most


def _greedy(wanted):
    """Put each block at the lowest offset that is free for all its life: ([(start, stop, first, last, root)], end)."""
    search = len(wanted) <= _MAX_SEARCHED_BLOCKS
    placed, end = [], 0
    for nbytes, first, last, root in wanted:
        offset = end
        if search:
            offset = 0
            for start, stop in sorted([(a, z) for a, z, since, until, _ in placed if since <= last and until >= first]):
                if start - offset >= nbytes:
                    break
                offset = max(offset, stop)
        placed.append((offset, offset + nbytes, first, last, root))
        end = max(end, offset + nbytes)
    return placed, end


def _state_offsets(graph):
    offsets, end = {}, 0
    for index, tensor in enumerate(graph.tensors):
        if tensor.state:
            offsets[index] = end
            end += _align(tensor.nbytes)
    _check_size(graph, end, offsets)
    return offsets, end + SLACK if offsets else 0


def _check_size(graph, nbytes, indices):
    """Memory is only taken as it is touched, so a promise too large would kill the process later and without a name."""
    from os import sysconf

    limit = sysconf("SC_PHYS_PAGES") * sysconf("SC_PAGE_SIZE")
    if nbytes > limit:
        largest = max([graph.tensors[index] for index in indices], key=lambda tensor: tensor.nbytes)
        raise ModelFormatError(
            f"the model needs {nbytes:,} bytes of working memory, the machine has {limit:,}; the largest tensor is "
            f"{largest.name!r} with {largest.nbytes:,}"
        )
