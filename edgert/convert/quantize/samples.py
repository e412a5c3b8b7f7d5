"""Calibration data: a folder of pictures, an .npz file or any iterable, as float inputs of the model."""

import os
import random
import zipfile

import numpy as np

from edgert.errors import InputError

LIMIT = 200  # pictures of a folder: ranges hardly move after a hundred
MAX_UNPACKED_BYTES = 2**33  # of an .npz: a small file may unpack to any size


class Samples(list):
    """Tuples with one array per graph input, each of the input's shape and dtype.

    source: where they come from, in words. notes: what was found odd about them. labels: int per sample, or None.
    """

    def __init__(self, items, source, labels=None):
        super().__init__(items)
        self.source, self.labels, self.notes = source, labels, []


def load(graph, calibration, limit=LIMIT, labels=False):
    """Samples of `graph`'s inputs.

    calibration: a folder of pictures (searched in all its sub-folders), an .npz file, or an iterable of arrays or of
    tuples with one array per input. .npz: `x`, pictures (N, H, W, C) uint8 or the model's own numbers (N, ...), and
    perhaps `y`, class numbers; or one array per input under its name.
    limit: the most that are taken, evenly spread; None: all. labels: a folder's sub-folders are the classes' names, or
    their numbers.
    Raises: InputError.
    """
    if isinstance(calibration, (str, os.PathLike)):
        path = os.fspath(calibration)
        samples = _folder(graph, path, limit, labels) if os.path.isdir(path) else _npz(graph, path, limit)
    else:
        items = (item if isinstance(item, (tuple, list)) else (item,) for item in calibration)
        samples = Samples([_shaped(graph, item, f"sample {n}") for n, item in enumerate(items)], "arrays")
    if not samples:
        raise InputError(f"{samples.source}: no calibration data in it")
    _check(graph, samples)
    return samples


def _folder(graph, path, limit, labels):
    from edgert.vision.picture import SUFFIXES

    files = sorted(
        os.path.join(folder, name)
        for folder, _, names in os.walk(path)
        for name in names
        if name.lower().endswith(SUFFIXES)
    )
    if labels:
        files = [name for name in files if os.path.dirname(name) != path]
    if not files:
        where = "in one folder a class" if labels else "in it"
        raise InputError(f"{path}: no pictures {where} ({', '.join(SUFFIXES)})")
    prepare = _picture_reader(graph)
    classes = _classes(graph, path) if labels else None
    items, unread, found = [], [], []
    for name in _spread(files, limit):
        try:
            items.append((prepare(name),))
            found.append(classes and classes.get(os.path.relpath(name, path).split(os.sep)[0]))
        except InputError as error:
            unread.append(str(error))
    if not items:
        raise InputError(f"{path}: none of {len(unread)} pictures could be read, the first: {unread[0]}")
    samples = Samples(items, f"{len(items)} pictures of {path}", found if labels else None)
    samples.notes += [f"skipped: {reason}" for reason in unread]
    return samples


def _classes(graph, path):
    """Sub-folder -> class number, by the model's labels or as it is written."""
    labels = [label.casefold() for label in graph.metadata.labels]
    found = {}
    for entry in os.scandir(path):
        if not entry.is_dir():
            continue
        if labels.count(entry.name.casefold()) == 1:
            found[entry.name] = labels.index(entry.name.casefold())
        elif entry.name.isascii() and entry.name.isdigit():
            found[entry.name] = int(entry.name)
        else:
            raise InputError(f"{path}: folder {entry.name!r} is no class of the model ({', '.join(labels[:10])})")
    return found


def _spread(items, limit):
    """`limit` of the items, chosen by a fixed shuffle: neighbours in a folder are often alike."""
    if limit is None or len(items) <= limit:
        return items
    return random.Random(0).sample(items, limit)


def _picture_reader(graph):
    """A function from a picture to the input array; refuses a model that takes none."""
    from edgert.vision.preprocess import Preprocessor

    if len(graph.inputs) != 1:
        raise InputError(f"the model has {len(graph.inputs)} inputs: calibrate it with an .npz file, not with pictures")
    tensor, rule = graph.tensors[graph.inputs[0]], graph.metadata.preprocess
    if rule is None and tensor.dtype == "float32":
        raise InputError("the model does not say how pixels become numbers: give mean and std, or an .npz file")
    prepare = Preprocessor(tensor, rule)
    return lambda picture: np.frombuffer(prepare(picture), tensor.dtype).reshape(tensor.shape)


def _npz(graph, path, limit):
    arrays = _arrays(path)
    tensors = [graph.tensors[i] for i in graph.inputs]
    if all(tensor.name in arrays for tensor in tensors):
        columns = [arrays[tensor.name] for tensor in tensors]
    elif len(tensors) == 1 and "x" in arrays:
        columns = [arrays["x"]]
    else:
        wanted = "x" if len(tensors) == 1 else ", ".join(repr(tensor.name) for tensor in tensors)
        raise InputError(f"{path}: has {', '.join(arrays) or 'nothing'}; it must have {wanted}")
    count = len(columns[0]) if columns[0].ndim else 0
    if any(column.ndim == 0 or len(column) != count for column in columns):
        raise InputError(f"{path}: its arrays hold {[np.shape(c) for c in columns]}: not one row per sample in each")
    labels = _labels(path, arrays, count)
    rows = _spread(range(count), limit)
    as_pictures = columns[0].dtype == np.uint8 and len(tensors) == 1 and tensors[0].dtype != "uint8"
    if as_pictures:
        prepare = _picture_reader(graph)
        items = [(prepare(columns[0][row]),) for row in rows]
    else:
        items = [_shaped(graph, [column[row] for column in columns], f"{path}, row {row}") for row in rows]
    return Samples(items, f"{len(items)} rows of {path}", None if labels is None else [int(labels[r]) for r in rows])


def _arrays(path):
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked <= MAX_UNPACKED_BYTES:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file or folder") from None
    except Exception as error:  # a damaged zip fails in many ways
        raise InputError(f"{path}: neither a folder of pictures nor an .npz file ({error})") from error
    raise InputError(f"{path}: unpacks to {unpacked:,} bytes, at most {MAX_UNPACKED_BYTES:,} are read (a zip bomb?)")


def _labels(path, arrays, count):
    if "y" not in arrays:
        return None
    y = arrays["y"]
    y = y.reshape(-1) if y.size == count else y
    if y.ndim != 1 or len(y) != count or y.dtype.kind not in "iu":
        raise InputError(f"{path}: y is {y.dtype} {y.shape}; it needs one class number for each of {count} samples")
    return y


def _shaped(graph, arrays, where):
    """The arrays in the inputs' shapes and types; a missing leading 1 is added."""
    tensors = [graph.tensors[i] for i in graph.inputs]
    if len(arrays) != len(tensors):
        raise InputError(f"{where}: {len(arrays)} arrays, the model has {len(tensors)} inputs")
    shaped = []
    for tensor, array in zip(tensors, arrays):
        array = np.asarray(array)
        if array.size != tensor.size or [d for d in array.shape if d != 1] != [d for d in tensor.shape if d != 1]:
            raise InputError(f"{where}: {array.dtype} {array.shape} for input {tensor.name!r} of shape {tensor.shape}")
        if tensor.dtype == "float32" and array.dtype.kind not in "fiu":
            raise InputError(f"{where}: {array.dtype} for float32 input {tensor.name!r}")
        shaped.append(np.ascontiguousarray(array, np.dtype(tensor.dtype)).reshape(tensor.shape))
    return tuple(shaped)


def _check(graph, samples):
    """Refuses what is not finite; notes what is constant, or far from what the model's preprocessing gives."""
    for at, i in enumerate(graph.inputs):
        tensor = graph.tensors[i]
        if tensor.dtype != "float32":
            continue
        bad = sum(not np.isfinite(sample[at]).all() for sample in samples)
        if bad:
            raise InputError(f"{samples.source}: {bad} samples hold NaN or infinity in input {tensor.name!r}")
        if all(np.array_equal(sample[at], samples[0][at]) for sample in samples[1:]) and len(samples) > 1:
            samples.notes.append(f"calibration is constant: all {len(samples)} samples of '{tensor.name}' are equal")
        low, high = min(float(s[at].min()) for s in samples), max(float(s[at].max()) for s in samples)
        if low == high:
            samples.notes.append(f"calibration is constant: every value of '{tensor.name}' is {low:g}")
        elif at == 0 and (expected := picture_range(graph)) is not None:
            _check_scale(samples, at, tensor.name, (low, high), expected)


def _check_scale(samples, at, name, seen, expected):
    low, high = expected
    margin = 0.01 * (high - low)
    outside = np.mean([np.mean((sample[at] < low - margin) | (sample[at] > high + margin)) for sample in samples])
    if outside > 0.001:
        samples.notes.append(
            f"calibration is mis-scaled: '{name}' spans {seen[0]:.4g}..{seen[1]:.4g}, its preprocessing gives "
            f"{low:.4g}..{high:.4g}: {100 * outside:.1f} % of the values would saturate"
        )
    elif seen[1] - seen[0] < 0.05 * (high - low):
        used = 100 * (seen[1] - seen[0]) / (high - low)
        samples.notes.append(
            f"calibration is mis-scaled: '{name}' spans {seen[0]:.4g}..{seen[1]:.4g}, only {used:.1f} % of the "
            f"{low:.4g}..{high:.4g} that its preprocessing gives"
        )


def picture_range(graph):
    """(low, high) of an input made from pixels 0..255, None where the model takes no pictures."""
    rule = graph.metadata.preprocess
    if rule is None or graph.tensors[graph.inputs[0]].dtype != "float32":
        return None
    ends = [(pixel - mean) / std for pixel in (0.0, 255.0) for mean, std in _channels(rule)]
    return min(ends), max(ends)


def _channels(rule):
    count = max(len(rule.mean), len(rule.std))
    return list(zip(rule.mean * (count // len(rule.mean)), rule.std * (count // len(rule.std))))
