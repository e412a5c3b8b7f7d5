"""Moving pixels between height and width on one side, batch or channels on the other. Any type; words are copied."""

import numpy as np


def space_to_batch(x, out, *, block, before, after, fill):
    """Pads, then every position within a block becomes a batch of its own.

    x (N, H, W, C), out (bh * bw * N, H', W', C). block: (bh, bw). before, after: pads of height and width.
    """
    n, _, _, c = x.shape
    (bh, bw), (_, h, w, _) = block, out.shape
    pads = ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0))
    padded = np.pad(x, pads, constant_values=fill)
    out[...] = padded.reshape(n, h, bh, w, bw, c).transpose(2, 4, 0, 1, 3, 5).reshape(out.shape)


def batch_to_space(x, out, *, block, before, after, fill):
    """The inverse; before, after: what is cropped off height and width."""
    (bh, bw), (batches, h, w, c) = block, x.shape
    n = batches // (bh * bw)
    whole = x.reshape(bh, bw, n, h, w, c).transpose(2, 3, 0, 4, 1, 5).reshape(n, h * bh, w * bw, c)
    out[...] = whole[:, before[0] : h * bh - after[0], before[1] : w * bw - after[1]]


def space_to_depth(x, out, *, block):
    """x (N, H, W, C), out (N, H / block, W / block, block * block * C), positions in a block row by row."""
    n, h, w, c = x.shape
    grid = x.reshape(n, h // block, block, w // block, block, c)
    out[...] = grid.transpose(0, 1, 3, 2, 4, 5).reshape(out.shape)


def depth_to_space(x, out, *, block):
    """The inverse."""
    n, h, w, c = x.shape
    grid = x.reshape(n, h, w, block, block, c // (block * block))
    out[...] = grid.transpose(0, 1, 3, 2, 4, 5).reshape(out.shape)


OPS = {
    "space_to_batch": space_to_batch,
    "batch_to_space": batch_to_space,
    "space_to_depth": space_to_depth,
    "depth_to_space": depth_to_space,
}


def bind(op, inputs, outputs, attrs):
    (x,), (out,), function = inputs, outputs, OPS[op]
    if x.dtype != out.dtype:
        return None
    settings = {name: attrs[name] for name in ("block", "before", "after") if name in attrs}
    if op in ("space_to_batch", "batch_to_space"):
        settings["fill"] = x.quant.zero_point if x.quant else 0  # padding is real zero
    return lambda arrays_in, arrays_out: function(*arrays_in, *arrays_out, **settings)
