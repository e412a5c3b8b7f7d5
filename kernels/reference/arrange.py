"""Ops that put words elsewhere and change none: concat, slice, pad, reshape, transpose. Any type, one for all."""

import numpy as np

from edgert.kernels import requant


def concat(*arrays, axis):
    *inputs, out = arrays
    np.concatenate(inputs, axis=axis, out=out)


def slice_(x, out, *, begin, step):
    """out[i, ...] = x[begin + i * step, ...]; a step may be negative."""
    for axis, (first, stride, size) in enumerate(zip(begin, step, out.shape)):
        x = x.take(first + stride * np.arange(size), axis=axis)
    out[...] = x


def pad(x, out, *, before, after, mode, value):
    """mode: "constant" (value), "reflect" (mirrored, without the edge) or "symmetric" (mirrored, with the edge)."""
    pads = tuple(zip(before, after))
    if mode == "constant":
        out[...] = np.pad(x, pads, constant_values=value)
    else:
        out[...] = np.pad(x, pads, mode=mode)


def reshape(x, out):
    out[...] = x.reshape(out.shape)


def transpose(x, out, *, perm):
    """Axis i of out is axis perm[i] of x."""
    out[...] = x.transpose(perm)


def _pad_settings(x, attrs):
    default = 0.0 if x.dtype == "float32" else x.quant.zero_point if x.quant else 0
    mode, value = attrs.get("mode", "constant"), attrs.get("value", default)
    if x.dtype == "float32":
        value = requant.float32(value)
    return {"before": attrs["before"], "after": attrs["after"], "mode": mode, "value": value}


OPS = {
    "concat": (concat, lambda x, attrs: {"axis": attrs["axis"]}),
    "slice": (slice_, lambda x, attrs: {"begin": attrs["begin"], "step": attrs.get("step") or (1,) * len(x.shape)}),
    "pad": (pad, _pad_settings),
    "reshape": (reshape, lambda x, attrs: {}),
    "transpose": (transpose, lambda x, attrs: {"perm": attrs["perm"]}),
}


def bind(op, inputs, outputs, attrs):
    if any(spec.dtype != outputs[0].dtype for spec in inputs):
        return None
    function, settings_of = OPS[op]
    settings = settings_of(inputs[0], attrs)
    return lambda arrays_in, arrays_out: function(*arrays_in, *arrays_out, **settings)
