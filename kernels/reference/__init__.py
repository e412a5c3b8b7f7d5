"""The definition of every op, in NumPy: what each other tier must give, bit for bit in integers.

`bind(op, inputs, outputs, attrs)` turns tensor specs (anything with `.shape`, `.dtype` and `.quant`) into a function of
arrays. One module per family of ops; each has plain functions with explicit arguments, and a `bind` that finds these
arguments in the specs. conv2d is the one to read first.
"""

from edgert.kernels.reference import (
    arrange,
    attention,
    batch_matmul,
    binary,
    cast,
    compare,
    conv2d,
    depthwise_conv2d,
    dynamic_linear,
    gather,
    linear,
    lookup,
    norm,
    pool2d,
    reduce,
    resize,
    softmax,
    space,
    tokens,
    transpose_conv2d,
    unary,
)

OPS = {
    "conv2d": conv2d,
    "depthwise_conv2d": depthwise_conv2d,
    "transpose_conv2d": transpose_conv2d,
    "linear": linear,
    "batch_matmul": batch_matmul,
    **dict.fromkeys(binary.OPS, binary),
    "compare": compare,
    "select": compare,
    "lookup": lookup,
    "unary": unary,
    "avg_pool2d": pool2d,
    "max_pool2d": pool2d,
    "reduce": reduce,
    "arg_max": reduce,
    "arg_min": reduce,
    "cumulative_sum": reduce,
    "softmax": softmax,
    "log_softmax": softmax,
    "resize": resize,
    **dict.fromkeys(arrange.OPS, arrange),
    "gather": gather,
    "gather_nd": gather,
    **dict.fromkeys(cast.OPS, cast),
    **dict.fromkeys(space.OPS, space),
    "dynamic_linear": dynamic_linear,
    "layer_norm": norm,
    "rms_norm": norm,
    "attention": attention,
    **dict.fromkeys(tokens.OPS, tokens),
}


def bind(op, inputs, outputs, attrs):
    """A function `(arrays_in, arrays_out) -> None` that computes `op` into `arrays_out`.

    inputs, outputs: tensor specs, None for an absent input. Arrays have the spec's shape and dtype, C-contiguous.
    Raises: NotImplementedError for an op or a combination of types that does not exist.
    """
    if op not in OPS:
        raise NotImplementedError(f"op '{op}' does not exist")
    function = OPS[op].bind(op, inputs, outputs, attrs)
    if function is None:
        given = ", ".join([spec.dtype for spec in (*inputs, *outputs) if spec is not None])
        raise NotImplementedError(f"op '{op}' does not exist for {given}")
    return function
