# Every op of the native tier, for the instruction set whose vocabulary was included before.
include "common.pxi"
include "gemm.pxi"
include "conv2d.pxi"

BINDERS = {
    "conv2d": bind_conv2d,
    "linear": bind_linear,
    "transpose_conv2d": bind_transpose_conv2d,
}


def bind(str op, tuple inputs, tuple outputs, dict attrs):
    """A Step for this op, or None where this instruction set has no kernel for the case (another tier then takes it)."""
    binder = BINDERS.get(op)
    return binder(op, inputs, outputs, attrs) if binder is not None else None
