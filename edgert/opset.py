"""The proof that a graph keeps every promise the kernels rely on.

`OPS` is the whole vocabulary (edgert/operators.py). `validate(graph)` runs on what a converter built and on what a file
holds; nothing is planned or executed before it.
"""

from edgert import numerics
from edgert.errors import ModelFormatError
from edgert.graph import DTYPE_SIZES, MAX_DIM, MAX_NODES, MAX_RANK, MAX_TENSOR_BYTES, MAX_TENSORS, TOKENS, Tensor
from edgert.operators import (  # noqa: F401 (names of opset for everyone else)
    COMPARE_FUNCTIONS,
    CUSTOM,
    MAX_INPUTS,
    OPS,
    PAD_MODES,
    REDUCE_FUNCTIONS,
    REQUIRED,
    STAMP,
    UNARY_FUNCTIONS,
    Op,
)


def infer_shape(op, input_shapes, attrs, declared=None):
    """The output shape of one op.

    declared: the shape asked for, needed by ops that leave it free (reshape, slice, resize, transpose_conv2d).
    Raises: ModelFormatError when attributes and shapes do not fit each other.
    """
    row = _row(op)
    return row.shape(_with_absent(row, input_shapes), complete_attrs(row, attrs), declared)


def _with_absent(row, inputs):
    """`inputs` with None for each optional one that was left out."""
    missing = row.most - len(inputs) if row.optional else 0
    return [*inputs, *[None] * missing]


def complete_attrs(row, attrs):
    """`attrs` with defaults filled in, after checking every name, type and range.

    Raises: ModelFormatError.
    """
    rows = row.attrs
    for name, value in attrs.items():
        if name not in rows:
            raise ModelFormatError(f"attribute '{name}' is unknown; it takes {', '.join(rows) or 'none'}")
        kind, _, *limits = rows[name]
        if kind is None:
            continue
        if type(value) is not kind:
            raise ModelFormatError(f"attribute '{name}' is {value!r}, needs a {kind.__name__}")
        if kind is str:
            if value not in limits[0]:
                raise ModelFormatError(f"attribute '{name}' is '{value}', not one of {', '.join(limits[0])}")
        elif kind is tuple:
            _check_ints(name, value)
        elif limits and not limits[0] <= value <= limits[1]:
            raise ModelFormatError(f"attribute '{name}' is {value}, outside {limits[0]}..{limits[1]}")
        elif kind is float and value - value != 0.0:
            raise ModelFormatError(f"attribute '{name}' is {value}, not a finite number")
    for name in row.required:
        if name not in attrs:
            raise ModelFormatError(f"attribute '{name}' is missing")
    return {**row.defaults, **attrs}


def _check_ints(name, values):
    if len(values) > MAX_RANK:
        raise ModelFormatError(f"attribute '{name}' has {len(values)} entries, more than {MAX_RANK}")
    for value in values:
        if type(value) is not int or not -MAX_DIM <= value <= MAX_DIM:
            raise ModelFormatError(f"attribute '{name}' is {values}, needs ints of at most {MAX_DIM}")


def bind_tokens(graph, tokens):
    """The graph with the symbolic dimension replaced by `tokens` rows; the graph itself where it has none."""
    if all(TOKENS not in tensor.shape for tensor in graph.tensors):
        return graph
    tensors = [
        Tensor(t.name, t.dtype, _bound(t.shape, tokens), t.quant, t.data, t.state) if TOKENS in t.shape else t
        for t in graph.tensors
    ]
    return graph.replace(tensors=tuple(tensors))


def with_all_rows(graph):
    """The graph without its `last_row`: what follows is computed for every token, not only for the last one.

    Raises: ModelFormatError if what follows has no rows to compute.
    """
    rows = {node.outputs[0] for node in graph.nodes if node.op == "last_row"}
    for node in graph.nodes:
        if rows.intersection(node.inputs):
            rows.update(node.outputs)
    if not rows:
        return graph
    for index in rows:
        if graph.tensors[index].shape[:1] != (1,):
            raise ModelFormatError(f"tensor '{graph.tensors[index].name}' follows the last row and is not one row")
    tensors = [t.replace(shape=(TOKENS, *t.shape[1:])) if i in rows else t for i, t in enumerate(graph.tensors)]
    nodes = [node.replace(op="reshape") if node.op == "last_row" else node for node in graph.nodes]
    changed = graph.replace(tensors=tuple(tensors), nodes=tuple(nodes))
    validate(changed)
    return changed


def validate(graph, tokens=3):
    """Prove that `graph` can be planned and run.

    A graph with the symbolic dimension is checked with `tokens` rows; whoever binds another number validates again.
    Raises: ModelFormatError naming the node and tensors, with the numbers.
    """
    bound = _check_tensors(graph.tensors, tokens)
    ready = _check_ends(graph)
    if len(graph.nodes) > MAX_NODES:
        raise ModelFormatError(f"the graph has {len(graph.nodes)} nodes, more than {MAX_NODES}")
    for index, node in enumerate(graph.nodes):
        try:
            _check_wiring(graph, node, ready)
            _check_node(graph.tensors, node, bound)
        except ModelFormatError as error:
            raise ModelFormatError(f"{describe(graph, index)}: {error}") from None
    for index in graph.outputs:
        if ready[index] != _COMPUTED:
            raise ModelFormatError(f"output tensor '{graph.tensors[index].name}' is not computed by any node")
    _check_preprocess(graph.metadata.preprocess)
    if graph.metadata.head is not None:
        from edgert import heads

        heads.check(graph)
    for vector, (inputs, outputs) in enumerate(graph.metadata.golden):
        _check_golden(graph, graph.inputs, inputs, f"golden vector {vector}: its inputs")
        _check_golden(graph, graph.outputs, outputs, f"golden vector {vector}: its outputs")


def stamped(graph):
    """The graph with each custom op's version and hash among its node's attributes, as a file holds them."""
    if all(node.op not in CUSTOM for node in graph.nodes):
        return graph
    nodes = [n.replace(attrs={**CUSTOM[n.op].stamp, **n.attrs}) if n.op in CUSTOM else n for n in graph.nodes]
    return graph.replace(nodes=tuple(nodes))


def describe(graph, index):
    """A node with its tensors' names, for messages: `node 3 'stem' (conv2d: 'x', 'w', 'b' -> 'y')`."""
    node, count = graph.nodes[index], len(graph.tensors)

    def names(indices):
        shown = [f"'{graph.tensors[i].name}'" if type(i) is int and 0 <= i < count else str(i) for i in indices[:4]]
        return ", ".join(shown) + (", ..." if len(indices) > 4 else "")

    return f"node {index} '{node.name}' ({node.op}: {names(node.inputs)} -> {names(node.outputs)})"


_MISSING, _GIVEN, _COMPUTED = 0, 1, 2  # what a tensor is, while walking the nodes in order


def _check_tensors(tensors, tokens):
    """Every tensor by itself. Returns the shapes with the symbolic dimension bound."""
    if len(tensors) > MAX_TENSORS:
        raise ModelFormatError(f"the graph has {len(tensors)} tensors, more than {MAX_TENSORS}")
    names, bound = set(), []
    for index, tensor in enumerate(tensors):
        try:
            if type(tensor.name) is not str or not tensor.name or tensor.name in names:
                raise ModelFormatError("has no name of its own")
            names.add(tensor.name)
            bound.append(_check_tensor(tensor, tokens))
            if tensor.quant is not None:
                numerics.check_quant(tensor)
        except ModelFormatError as error:
            raise ModelFormatError(f"tensor {index} '{tensor.name}' {error}") from None
    return bound


def _check_tensor(tensor, tokens):
    if tensor.dtype not in DTYPE_SIZES:
        raise ModelFormatError(f"has unknown dtype {tensor.dtype!r}")
    shape = tensor.shape
    if type(shape) is not tuple or len(shape) > MAX_RANK:
        raise ModelFormatError(f"has shape {shape}, more than {MAX_RANK} dimensions")
    if TOKENS in shape:
        if shape.count(TOKENS) > 1 or tensor.data is not None or tensor.state:
            raise ModelFormatError(f"has shape {shape}: only computed tensors have a symbolic dimension, one")
        shape = _bound(shape, tokens)
    nbytes = DTYPE_SIZES[tensor.dtype]
    for dim in shape:
        if type(dim) is not int or not 1 <= dim <= MAX_DIM:
            raise ModelFormatError(f"has shape {shape}: a dimension is not in 1..{MAX_DIM}")
        nbytes *= dim
    if nbytes > MAX_TENSOR_BYTES:
        raise ModelFormatError(f"has shape {shape}: {nbytes} bytes, more than {MAX_TENSOR_BYTES}")
    if tensor.data is not None:
        _check_data(tensor, nbytes)
    return shape


def _check_data(tensor, nbytes):
    if tensor.state:
        raise ModelFormatError("is a constant and a state at once")
    view = memoryview(tensor.data)
    if view.nbytes != nbytes or not view.c_contiguous:
        raise ModelFormatError(f"has {view.nbytes} bytes of data, shape {tensor.shape} {tensor.dtype} needs {nbytes}")


def _bound(shape, tokens):
    return tuple([tokens if dim == TOKENS else dim for dim in shape])


def _check_ends(graph):
    """Graph inputs and outputs. Returns, per tensor, whether it is there before the first node."""
    tensors = graph.tensors
    ready = [_MISSING if t.data is None and not t.state else _GIVEN for t in tensors]
    for index in graph.inputs:
        _check_index(index, tensors, "the graph's inputs")
        if ready[index]:
            raise ModelFormatError(f"input tensor '{tensors[index].name}' is a constant, a state or listed twice")
        ready[index] = _GIVEN
    if not graph.outputs:
        raise ModelFormatError("the graph has no outputs")
    for index in graph.outputs:
        _check_index(index, tensors, "the graph's outputs")
    return ready


def _check_index(index, tensors, where):
    if type(index) is not int or not 0 <= index < len(tensors):
        raise ModelFormatError(f"{where} name tensor {index}, there are {len(tensors)}")


def _check_wiring(graph, node, ready):
    """Inputs exist by now, the output has no other source; marks it computed."""
    tensors, row = graph.tensors, _row(node.op)
    count = len(node.inputs)
    if not row.least <= count <= row.most:
        raise ModelFormatError(f"has {count} inputs, takes {row.least} to {row.most}")
    if len(node.outputs) != 1:
        raise ModelFormatError(f"has {len(node.outputs)} outputs, gives 1")
    for position, index in enumerate(node.inputs):
        if index == -1 and position in row.optional:
            continue
        _check_index(index, tensors, "its inputs")
        if not ready[index]:
            raise ModelFormatError(f"input '{tensors[index].name}' is not there yet: {_source(graph, index)}")
    output = node.outputs[0]
    _check_index(output, tensors, "its outputs")
    if ready[output] == _COMPUTED or (ready[output] and not tensors[output].state):
        raise ModelFormatError(f"output '{tensors[output].name}' is also an input, a constant or another node's output")
    ready[output] = _COMPUTED


def _source(graph, index):
    for position, node in enumerate(graph.nodes):
        if index in node.outputs:
            return f"node {position} gives it (a cycle, or the wrong order)"
    return "nothing gives it"


def _check_node(tensors, node, bound):
    """Attributes, types, quantisation and shapes of one node whose indices are good."""
    row = _row(node.op)
    attrs = complete_attrs(row, node.attrs)
    inputs = _with_absent(row, [tensors[i] if i >= 0 else None for i in node.inputs])
    input_shapes = _with_absent(row, [bound[i] if i >= 0 else None for i in node.inputs])
    output, declared = tensors[node.outputs[0]], bound[node.outputs[0]]
    inferred = row.shape(input_shapes, attrs, declared)
    if inferred != declared:
        raise ModelFormatError(f"output '{output.name}' is declared {declared}, the op gives {inferred}")
    row.numbers(inputs, output, attrs, input_shapes)


def _check_golden(graph, indices, buffers, where):
    if len(buffers) != len(indices):
        raise ModelFormatError(f"{where} are {len(buffers)} arrays, the graph has {len(indices)}")
    for index, buffer in zip(indices, buffers):
        tensor = graph.tensors[index]
        if TOKENS not in tensor.shape and len(buffer) != tensor.nbytes:
            raise ModelFormatError(f"{where} hold {len(buffer)} bytes for '{tensor.name}', which has {tensor.nbytes}")


def _check_preprocess(preprocess):
    if preprocess is None:
        return
    if preprocess.channels not in ("RGB", "BGR", "GRAY") or preprocess.resize not in ("stretch", "crop", "letterbox"):
        raise ModelFormatError(f"preprocessing '{preprocess.channels}', '{preprocess.resize}' is unknown")
    for name, values in ("mean", preprocess.mean), ("std", preprocess.std):
        if len(values) not in (1, 3) or not all(abs(value) < 3.4e38 for value in values):
            raise ModelFormatError(f"preprocessing {name} {values} is not 1 or 3 finite numbers")
    if not all(preprocess.std):
        raise ModelFormatError(f"preprocessing std {preprocess.std} has a zero")


def _row(op):
    row = OPS.get(op) or CUSTOM.get(op)
    if row is None and "." in op:
        raise ModelFormatError(
            f"custom op '{op}' is not registered here: first import the module that defines it with @edgert.op('{op}')"
        )
    if row is None:
        raise ModelFormatError(f"op {op!r} is unknown to this version")
    return row
