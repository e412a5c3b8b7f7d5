# Every op of the native tier, for the instruction set whose vocabulary was included before.
include "common.pxi"
include "gemm_store.pxi"
include "gemm.pxi"
include "gemm_pack.pxi"
include "conv2d.pxi"
include "depthwise_conv2d.pxi"
include "depthwise_quads.pxi"
include "elementwise.pxi"
include "lookup.pxi"
include "pool.pxi"
include "softmax.pxi"
include "batch_matmul.pxi"
include "copy.pxi"
include "gather.pxi"
include "resize.pxi"
include "convert.pxi"
include "rows.pxi"
include "dynamic_linear.pxi"
include "panels.pxi"
include "float_linear.pxi"
include "attention.pxi"
include "tokens.pxi"

BINDERS = {
    "conv2d": bind_conv2d,
    "linear": bind_any_linear,
    "transpose_conv2d": bind_transpose_conv2d,
    "depthwise_conv2d": bind_depthwise_conv2d,
    "batch_matmul": bind_batch_matmul,
    **{op: bind_binary for op in BINARY_OPS},
    "lookup": bind_lookup,
    "avg_pool2d": bind_pool,
    "max_pool2d": bind_pool,
    "reduce": bind_reduce,
    "softmax": bind_softmax,
    "reshape": bind_reshape,
    "concat": bind_concat,
    "slice": bind_slice,
    "pad": bind_pad,
    "transpose": bind_transpose,
    "space_to_depth": bind_space_depth,
    "depth_to_space": bind_space_depth,
    "space_to_batch": bind_space_batch,
    "batch_to_space": bind_space_batch,
    "gather": bind_gather,
    "gather_nd": bind_gather_nd,
    "arg_max": bind_arg_extreme,
    "arg_min": bind_arg_extreme,
    "resize": bind_resize,
    "quantize": bind_quantize,
    "dequantize": bind_dequantize,
    "cast": bind_cast,
    "positions": bind_positions,
    "embedding": bind_embedding,
    "dynamic_linear": bind_dynamic_linear,
    "layer_norm": bind_norm,
    "rms_norm": bind_norm,
    "gate": bind_gate,
    "rope": bind_rope,
    "cache_append": bind_cache_append,
    "attention": bind_attention,
    "last_row": bind_last_row,
}


# Kernels that count rows and pixels in int: with more elements than this in a tensor four times a count, or a count and
# two pads, could overflow.
COUNT_IN_INT = frozenset(["conv2d", "linear", "transpose_conv2d", "depthwise_conv2d", "avg_pool2d", "max_pool2d", "resize"])
MAX_ELEMENTS = 500_000_000


# Other ways to compute an op, for `edgert tune` to try beside the default "".
VARIANTS = {
    "conv2d": tuple([variant for variant in BAND_BYTES if variant]),
    "depthwise_conv2d": ("pairs",) if DW_QUADS else (),
}


def variants(str op):
    """Names of the ways to compute this op besides the default one."""
    return VARIANTS.get(op, ())


def bind(str op, tuple inputs, tuple outputs, dict attrs, str variant=""):
    """A Step for this op, or None where this instruction set has no kernel for the case (another tier then takes it)."""
    binder = BINDERS.get(op)
    if binder is None or variant and variant not in variants(op):
        return None
    if op in COUNT_IN_INT and max([spec.size for spec in (*inputs, *outputs) if spec is not None]) >= MAX_ELEMENTS:
        return None
    return binder(op, inputs, outputs, attrs, variant) if variant else binder(op, inputs, outputs, attrs)
