"""Builders of the operators that move words or compute shapes: RESHAPE, STRIDED_SLICE, CONCATENATION, PAD, ..."""

import math

import numpy as np

from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError
from edgert.graph import MAX_RANK

MAX_FILL = 2**24  # elements of a constant that FILL, RANGE or TILE may make


def reshape(site):
    x = site.spec(0)
    if site.has(1) and site.spec(1).is_constant:
        shape = site.integers(1)
    elif not site.has(1) and site.options.new_shape:
        shape = site.options.new_shape
    else:  # computed from data, or not stored: what the file declares is the only source
        shape = site.declared().shape
        if math.prod(shape) != x.size or site.file_tensors.dynamic_axes(site.outputs[0]):
            raise Unsupported("its new shape is computed from data")
    to_shape(site, site.input(0), _resolved(shape, x.size))


def to_shape(site, x, shape, k=0):
    """Output `k` is draft tensor `x` in another shape."""
    if site.draft.tensors[x].shape == shape:
        site.define(site.requantised(x, site.declared(k).quant), k)
    else:
        site.copy("reshape", [x], k=k, shape=shape)


def _resolved(shape, size):
    """`shape` with its one -1 computed."""
    shape = tuple(shape)
    known = math.prod([dim for dim in shape if dim != -1])
    if len(shape) > MAX_RANK or shape.count(-1) > 1 or known < 0 or (-1 in shape and (not known or size % known)):
        raise ConversionError(f"{size} elements do not take shape {shape[: MAX_RANK + 1]}")
    return tuple([size // known if dim == -1 else dim for dim in shape])


def squeeze(site):
    shape = site.spec(0).shape
    axes = {site.axis(a, len(shape)) for a in site.options.squeeze_dims}
    if any(shape[a] != 1 for a in axes):
        raise ConversionError(f"dimensions {sorted(axes)} of {shape} are not all 1")
    axes = axes or {a for a, dim in enumerate(shape) if dim == 1}
    to_shape(site, site.input(0), tuple([dim for a, dim in enumerate(shape) if a not in axes]))


def expand_dims(site):
    shape = site.spec(0).shape
    axis = site.axis(site.integer(1), len(shape) + 1)
    to_shape(site, site.input(0), (*shape[:axis], 1, *shape[axis:]))


def transpose(site):
    perm = site.integers(1)
    if perm == tuple(range(len(perm))):
        return to_shape(site, site.input(0), site.spec(0).shape)
    return site.copy("transpose", [site.input(0)], {"perm": perm})


def slice_(site):
    x, begin, size = site.spec(0), site.integers(1), site.integers(2)
    if not len(begin) == len(size) == len(x.shape):
        raise ConversionError(f"begin {begin} and size {size} do not fit {x.shape}")
    shape = tuple([dim - start if n == -1 else n for dim, start, n in zip(x.shape, begin, size)])
    _cut(site, site.input(0), begin, shape)


def strided_slice(site):
    """Source: tensorflow/core/util/strided_slice_op.cc (begin, end and strides with their masks)."""
    x, options = site.spec(0), site.options
    spec = list(zip(site.integers(1), site.integers(2), site.integers(3), strict=False))
    begin, step, sizes, shape = [], [], [], []
    for bit, start, end, stride in _expanded(spec, len(x.shape), options):
        axis = len(begin)
        if bit is not None and options.new_axis_mask & bit:
            shape.append(1)
            continue
        dim = x.shape[axis] if axis < len(x.shape) else 0
        if dim < 1 or stride == 0:
            raise ConversionError(f"entry {len(shape)} does not fit x {x.shape} (stride {stride})")
        first, size = _range(bit, start, end, stride, dim, options)
        begin.append(first)
        step.append(stride)
        sizes.append(size)
        if bit is None or not options.shrink_axis_mask & bit:
            shape.append(size)
    step = {} if set(step) == {1} else {"step": tuple(step)}
    if min(sizes, default=1) < 1:
        raise Unsupported(f"its result is empty, {tuple(shape)}")
    part = site.input(0)
    if tuple(sizes) != x.shape or any(begin) or step:
        part = site.step("slice", [part], {"begin": tuple(begin), **step}, shape=tuple(sizes))
    to_shape(site, part, tuple(shape))


def _expanded(spec, rank, options):
    """(mask bit, begin, end, stride) per entry, the ellipsis spelled out; bit None stands for a whole dimension."""
    whole = (None, 0, 0, 1)
    covered = sum([not (options.new_axis_mask | options.ellipsis_mask) >> i & 1 for i in range(len(spec))])
    rows, open_ended = [], not options.ellipsis_mask
    for i, entry in enumerate(spec):
        if options.ellipsis_mask >> i & 1:
            rows += [whole] * max(rank - covered, 0)
        else:
            rows.append((1 << i, *entry))
    return rows + [whole] * max(rank - covered, 0) if open_ended else rows


def _range(bit, start, end, stride, dim, options):
    """First index and count along one dimension of `dim`."""
    if bit is None:
        return 0, dim
    start += dim * (start < 0)
    if options.shrink_axis_mask & bit:
        if not 0 <= start < dim:
            raise ConversionError(f"index {start} is outside {dim}")
        return start, 1
    end = start + end if options.offset else end + dim * (end < 0)
    low, high = (0, dim) if stride > 0 else (-1, dim - 1)
    start = (low if stride > 0 else high) if options.begin_mask & bit else min(max(start, low), high)
    end = (high if stride > 0 else low) if options.end_mask & bit else min(max(end, low), high)
    return start, max(0, -(-(end - start) // stride))


def _cut(site, x, begin, shape, k=0):
    if shape == site.draft.tensors[x].shape and not any(begin):
        return to_shape(site, x, shape, k)
    return site.copy("slice", [x], {"begin": tuple(begin)}, k, shape)


def split(site):
    """SPLIT: input 0 is the axis, input 1 what is cut into equal parts."""
    shape, count = site.spec(1).shape, len(site.outputs)
    axis = site.axis(site.integer(0), len(shape))
    if shape[axis] % count:
        raise ConversionError(f"{shape} does not split into {count} along axis {axis}")
    _parts(site, site.input(1), axis, [shape[axis] // count] * count)


def split_v(site):
    shape, sizes = site.spec(0).shape, list(site.integers(1))
    axis = site.axis(site.integer(2), len(shape))
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = shape[axis] - sum(sizes) - 1
    if len(sizes) != len(site.outputs) or sum(sizes) != shape[axis]:
        raise ConversionError(f"{shape} does not split into {sizes} along axis {axis}")
    _parts(site, site.input(0), axis, sizes)


def _parts(site, x, axis, sizes):
    shape, start = site.draft.tensors[x].shape, 0
    for k, size in enumerate(sizes):
        _cut(site, x, [start if a == axis else 0 for a in range(len(shape))], _with(shape, axis, size), k)
        start += size


def _with(shape, axis, size):
    return (*shape[:axis], size, *shape[axis + 1 :])


def unpack(site):
    x, shape = site.input(0), site.spec(0).shape
    axis = site.axis(site.options.axis, len(shape))
    if shape[axis] != len(site.outputs):
        raise ConversionError(f"{shape} does not unpack into {len(site.outputs)} along axis {axis}")
    for k in range(len(site.outputs)):
        begin = tuple([k if a == axis else 0 for a in range(len(shape))])
        part = x if shape[axis] == 1 else site.step("slice", [x], {"begin": begin}, shape=_with(shape, axis, 1))
        to_shape(site, part, shape[:axis] + shape[axis + 1 :], k)


def pack(site):
    shape = site.spec(0).shape
    axis = site.axis(site.options.axis, len(shape) + 1)
    if any(site.spec(k).shape != shape for k in range(len(site.inputs))):
        raise ConversionError("its inputs differ in shape")
    rows = [site.step("reshape", [site.input(k)], shape=_inserted(shape, axis)) for k in range(len(site.inputs))]
    _join(site, rows, axis)


def _inserted(shape, axis):
    return (*shape[:axis], 1, *shape[axis:])


def concatenation(site):
    if site.options.fused_activation_function:
        raise Unsupported("it has a fused activation")
    parts = [site.input(k) for k in range(max(len(site.inputs), 1))]
    parts = [i for i in parts if site.draft.tensors[i].size] or parts
    axis = site.axis(site.options.axis, len(site.draft.tensors[parts[0]].shape))
    _join(site, parts, axis)


def _join(site, parts, axis):
    """Parts take the output's quantisation first; a single one is only renamed."""
    out = site.declared()
    if any(site.draft.tensors[i].dtype != out.dtype for i in parts):
        raise Unsupported(f"it joins {', '.join(site.draft.tensors[i].dtype for i in parts)} to {out.dtype}")
    parts = [site.requantised(i, out.quant) for i in parts]
    if len(parts) == 1:
        return site.define(parts[0])
    return site.emit("concat", parts, {"axis": axis})


def pad(site):
    before, after = _pairs(site, 1)
    if not any(before + after):
        return to_shape(site, site.input(0), site.spec(0).shape)
    attrs = {"before": before, "after": after}
    if site.has(2):  # PADV2: a constant in the input's own type
        attrs["value"] = _pad_value(site)
    return site.copy("pad", [site.input(0)], attrs)


def _pad_value(site):
    x = site.spec(0)
    value = site.draft.value(site.requantised(site.input(2), x.quant))
    if value is None or value.size != 1 or value.dtype.name != x.dtype:
        raise Unsupported("its value is no constant of the input's type")
    return value.item()


def mirror_pad(site):
    before, after = _pairs(site, 1)
    if site.options.mode not in (0, 1):
        raise ConversionError(f"its mode is {site.options.mode}")
    mode = ("reflect", "symmetric")[site.options.mode]
    site.copy("pad", [site.input(0)], {"before": before, "after": after, "mode": mode})


def _pairs(site, k):
    """Constant (n, 2) as (before, after)."""
    values = site.integers(k)
    if len(values) % 2:
        raise ConversionError(f"input {k} holds {len(values)} values, needs pairs")
    return values[0::2], values[1::2]


def gather(site):
    shape = site.spec(0).shape
    axis = site.axis(site.options.axis, len(shape))
    batch_dims = site.options.batch_dims
    if batch_dims < 0:
        batch_dims += len(site.spec(1).shape)
    _need_indices(site, 1)
    site.copy("gather", [site.input(0), site.input(1)], {"axis": axis, "batch_dims": batch_dims})


def gather_nd(site):
    _need_indices(site, 1)
    site.copy("gather_nd", [site.input(0), site.input(1)])


def embedding_lookup(site):
    _need_indices(site, 0)
    site.copy("gather", [site.input(1), site.input(0)])


def _need_indices(site, k):
    if site.spec(k).dtype not in ("int32", "int64"):
        raise Unsupported(f"its indices are {site.spec(k).dtype}")


def resize(mode):
    """The builder of RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR."""

    def build(site):
        x, size, options = site.spec(0), site.integers(1), site.options
        if len(size) != 2 or len(x.shape) != 4:
            raise ConversionError(f"input {x.shape} is resized to {size}")
        if x.dtype not in ("int8", "float32"):
            raise Unsupported(f"the operand is {x.dtype}")
        attrs = {"mode": mode, "align_corners": int(options.align_corners)}
        attrs["half_pixel_centers"] = int(options.half_pixel_centers)
        shape = (x.shape[0], *size, x.shape[3])
        if min(shape) < 1:
            raise ConversionError(f"input {x.shape} is resized to {size}")
        site.copy("resize", [site.input(0)], attrs, shape=shape)

    return build


def space_to_batch(site):
    _blocks(site, "space_to_batch")


def batch_to_space(site):
    _blocks(site, "batch_to_space")


def _blocks(site, op):
    """Both directions; (N, H, C) is treated as (N, H, 1, C)."""
    x, block, (before, after) = site.input(0), site.integers(1), _pairs(site, 2)
    shape = site.spec(0).shape
    if len(shape) == 4 and len(block) == len(before) == 2:
        return site.copy(op, [x], {"block": block, "before": before, "after": after})
    if len(shape) != 3 or len(block) != 1 or len(before) != 1:
        raise Unsupported(f"its input has shape {shape} and its block is {block}")
    wide = site.step("reshape", [x], shape=(shape[0], shape[1], 1, shape[2]))
    attrs = {"block": (*block, 1), "before": (*before, 0), "after": (*after, 0)}
    moved = site.step(op, [wide], attrs)
    n, h, _, c = site.draft.tensors[moved].shape
    return to_shape(site, moved, (n, h, c))


def space_to_depth(site):
    site.copy("space_to_depth", [site.input(0)], {"block": site.options.block_size})


def depth_to_space(site):
    site.copy("depth_to_space", [site.input(0)], {"block": site.options.block_size})


def reverse(site):
    shape = site.spec(0).shape
    axes = {site.axis(a, len(shape)) for a in site.integers(1)}
    begin = tuple([dim - 1 if a in axes else 0 for a, dim in enumerate(shape)])
    step = tuple([-1 if a in axes else 1 for a in range(len(shape))])
    site.copy("slice", [site.input(0)], {"begin": begin, "step": step}, shape=shape)


def tile(site):
    shape, multiples = site.spec(0).shape, site.integers(1)
    if len(multiples) != len(shape) or min(multiples, default=1) < 1:
        raise ConversionError(f"{shape} is tiled {multiples} times")
    _repeat(site, multiples)


def broadcast_to(site):
    shape, target = site.spec(0).shape, site.integers(1)
    if len(shape) != len(target):
        raise Unsupported(f"from {shape} to {target}")
    if any(dim not in (1, wanted) or wanted < 1 for dim, wanted in zip(shape, target)):
        raise ConversionError(f"{shape} does not stretch to {target}")
    _repeat(site, [wanted // dim for dim, wanted in zip(shape, target)])


def _repeat(site, multiples):
    x = site.input(0)
    if max(multiples, default=1) > 1024:
        raise Unsupported(f"it repeats a dimension {max(multiples)} times")
    for axis, times in enumerate(multiples):
        if times > 1:
            x = site.step("concat", [x] * times, {"axis": axis})
    site.define(site.requantised(x, site.declared().quant))


def shape_of(site):
    _constant(site, np.array(site.spec(0).shape, np.int64))


def rank_of(site):
    _constant(site, np.array(len(site.spec(0).shape), np.int64))


def fill(site):
    shape = site.integers(0)
    value = site.draft.value(site.input(1))
    if value is None or value.size != 1:
        raise Unsupported("its value is computed")
    if min(shape, default=1) < 0 or math.prod(shape) > MAX_FILL:
        raise ConversionError(f"it fills shape {shape[: MAX_RANK + 1]}")
    _constant(site, np.full(shape, value.reshape(())))


def range_(site):
    start, limit, delta = (site.integer(k) for k in range(3))
    if delta == 0 or len(range(start, limit, delta)) > MAX_FILL:
        raise ConversionError(f"it counts from {start} to {limit} in steps of {delta}")
    _constant(site, np.arange(start, limit, delta))


def zeros_like(site):
    x = site.spec(0)
    if x.size > MAX_FILL:
        raise ConversionError(f"it makes {x.shape}")
    zero = site.declared().quant.zero_point if site.declared().quant else 0
    _constant(site, np.full(x.shape, zero))


def _constant(site, array):
    out = site.declared()
    site.define(site.draft.constant(out.name, array.astype(out.dtype), out.quant))
