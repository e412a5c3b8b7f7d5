"""Shapes and numbers of the ops that language models are made of; docs/text.md says what each computes.

Two functions per op: `<op>_shape(shapes, attrs, declared)` as in `shapes`, `<op>(inputs, output, attrs, shapes)` as in
`numerics`. What they prove: no int32 sum overflows, heads divide, caches are states of one layout. Token ids and
positions are only known at run time: `text_limits` has what a Session checks, and kernels clamp.
"""

from edgert.errors import ModelFormatError

GROUP = 32  # weights that share a group scale
SCALE_BYTES = 4  # of one float32 behind the words of an int8 cache
MAX_HEAD_DIM = 1024
MAX_DEPTH = 133_000  # 127 * 127 * depth < 2**31
MAX_DEPTH_INT4 = 16_512  # 8 * 127 * 128 * depth < 2**31: nibble, activation, group scale


def positions_shape(shapes, attrs, declared):
    _need_shape("position", shapes[1], (1,))
    _need_rank("tokens", shapes[0], 1)
    return shapes[0]


def positions(inputs, output, attrs, shapes):
    _need("int32", *inputs, output)


def embedding_shape(shapes, attrs, declared):
    ids, table, scale, group_scale = shapes
    _need_rank("ids", ids, 1)
    return (*ids, _weights("the table", table, scale, group_scale))


def embedding(inputs, output, attrs, shapes):
    ids, table, scale, group_scale = inputs
    _need("int32", ids)
    _need("float32", output)
    if scale is None:
        _need("float32", table)
        return _need_constant(table)
    _quantised_weights(table, scale, group_scale)


def dynamic_linear_shape(shapes, attrs, declared):
    x, weight, scale, bias, group_scale = shapes
    if not x:
        raise ModelFormatError("x is a scalar and has no last axis")
    depth = _weights("the weight", weight, scale, group_scale)
    if x[-1] != depth:
        raise ModelFormatError(f"x {x} has {x[-1]} columns, the weight takes {depth}")
    if depth > (MAX_DEPTH if group_scale is None else MAX_DEPTH_INT4):
        raise ModelFormatError(f"a sum of {depth} products can leave int32")
    if bias is not None:
        _need_shape("bias", bias, weight[:1])
    return (*x[:-1], weight[0])


def dynamic_linear(inputs, output, attrs, shapes):
    x, weight, scale, bias, group_scale = inputs
    _need("float32", x, bias, output)
    _need_constant(bias)
    _quantised_weights(weight, scale, group_scale)


def _weights(name, weight, scale, group_scale):
    """Numbers in a row of weights; their scales must fit. weight (rows, depth), or (rows, depth / 2) in int4."""
    _need_rank(name, weight, 2)
    depth = weight[1]
    if scale is not None:
        _need_shape("scale", scale, weight[:1])
    if group_scale is not None:
        depth *= 2
        if depth % GROUP:
            raise ModelFormatError(f"rows of {depth} int4 weights are not cut into groups of {GROUP}")
        _need_shape("group_scale", group_scale, (weight[0], depth // GROUP))
    return depth


def _quantised_weights(weight, scale, group_scale):
    _need("float32", scale)
    _need("int8" if group_scale is None else "uint8", weight)
    _need("int8", group_scale)
    _need_constant(weight, scale, group_scale)


def norm_shape(shapes, attrs, declared):
    x, *parameters = shapes
    for name, shape in zip(("weight", "bias"), parameters):
        if shape is not None:
            _need_shape(name, shape, x[-1:])
    return x


def norm(inputs, output, attrs, shapes):
    _need("float32", *inputs, output)
    _need_constant(*inputs[1:])


def gate_shape(shapes, attrs, declared):
    if shapes[1] is not None:
        _need_shape("the second operand", shapes[1], shapes[0])
    return shapes[0]


def floats(inputs, output, attrs, shapes):
    _need("float32", *inputs, output)


def rope_shape(shapes, attrs, declared):
    x, table, position = shapes
    _need_rank("x", x, 3)
    _need_rank("table", table, 2)
    _need_shape("position", position, (1,))
    if table[1] % 2 or table[1] > x[2]:
        raise ModelFormatError(f"a table of {table[1]} columns does not turn pairs of the {x[2]} numbers of a head")
    return x


def rope(inputs, output, attrs, shapes):
    x, table, position = inputs
    _need("float32", x, table, output)
    _need("int32", position)
    _need_constant(table)


def cache_append_shape(shapes, attrs, declared):
    x, position = shapes
    _need_rank("x", x, 3)
    _need_rank("the cache", declared, 3)
    _need_shape("position", position, (1,))
    if declared[0] != x[1] or declared[2] not in (x[2], x[2] + SCALE_BYTES):
        raise ModelFormatError(f"x {x} (tokens, heads, head_dim) does not fit into the cache {declared}")
    return declared


def cache_append(inputs, output, attrs, shapes):
    x, position = inputs
    _need("float32", x)
    _need("int32", position)
    if not output.state:
        raise ModelFormatError(f"the cache '{output.name}' is not a state")
    _check_cache(output, shapes[0][2])


def attention_shape(shapes, attrs, declared):
    q, k, v, position = shapes
    _need_rank("q", q, 3)
    _need_rank("the cache of keys", k, 3)
    _need_shape("position", position, (1,))
    _need_shape("the cache of values", v, k)
    if q[1] % k[0]:
        raise ModelFormatError(f"{q[1]} heads are not shared evenly by {k[0]} heads of keys and values")
    return q


def attention(inputs, output, attrs, shapes):
    q, k, v, position = inputs
    _need("float32", q, output)
    _need("int32", position)
    _need(k.dtype, v)
    for cache in (k, v):
        if not cache.state:
            raise ModelFormatError(f"the cache '{cache.name}' is not a state")
        _check_cache(cache, shapes[0][2])


def _check_cache(cache, head_dim):
    """float32 (heads, context, head_dim), or int8 with the bytes of one float32 more per row."""
    if head_dim % 4 or head_dim > MAX_HEAD_DIM:
        raise ModelFormatError(f"heads of {head_dim} numbers: needs a multiple of 4 up to {MAX_HEAD_DIM}")
    wanted = {"float32": head_dim, "int8": head_dim + SCALE_BYTES}.get(cache.dtype)
    if cache.shape[2] != wanted:
        raise ModelFormatError(
            f"the cache '{cache.name}' is {cache.dtype} {cache.shape}; heads of {head_dim} numbers take float32 "
            f"(heads, context, {head_dim}) or int8 (heads, context, {head_dim + SCALE_BYTES})"
        )


def last_row_shape(shapes, attrs, declared):
    _need_rank("x", shapes[0], 2)
    return (1, shapes[0][1])


def _need(dtype, *tensors):
    for tensor in tensors:
        if tensor is not None and (tensor.dtype != dtype or tensor.quant is not None):
            what = tensor.dtype if tensor.quant is None else f"{tensor.dtype} with a quantisation of its own"
            raise ModelFormatError(f"'{tensor.name}' is {what}, needs plain {dtype}")


def _need_constant(*tensors):
    for tensor in tensors:
        if tensor is not None and tensor.data is None:
            raise ModelFormatError(f"'{tensor.name}' must be a constant")


def _need_rank(name, shape, rank):
    if len(shape) != rank:
        raise ModelFormatError(f"{name} has shape {shape}, needs {rank} dimension{'s' if rank > 1 else ''}")


def _need_shape(name, shape, wanted):
    if tuple(shape) != tuple(wanted):
        raise ModelFormatError(f"{name} has shape {shape}, needs {tuple(wanted)}")
