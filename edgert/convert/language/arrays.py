"""Arrays that are read when they are needed, some rows at a time: a model need not fit memory."""

import os

import numpy as np

from edgert.errors import ConversionError

BLOCK_NUMBERS = 2**22  # read and quantised at a time: 16 MiB in float32


class Array:
    """A float array in a file. shape: of one or two dimensions. name: what errors call it.

    read: function (start, stop) -> float32 rows, or numbers of a vector.
    """

    def __init__(self, name, shape, read):
        self.name, self.shape, self.read = name, tuple(shape), read

    def whole(self):
        """All of it, float32."""
        return self.read(0, self.shape[0])

    def blocks(self):
        """(start, rows) in order, each of at most BLOCK_NUMBERS numbers and at least one row."""
        step = max(BLOCK_NUMBERS // int(np.prod(self.shape[1:], dtype=np.int64)), 1)
        for start in range(0, self.shape[0], step):
            rows = self.read(start, min(start + step, self.shape[0]))
            if not np.isfinite(rows).all():
                raise ConversionError(f"tensor '{self.name}' has numbers that are not finite")
            yield start, rows

    def part(self, start, stop):
        """Rows start to stop as an Array."""
        return Array(self.name, (stop - start, *self.shape[1:]), lambda a, b: self.read(start + a, start + b))

    def transposed(self):
        """The transpose; all of it is read for each block, so its blocks are few."""
        return Array(self.name, self.shape[::-1], lambda a, b: np.ascontiguousarray(self.whole().T[a:b]))


def of(name, values):
    """An Array of numbers in memory."""
    values = np.asarray(values, np.float32)
    return Array(name, values.shape, lambda a, b: values[a:b])


def in_file(name, shape, path, offset, dtype):
    """An Array whose numbers lie in a file, row by row. dtype: "F32", "F16" or "BF16"."""
    words = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}[dtype]
    width = int(np.prod(shape[1:], dtype=np.int64))

    def read(start, stop):
        count = (stop - start) * width
        with open(path, "rb", buffering=0) as file:
            data = os.pread(file.fileno(), count * words.itemsize, offset + start * width * words.itemsize)
        if len(data) != count * words.itemsize:
            raise ConversionError(f"tensor '{name}' ends behind the end of {os.path.basename(path)}")
        numbers = np.frombuffer(data, words)
        if dtype == "BF16":
            numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
        return numbers.astype(np.float32, copy=False).reshape(stop - start, *shape[1:])

    return Array(name, shape, read)
