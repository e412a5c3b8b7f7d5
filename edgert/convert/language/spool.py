"""Constants on their way into the model file: written to a temporary file one after the other, then mapped."""

import mmap
import tempfile

import numpy as np


class Spool:
    """folder: where the temporary file lies, as large as the model; it has no name and is gone with the process."""

    def __init__(self, folder=None):
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as the graph
        self._end = 0

    def add(self, blocks):
        """Stores arrays one after the other as one constant; returns (where it starts, its bytes)."""
        start = self._end
        for block in blocks:
            self._file.write(np.ascontiguousarray(block).data)
            self._end += block.nbytes
        self._file.write(bytes(-self._end % 64))
        extent = start, self._end - start
        self._end += -self._end % 64
        return extent

    def views(self, extents):
        """A memoryview for each extent that `add` gave."""
        self._file.flush()
        mapped = memoryview(mmap.mmap(self._file.fileno(), max(self._end, 1), access=mmap.ACCESS_READ))
        return [mapped[start : start + nbytes] for start, nbytes in extents]
