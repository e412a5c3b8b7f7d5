"""Picking slices by computed indices. An index outside its axis is clamped into it: no index can read elsewhere."""

from math import prod

import numpy as np


def gather(x, indices, out, *, axis, batch_dims):
    """out[b, o, j, i] = x[b, o, indices[b, j], i]: b batch_dims axes, o those up to `axis`, i those after it."""
    batches, length = prod(x.shape[:batch_dims]), x.shape[axis]
    source = x.reshape(batches, prod(x.shape[batch_dims:axis]), length, prod(x.shape[axis + 1 :]))
    picked = np.clip(indices, 0, length - 1).reshape(batches, -1)
    result = [source[b][:, picked[b]] for b in range(batches)]
    out[...] = np.stack(result).reshape(out.shape)


def gather_nd(x, indices, out):
    """out[j, ...] = x[indices[j, 0], indices[j, 1], ...]; indices (..., K) address the first K axes of x."""
    depth = indices.shape[-1]
    picked = np.clip(indices, 0, np.array(x.shape[:depth]) - 1)
    out[...] = x[tuple(np.moveaxis(picked, -1, 0))]


def bind(op, inputs, outputs, attrs):
    (x, indices), (out,) = inputs, outputs
    if x.dtype != out.dtype or indices.dtype not in ("int32", "int64"):
        return None
    if op == "gather_nd":
        return lambda arrays_in, arrays_out: gather_nd(*arrays_in, *arrays_out)
    settings = {"axis": attrs.get("axis", 0), "batch_dims": attrs.get("batch_dims", 0)}
    return lambda arrays_in, arrays_out: gather(*arrays_in, *arrays_out, **settings)
