"""The operators: names, arity, attributes, and the proof that a graph keeps every promise the kernels rely on.

`OPS` is the whole vocabulary. Layouts: activations NHWC, conv weights OHWI (I = c_in / groups), depthwise weights HWC
(output channel = input channel * multiplier + m), linear weights OI. Weights, biases and tables are constants.
`validate(graph)` runs on what a converter built and on what a file holds; nothing is planned or executed before it.
"""

from edgert import numerics, shapes
from edgert.errors import ModelFormatError
from edgert.graph import DTYPE_SIZES, MAX_DIM, MAX_NODES, MAX_RANK, MAX_TENSOR_BYTES, MAX_TENSORS, TOKENS, Tensor

REQUIRED = object()
MAX_INPUTS = 1024  # of one concat
_SMALL = 65_535  # strides, pads, kernel sides: products of a few of them stay far below 2**63

# An attribute: (type, default, smallest, largest), or (str, default, the words it may be).
_SIDE = (int, REQUIRED, 1, _SMALL)
_STEP = (int, 1, 1, _SMALL)
_PAD = (int, 0, 0, _SMALL)
_FLAG = (int, 0, 0, 1)
_AXIS = (int, REQUIRED, 0, MAX_RANK - 1)
_INTS = (tuple, REQUIRED, -(2**63), 2**63 - 1)
_WORD = (None, None)  # an int or a float, whichever the output's words are: numerics.check_word

_CLAMP = {"clamp_min": _WORD, "clamp_max": _WORD}
_PADS = {"pad_top": _PAD, "pad_bottom": _PAD, "pad_left": _PAD, "pad_right": _PAD}
_WINDOW = {"stride_h": _STEP, "stride_w": _STEP, **_PADS}
_DILATED = {**_WINDOW, "dilation_h": _STEP, "dilation_w": _STEP, **_CLAMP}
_POOL = {"kh": _SIDE, "kw": _SIDE, **_WINDOW, **_CLAMP}
_BATCH = {"block": _INTS, "before": _INTS, "after": _INTS}
_BLOCK = {"block": (int, REQUIRED, 1, _SMALL)}

_ACTIVATIONS = ["relu", "relu6", "leaky_relu", "sigmoid", "tanh", "silu", "gelu", "hard_swish", "elu"]
_MATHS = ["exp", "log", "sqrt", "rsqrt", "square", "abs", "neg", "floor", "ceil", "round", "sin", "cos"]
UNARY_FUNCTIONS = _ACTIVATIONS + _MATHS
REDUCE_FUNCTIONS = ["mean", "sum", "max", "min", "prod"]
PAD_MODES = ["constant", "reflect", "symmetric"]


class Op:
    """One row of the table: how many inputs (of three the last, a bias, may be absent or -1), attributes, rules."""

    __slots__ = ("attrs", "defaults", "least", "most", "numbers", "required", "shape", "stamp")

    def __init__(self, least, most, attrs, shape, numbers):
        self.least, self.most, self.attrs, self.shape, self.numbers = least, most, attrs, shape, numbers
        self.defaults = {name: row[1] for name, row in attrs.items() if row[1] is not REQUIRED}
        self.required = [name for name, row in attrs.items() if row[1] is REQUIRED]


OPS = {
    "conv2d": Op(2, 3, {**_DILATED, "groups": _STEP}, shapes.conv2d, numerics.conv),
    "depthwise_conv2d": Op(2, 3, _DILATED, shapes.depthwise_conv2d, numerics.depthwise_conv),
    "transpose_conv2d": Op(2, 3, {**_WINDOW, **_CLAMP}, shapes.transpose_conv2d, numerics.conv),
    "linear": Op(2, 3, _CLAMP, shapes.linear, numerics.conv),
    "batch_matmul": Op(2, 2, {"transpose_a": _FLAG, "transpose_b": _FLAG}, shapes.batch_matmul, numerics.batch_matmul),
    "add": Op(2, 2, _CLAMP, shapes.binary, numerics.add),
    "sub": Op(2, 2, _CLAMP, shapes.binary, numerics.add),
    "mul": Op(2, 2, _CLAMP, shapes.binary, numerics.mul),
    "div": Op(2, 2, _CLAMP, shapes.binary, numerics.div),
    "minimum": Op(2, 2, {}, shapes.binary, numerics.add),
    "maximum": Op(2, 2, {}, shapes.binary, numerics.add),
    "floor_div": Op(2, 2, {}, shapes.binary, numerics.floor_div),
    "squared_difference": Op(2, 2, {}, shapes.binary, numerics.squared_difference),
    "lookup": Op(2, 2, {}, shapes.lookup, numerics.lookup),
    "unary": Op(
        1, 1, {"function": (str, REQUIRED, UNARY_FUNCTIONS), "alpha": (float, 0.0)}, shapes.same, numerics.unary
    ),
    "avg_pool2d": Op(1, 1, _POOL, shapes.pool2d, numerics.average),
    "max_pool2d": Op(1, 1, _POOL, shapes.pool2d, numerics.max_pool),
    "reduce": Op(
        1,
        1,
        {"function": (str, REQUIRED, REDUCE_FUNCTIONS), "axes": _INTS, "keep_dims": _FLAG},
        shapes.reduce,
        numerics.reduce,
    ),
    "softmax": Op(1, 1, {"beta": (float, 1.0)}, shapes.along_last_axis, numerics.softmax),
    "log_softmax": Op(1, 1, {}, shapes.along_last_axis, numerics.float_only),
    "concat": Op(1, MAX_INPUTS, {"axis": _AXIS}, shapes.concat, numerics.copy),
    "slice": Op(1, 1, {"begin": _INTS, "step": (tuple, (), -(2**63), 2**63 - 1)}, shapes.slice, numerics.copy),
    "pad": Op(
        1,
        1,
        {"before": _INTS, "after": _INTS, "mode": (str, "constant", PAD_MODES), "value": _WORD},
        shapes.pad,
        numerics.pad,
    ),
    "resize": Op(
        1,
        1,
        {"mode": (str, REQUIRED, ["nearest", "bilinear"]), "align_corners": _FLAG, "half_pixel_centers": _FLAG},
        shapes.resize,
        numerics.resize,
    ),
    "reshape": Op(1, 1, {}, shapes.reshape, numerics.copy),
    "transpose": Op(1, 1, {"perm": _INTS}, shapes.transpose, numerics.copy),
    "gather": Op(
        2, 2, {"axis": (int, 0, 0, MAX_RANK - 1), "batch_dims": (int, 0, 0, MAX_RANK)}, shapes.gather, numerics.gather
    ),
    "gather_nd": Op(2, 2, {}, shapes.gather_nd, numerics.gather_nd),
    "arg_max": Op(1, 1, {"axis": _AXIS}, shapes.arg_reduce, numerics.arg_reduce),
    "arg_min": Op(1, 1, {"axis": _AXIS}, shapes.arg_reduce, numerics.arg_reduce),
    "cast": Op(1, 1, {}, shapes.same, numerics.cast),
    "quantize": Op(1, 1, {}, shapes.same, numerics.quantize),
    "dequantize": Op(1, 1, {}, shapes.same, numerics.dequantize),
    "space_to_batch": Op(1, 1, _BATCH, shapes.space_to_batch, numerics.copy),
    "batch_to_space": Op(1, 1, _BATCH, shapes.batch_to_space, numerics.copy),
    "space_to_depth": Op(1, 1, _BLOCK, shapes.space_to_depth, numerics.copy),
    "depth_to_space": Op(1, 1, _BLOCK, shapes.depth_to_space, numerics.copy),
}


# Rows of custom ops by name, put there by edgert/custom.py; each has a `stamp`: the attributes that files record.
CUSTOM = {}
STAMP = {"op_version": (None, None), "op_hash": (None, None)}


def infer_shape(op, input_shapes, attrs, declared=None):
    """The output shape of one op.

    declared: the shape asked for, needed by ops that leave it free (reshape, slice, resize, transpose_conv2d).
    Raises: ModelFormatError when attributes and shapes do not fit each other.
    """
    row = _row(op)
    if len(input_shapes) == 2 and row.most == 3:
        input_shapes = (*input_shapes, None)
    return row.shape(input_shapes, complete_attrs(row, attrs), declared)


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
        if index == -1 and position == 2 and row.most == 3:
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
    inputs = [tensors[i] if i >= 0 else None for i in node.inputs]
    input_shapes = [bound[i] if i >= 0 else None for i in node.inputs]
    if len(inputs) == 2 and row.most == 3:
        inputs.append(None)
        input_shapes.append(None)
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
