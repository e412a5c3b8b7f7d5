"""Builders of the operators that move words: Reshape, Slice, Concat, Pad, Gather, DepthToSpace, ..."""

import math

import numpy as np

from edgert.convert.importers.onnx.arithmetic import as_type
from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError

MAX_REPEATS = 1024


def identity(site):
    site.need_one_output()
    site.define(site.input(0))


def dropout(site):
    """At inference it changes nothing; its mask keeps everything."""
    if site.has(2) and bool(site.array(2).any()) and site.opset >= 12:
        ratio = site.array(1).reshape(-1)[0] if site.has(1) else 0.5
        if ratio:
            raise Unsupported("it is in training mode")
    site.define(site.input(0))
    if site.wants(1):
        site.define(np.ones(site.spec(0).shape, bool), 1)


def constant(site):
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if name in site.attrs:
            value = site.attrs[name]
            if name == "value":
                return site.define(site.importer.file.array(value, site.name))
            return site.define(np.array(value, np.float32 if "float" in name else np.int64))
    raise Unsupported(f"it is {', '.join(site.attrs) or 'empty'}")


def from_shape(site):
    """ConstantOfShape, Range: of constants they are folded; others are refused here."""
    for k in range(len(site.inputs)):
        site.array(k)
    raise Unsupported("it is not computed at import")


def shape_of(site):
    shape = np.array(site.spec(0).shape, np.int64)
    site.define(shape[slice(site.attr("start", 0), site.attrs.get("end"))])


def reshape(site):
    x, target = site.input(0), list(site.ints_of("shape", 1, ()))
    shape = site.shape(x)
    if not site.attr("allowzero", 0):
        target = [shape[i] if dim == 0 and i < len(shape) else dim for i, dim in enumerate(target)]
    known = math.prod([dim for dim in target if dim != -1])
    if target.count(-1) == 1 and known > 0 and not math.prod(shape) % known:
        target[target.index(-1)] = math.prod(shape) // known
    if min(target, default=1) < 1 or math.prod(target) != math.prod(shape):
        raise ConversionError(f"{shape} does not reshape to {tuple(target)}")
    site.define(site.reshape(x, target))


def flatten(site):
    x, shape = site.input(0), site.spec(0).shape
    axis = site.attr("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise ConversionError(f"axis {axis} is outside {shape}")
    axis = axis + len(shape) if axis < 0 else axis
    site.define(site.reshape(x, (math.prod(shape[:axis]), math.prod(shape[axis:]))))


def squeeze(site):
    shape = site.spec(0).shape
    given = site.ints_of("axes", 1, None)
    given = [i for i, dim in enumerate(shape) if dim == 1] if given is None else given
    axes = {site.axis(a, len(shape)) for a in given}
    if any(shape[a] != 1 for a in axes):
        raise ConversionError(f"{shape} has no dimensions of 1 at {sorted(axes)}")
    site.define(site.reshape(site.input(0), [dim for i, dim in enumerate(shape) if i not in axes]))


def unsqueeze(site):
    shape, given = list(site.spec(0).shape), site.ints_of("axes", 1)
    rank = len(shape) + len(given)
    for axis in sorted({site.axis(a, rank) for a in given}):
        shape.insert(axis, 1)
    site.define(site.reshape(site.input(0), shape))


def transpose(site):
    rank = len(site.spec(0).shape)
    perm = tuple(site.attr("perm", tuple(reversed(range(rank)))))
    if sorted(perm) != list(range(rank)):
        raise ConversionError(f"perm {perm} is no order of {rank} axes")
    site.define(site.transpose(site.input(0), perm))


def concat(site):
    """Empty parts, which only constants can be, are left out."""
    known = [site.constant(k) for k in range(len(site.inputs))]
    parts = [site.input(k) for k, array in enumerate(known) if array is None or array.size]
    if len({site.draft.tensors[i].dtype for i in parts}) > 1:
        raise Unsupported(f"it joins {', '.join(site.draft.tensors[i].dtype for i in parts)}")
    axis = site.axis(site.attr("axis"), len(site.shape(parts[0])))
    site.emit("concat", parts, {"axis": axis})


def slice_(site):
    """Starts, ends, axes and steps are attributes before operator set 10, then inputs; ends may lie far outside."""
    shape = site.spec(0).shape
    starts, ends = site.ints_of("starts", 1), site.ints_of("ends", 2)
    axes = site.ints_of("axes", 3, tuple(range(len(starts))))
    steps = site.ints(4) if site.has(4) else (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise ConversionError(f"its starts {starts}, ends {ends}, axes {axes} and steps {steps} do not fit")
    begin, step, size = [0] * len(shape), [1] * len(shape), list(shape)
    for start, end, axis, stride in zip(starts, ends, axes, steps):
        axis = site.axis(axis, len(shape))
        taken = range(*slice(start, end, stride).indices(shape[axis]))
        if not taken:
            raise Unsupported(f"nothing is left of axis {axis} of {shape}")
        begin[axis], step[axis], size[axis] = taken[0], stride, len(taken)
    _slice(site, site.input(0), begin, size, step)


def _slice(site, x, begin, size, step=None, k=0):
    if tuple(size) == site.shape(x) and not any(begin):
        return site.define(x, k)
    attrs = {"begin": tuple(begin)}
    if step and any(stride != 1 for stride in step):
        attrs["step"] = tuple(step)
    return site.define(site.step("slice", [x], attrs, shape=tuple(size)), k)


def split(site):
    x, shape, count = site.input(0), site.spec(0).shape, len(site.outputs)
    axis = site.axis(site.attr("axis", 0), len(shape))
    sizes = site.ints_of("split", 1, None)
    if sizes is None:
        each = -(-shape[axis] // count)
        sizes = [each] * (count - 1) + [shape[axis] - each * (count - 1)]
    if len(sizes) != count or min(sizes) < 0 or sum(sizes) != shape[axis]:
        raise ConversionError(f"axis {axis} of {shape} is split into {tuple(sizes)} for {count} outputs")
    begin = [0] * len(shape)
    for k, size in enumerate(sizes):
        part = [size if i == axis else dim for i, dim in enumerate(shape)]
        if size:
            _slice(site, x, begin, part, k=k)
        else:
            site.define(np.zeros(part, site.spec(0).dtype), k)
        begin[axis] += size


def pad(site):
    x, shape = site.need_dtype(0, "float32", "int8", "int32", "int64", "bool"), site.spec(0).shape
    pads = site.ints_of("pads", 1)
    axes = [site.axis(a, len(shape)) for a in site.ints(3)] if site.has(3) else list(range(len(shape)))
    if len(pads) != 2 * len(axes):
        raise ConversionError(f"it has {len(pads)} pads for {len(axes)} axes")
    before, after = [0] * len(shape), [0] * len(shape)
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[i + len(axes)]
    x = _cropped(site, x, before, after)
    before, after = ([max(p, 0) for p in side] for side in (before, after))
    site.need_room(max(before + after))
    mode = site.attr("mode", "constant")
    if not any(before + after):
        return site.define(x)
    if mode == "wrap":
        return site.define(_wrapped(site, x, before, after))
    if mode == "edge":
        return site.define(_stretched(site, x, before, after))
    if mode not in ("constant", "reflect"):
        raise ConversionError(f"its mode is '{mode}'")
    attrs = {"before": tuple(before), "after": tuple(after)} | ({"mode": mode} if mode == "reflect" else {})
    value = _pad_value(site) if mode == "constant" else 0
    return site.emit("pad", [x], attrs | ({"value": value} if value or site.spec(0).quant else {}))


def _cropped(site, x, before, after):
    """Negative pads cut."""
    low, high = ([max(-p, 0) for p in side] for side in (before, after))
    if not any(low + high):
        return x
    size = tuple([dim - a - b for dim, a, b in zip(site.shape(x), low, high)])
    if min(size) < 1:
        raise Unsupported(f"its pads leave nothing of {site.shape(x)}")
    return site.step("slice", [x], {"begin": tuple(low)}, shape=size)


def _pad_value(site):
    value = site.attrs["value"] if "value" in site.attrs else site.array(2).reshape(-1)[0] if site.has(2) else 0
    if site.spec(0).quant:
        if not site.has(2):
            raise Unsupported("it pads words and does not say with which")
        return int(value) - (128 if site.array(2).dtype == np.uint8 else 0)
    if site.spec(0).dtype == "float32":
        return float(value)
    return bool(value) if site.spec(0).dtype == "bool" else int(value)


def _stretched(site, x, before, after):
    """The edge repeated: a gather along each axis."""
    for axis, (low, high) in enumerate(zip(before, after)):
        if low or high:
            places = np.clip(np.arange(-low, site.shape(x)[axis] + high), 0, site.shape(x)[axis] - 1)
            x = site.step("gather", [x, site.make(places)], {"axis": axis})
    return x


def _wrapped(site, x, before, after):
    for axis, (low, high) in enumerate(zip(before, after)):
        if low or high:
            places = np.arange(-low, site.shape(x)[axis] + high) % site.shape(x)[axis]
            x = site.step("gather", [x, site.make(places)], {"axis": axis})
    return x


def gather(site):
    """One known index is a slice."""
    x, shape = site.input(0), site.spec(0).shape
    axis = site.axis(site.attr("axis", 0), len(shape))
    indices = site.constant(1)
    if indices is None:
        site.need_dtype(1, "int32", "int64")
        return site.emit("gather", [x, _nonnegative(site, 1, shape[axis])], {"axis": axis})
    indices = _checked(site, indices, shape[axis])
    if indices.size != 1:
        return site.emit("gather", [x, site.make(indices)], {"axis": axis})
    begin = tuple([int(indices.flat[0]) if i == axis else 0 for i in range(len(shape))])
    one = site.step("slice", [x], {"begin": begin}, shape=(*shape[:axis], 1, *shape[axis + 1 :]))
    return site.define(site.reshape(one, (*shape[:axis], *indices.shape, *shape[axis + 1 :])))


def _checked(site, indices, limit):
    if indices.size and not (-limit <= indices.min() and indices.max() < limit):
        raise ConversionError(f"indices run from {indices.min()} to {indices.max()}, the axis has {limit}")
    return np.where(indices < 0, indices + limit, indices).astype(np.int64)


def _nonnegative(site, k, limit):
    """Computed indices, of which negative ones count from the end."""
    x = as_type(site, site.input(k), "int64")
    size = site.number(limit, "int64")
    rounds = site.step("mul", [site.step("floor_div", [x, size]), size])
    return site.step("sub", [x, rounds])


def gather_elements(site):
    """Each index with its own position on the other axes: gather_nd."""
    shape, indices = site.spec(0).shape, site.array(1)
    axis = site.axis(site.attr("axis", 0), len(shape))
    places = list(np.indices(indices.shape))
    places[axis] = _checked(site, indices, shape[axis])
    site.emit("gather_nd", [site.input(0), site.make(np.stack(places, axis=-1).astype(np.int64))])


def gather_nd(site):
    shape, indices = site.spec(0).shape, site.array(1)
    batch = site.attr("batch_dims", 0)
    depth = indices.shape[-1]
    columns = [_checked(site, indices[..., i], shape[batch + i]) for i in range(depth)]
    lead = [np.broadcast_to(a.reshape(a.shape + (1,) * (indices.ndim - 1 - batch)), indices.shape[:-1])
            for a in np.indices(indices.shape[:batch])]  # fmt: skip
    site.emit("gather_nd", [site.input(0), site.make(np.stack([*lead, *columns], axis=-1).astype(np.int64))])


def tile(site):
    x, repeats = site.input(0), site.ints(1)
    if len(repeats) != len(site.shape(x)) or min(repeats, default=1) < 1:
        raise ConversionError(f"{site.shape(x)} is tiled {repeats} times")
    site.define(repeated(site, x, repeats))


def repeated(site, x, repeats):
    if max(repeats, default=1) > MAX_REPEATS:
        raise Unsupported(f"it repeats a dimension {max(repeats)} times")
    for axis, times in enumerate(repeats):
        if times > 1:
            x = site.step("concat", [x] * times, {"axis": axis})
    return x


def expand(site):
    x, target = site.input(0), site.ints(1)
    shape = site.shape(x)
    rank = max(len(shape), len(target))
    shape, target = (1,) * (rank - len(shape)) + shape, (1,) * (rank - len(target)) + target
    if any(dim != 1 and wanted not in (1, dim) for dim, wanted in zip(shape, target)) or min(target, default=1) < 1:
        raise ConversionError(f"{shape} does not stretch to {target}")
    site.define(repeated(site, site.reshape(x, shape), [w if dim == 1 else 1 for dim, w in zip(shape, target)]))


def compress(site):
    """Takes what a constant mask says."""
    x, kept = site.input(0), np.flatnonzero(site.array(1))
    if "axis" in site.attrs:
        axis = site.axis(site.attr("axis"), len(site.shape(x)))
    else:
        x, axis = site.reshape(x, (math.prod(site.shape(x)),)), 0
    if not kept.size:
        raise Unsupported("it keeps nothing")
    site.emit("gather", [x, site.make(kept.astype(np.int64))], {"axis": axis})


def reverse_sequence(site):
    """The first of each sequence in a batch, as many as a constant says, in reverse."""
    x, shape, lengths = site.input(0), site.spec(0).shape, site.ints(1)
    batch, time = site.attr("batch_axis", 1), site.attr("time_axis", 0)
    if (
        {batch, time} != {0, 1}
        or len(shape) < 2
        or len(lengths) != shape[batch]
        or not all(0 <= n <= shape[time] for n in lengths)
    ):
        raise ConversionError(f"sequences of {lengths} along axis {time} do not fit {shape}")
    site.need_room(*shape[:2], 2)
    places = np.indices(shape[:2])
    order = np.tile(np.arange(shape[time]), (len(lengths), 1))
    for row, length in zip(order, lengths):
        row[:length] = row[:length][::-1]
    places[time] = order if time == 1 else order.T
    site.emit("gather_nd", [x, site.make(np.moveaxis(places, 0, -1))])


def center_crop_pad(site):
    """Cut or padded with zeros to a constant shape, evenly on both sides."""
    x, shape, wanted = site.input(0), site.spec(0).shape, site.ints(1)
    axes = [site.axis(a, len(shape)) for a in site.attrs.get("axes", range(len(shape)))]
    if len(wanted) != len(axes) or min(wanted) < 1:
        raise ConversionError(f"{wanted} does not fit axes {axes} of {shape}")
    before, after = [0] * len(shape), [0] * len(shape)
    for axis, size in zip(axes, wanted):
        missing = size - shape[axis]
        before[axis] = missing // 2 if missing > 0 else -(-missing // 2)
        after[axis] = missing - before[axis]
    x = _cropped(site, x, before, after)
    around = {"before": tuple([max(p, 0) for p in before]), "after": tuple([max(p, 0) for p in after])}
    site.define(site.step("pad", [x], around) if any(around["before"] + around["after"]) else x)


def depth_to_space(site):
    """DCR is edgert's order of channels too; CRD has the position last."""
    x, block = site.need_dtype(0, "float32", "int8"), site.attr("blocksize")
    _, c, _, _ = _picture_shape(site, x)
    if block < 1 or c % (block * block):
        raise ConversionError(f"{c} channels are not cut by blocks of {block}")
    x = site.channels_last(x)
    if site.attr("mode", "DCR") == "CRD":
        order = np.arange(c).reshape(c // block**2, block, block).transpose(1, 2, 0).reshape(-1)
        x = site.step("gather", [x, site.make(order)], {"axis": 3})
    site.define(site.channels_first(site.step("depth_to_space", [x], {"block": block})))


def space_to_depth(site):
    x, block = site.need_dtype(0, "float32"), site.attr("blocksize")
    _, c, h, w = _picture_shape(site, x)
    if block < 1 or h % block or w % block:
        raise ConversionError(f"{h} x {w} pixels are not cut by blocks of {block}")
    y = site.step("space_to_depth", [site.channels_last(x)], {"block": block})
    if site.attr("mode", "DCR") == "CRD":
        order = np.arange(c * block**2).reshape(block**2, c).transpose().reshape(-1)
        y = site.step("gather", [y, site.make(order)], {"axis": 3})
    site.define(site.channels_first(y))


def _picture_shape(site, x):
    if len(site.shape(x)) != 4:
        raise ConversionError(f"its input has shape {site.shape(x)}, needs 4 dimensions")
    return site.shape(x)


def if_(site):
    """The branch that is taken, when that is known."""
    condition = site.array(0)
    if condition.size != 1:
        raise ConversionError(f"its condition has shape {condition.shape}")
    branch = site.attr("then_branch" if condition.reshape(-1)[0] else "else_branch")
    for tensor in branch.initializer:
        site.importer.values[tensor.name] = site.importer.file.array(tensor)
    site.importer.walk(branch.node, site.at)
    for k, row in enumerate(branch.output):
        site.define(site.importer.value(row.name), k)
