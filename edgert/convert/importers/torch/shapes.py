"""Builders of PyTorch's operators that only move elements: views, permutations, slices, joins, pads."""

import numpy as np

from edgert.convert.unsupported import Unsupported


def same(site):
    return site.tensor(next(iter(site.arguments)))


def cast(site):
    x, dtype = site.tensor(), site.declared()[1]
    return x if site.spec(x).dtype == dtype else site.step("cast", [x], dtype=_known(dtype))


def _known(dtype):
    if dtype not in ("float32", "int32", "int64", "bool", "int8", "uint8", "int16"):
        raise Unsupported(f"type {dtype}: convert the module with .float() first")
    return dtype


def view(site):
    """Every operator whose result is the same elements in the same order, in another shape."""
    return site.reshape(site.tensor(), site.declared()[0])


def permute(site):
    x = site.tensor()
    rank = len(site.shape(x))
    return site.transpose(x, [site.axis(dim, rank) for dim in site["dims"]])


def swap(site):
    x = site.tensor()
    rank = len(site.shape(x))
    perm = list(range(rank))
    if "dim0" in site.arguments:
        a, b = site.axis(site["dim0"], rank), site.axis(site["dim1"], rank)
        perm[a], perm[b] = b, a
    else:  # aten.t
        perm.reverse()
    return site.transpose(x, perm)


def expand(site):
    """Broadcasting, written as a product with ones where nobody else would do it."""
    x, shape = site.tensor(), site.declared()[0]
    if site.shape(x) == shape:
        return x
    return site.step("mul", [x, site.constant(np.ones(shape, site.spec(x).dtype), "ones")])


def concat(site):
    parts = site.tensors("tensors")
    return parts[0] if len(parts) == 1 else site.step("concat", parts, {"axis": _axis(site, parts[0])})


def stack(site):
    parts = site.tensors("tensors")
    axis = site.axis(site["dim"], len(site.shape(parts[0])) + 1)
    parts = [site.reshape(x, (*site.shape(x)[:axis], 1, *site.shape(x)[axis:])) for x in parts]
    return site.step("concat", parts, {"axis": axis})


def slice_(site):
    x = site.tensor()
    axis, size, step = _axis(site, x), site.shape(x)[_axis(site, x)], site["step"] or 1
    start = min(max((site["start"] or 0) + (size if (site["start"] or 0) < 0 else 0), 0), size)
    return _cut(site, x, axis, start, site.declared()[0][axis], step)


def narrow(site):
    x = site.tensor()
    return _cut(site, x, _axis(site, x), site["start"], site["length"])


def select(site):
    x = site.tensor()
    axis = _axis(site, x)
    index = site["index"] + (site.shape(x)[axis] if site["index"] < 0 else 0)
    return site.reshape(_cut(site, x, axis, index, 1), site.declared()[0])


def split(site):
    """chunk, split, split_with_sizes, unbind: a list of slices."""
    x = site.tensor("self")
    axis, parts, start = _axis(site, x), [], 0
    for k in range(len(site.node.meta["val"])):
        shape = site.declared(k)[0]
        size = shape[axis] if len(shape) == len(site.shape(x)) else 1
        parts.append(site.reshape(_cut(site, x, axis, start, size), shape))
        start += size
    return parts


def _axis(site, x):
    return site.axis(site["dim"] or 0, len(site.shape(x)))


def _cut(site, x, axis, start, size, step=1):
    shape = site.shape(x)
    if size == 0:
        raise Unsupported("its result is empty")
    if start == 0 and size == shape[axis] and step == 1:
        return x
    begin = tuple(start if i == axis else 0 for i in range(len(shape)))
    attrs = {"begin": begin}
    if step > 1:
        attrs["step"] = tuple(step if i == axis else 1 for i in range(len(shape)))
    return site.step("slice", [x], attrs, tuple(size if i == axis else dim for i, dim in enumerate(shape)))


def index_select(site):
    x = site.tensor()
    return site.step("gather", [x, _indices(site, site.tensor("index"))], {"axis": _axis(site, x)})


def index(site):
    """x[..., indices, ...] with one constant tensor of indices."""
    x, given = site.tensor(), site.arguments["indices"]
    places = [axis for axis, node in enumerate(given) if node is not None]
    if len(places) != 1:
        raise Unsupported(f"indexing along {len(places)} dimensions at once")
    at = site.place(given[places[0]])
    if site.spec(at).dtype == "bool":
        raise Unsupported("a mask of booleans makes the result's size depend on the data")
    return site.step("gather", [x, _indices(site, at, site.shape(x)[places[0]])], {"axis": places[0]})


def embedding(site):
    return site.step("gather", [site.tensor("weight"), site.tensor("indices")], {"axis": 0})


def _indices(site, at, size=None):
    value = site.draft.value(at)
    if value is None or size is None or value.min() >= 0:
        return at
    return site.constant(np.where(value < 0, value + size, value), "indices")


def flip(site):
    x = site.tensor()
    shape, rank = site.shape(x), len(site.shape(x))
    axes = {site.axis(dim, rank) for dim in site["dims"]}
    begin = tuple(shape[i] - 1 if i in axes else 0 for i in range(rank))
    return site.step("slice", [x], {"begin": begin, "step": tuple(-1 if i in axes else 1 for i in range(rank))}, shape)


def repeat(site):
    x, times = site.tensor(), site["repeats"]
    x = site.reshape(x, (1,) * (len(times) - len(site.shape(x))) + site.shape(x))
    for axis, count in enumerate(times):
        if count != 1:
            x = site.step("concat", [x] * count, {"axis": axis})
    return x


def pad(site):
    """constant_pad_nd, and pad with a mode; pairs of pads run from the last dimension to the first."""
    x, pads = site.tensor(), site["pad"] if "pad" in site.arguments else site["padding"]
    mode = site["mode"] or "constant"
    if mode not in ("constant", "reflect"):
        raise Unsupported(f"mode '{mode}'")
    rank = len(site.shape(x))
    before, after = [0] * rank, [0] * rank
    for k in range(len(pads) // 2):
        before[rank - 1 - k], after[rank - 1 - k] = pads[2 * k], pads[2 * k + 1]
    if min(*before, *after) < 0:  # negative pads cut
        shape = [dim + min(b, 0) + min(a, 0) for dim, b, a in zip(site.shape(x), before, after)]
        x = site.step("slice", [x], {"begin": tuple(-min(b, 0) for b in before)}, tuple(shape))
        before, after = [max(b, 0) for b in before], [max(a, 0) for a in after]
    attrs = {"before": tuple(before), "after": tuple(after)}
    if mode != "constant":
        attrs["mode"] = mode
    elif site["value"]:
        attrs["value"] = float(site["value"])
    return site.step("pad", [x], attrs)


def pixel_shuffle(site):
    """PyTorch's channel c * r * r + i * r + j is channel (i * r + j) * C + c of depth_to_space."""
    x, r = site.nhwc(site.tensor()), site["upscale_factor"]
    order = np.arange(site.shape(x)[3]).reshape(-1, r * r).T.reshape(-1)
    x = site.step("gather", [x, site.constant(order.astype(np.int32), "order")], {"axis": 3})
    return site.nchw(site.step("depth_to_space", [x], {"block": r}))


def pixel_unshuffle(site):
    x, r = site.nhwc(site.tensor()), site["downscale_factor"]
    x = site.step("space_to_depth", [x], {"block": r})
    order = np.arange(site.shape(x)[3]).reshape(r * r, -1).T.reshape(-1)
    return site.nchw(site.step("gather", [x, site.constant(order.astype(np.int32), "order")], {"axis": 3}))


def filled(value=None):
    """A constant of the declared shape and type."""

    def build(site):
        shape, dtype = site.declared()
        return site.constant(np.full(shape, site["fill_value"] if value is None else value, _known(dtype)))

    return build


def arange(site):
    (count,), dtype = site.declared()
    start, step = site["start"] or 0, site["step"] or 1
    return site.constant((start + step * np.arange(count)).astype(_known(dtype)))
