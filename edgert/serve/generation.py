"""What a worker is started with: settings and private copies of the model files.

A worker maps its copy, so the file that was named may be replaced or cut short meanwhile: the worker goes on, and the
next one that starts with the same generation gets the same bytes. Of a large file a copy would take too much memory:
there `changed` tells that somebody wrote into it.
"""

import os

from edgert.errors import ModelFormatError
from edgert.format.header import open_regular, sha256

IN_MEMORY_BYTES = 16 << 20  # larger files are not copied: their descriptor keeps the file that was there
_PIECE = 1 << 20


class Copy:
    """One model file as it was when it was opened. descriptor: of the copy. digest: SHA-256 of all bytes, hex.

    Raises: ModelFormatError if it cannot be read.
    """

    def __init__(self, path):
        self.path, self.descriptor = path, -1
        try:
            self._open()
        except ModelFormatError as error:
            raise ModelFormatError(f"{path}: {error}") from None
        except (OSError, ValueError) as error:
            self.close()
            raise ModelFormatError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error

    def pieces(self):
        """Its bytes, piece by piece."""
        yield from _pieces(self.descriptor, self.size)

    @property
    def changed(self):
        """Whether somebody wrote into the file, or cut it short, since it was read: `digest` is not what is mapped.

        One that was deleted or replaced by a rename is still there for whoever has it open.
        """
        return self.descriptor >= 0 and self._stamp() != self._as_read

    def close(self):
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _open(self):
        self.descriptor, status = open_regular(self.path)
        self.size, digest = status.st_size, sha256()
        target = os.memfd_create("edgert-model", os.MFD_CLOEXEC) if self.size <= IN_MEMORY_BYTES else -1
        self._as_read = self._stamp()  # before it is read: what is written meanwhile shows
        try:
            for piece in self.pieces():
                digest.update(piece)
                while target >= 0 and piece:
                    piece = piece[os.write(target, piece) :]
        finally:
            if target >= 0:
                os.close(self.descriptor)
                self.descriptor = target
                self._as_read = self._stamp()
        self.digest = digest.hexdigest()

    def _stamp(self):
        status = os.fstat(self.descriptor)
        return status.st_size, status.st_mtime_ns


class Generation:
    """settings, and a Copy for each of its models. digest: of all of them.

    asked: the settings that people gave, where these files are copies that stand for theirs. Raises: ModelFormatError.
    """

    def __init__(self, settings):
        self.settings = self.asked = settings
        self.copies = []
        try:
            for path in settings["model"]:
                self.copies.append(Copy(path))
        except ModelFormatError:
            self.close()
            raise
        self.digest = "-".join([copy.digest for copy in self.copies])

    @property
    def name(self):
        """For people."""
        return " and ".join([copy.path for copy in self.copies])

    @property
    def changed(self):
        """Paths of the files that somebody wrote into since they were read."""
        return [copy.path for copy in self.copies if copy.changed]

    def close(self):
        for copy in self.copies:
            copy.close()


def _pieces(descriptor, size):
    at = 0
    while at < size and (piece := os.pread(descriptor, min(_PIECE, size - at), at)):
        yield piece
        at += len(piece)
