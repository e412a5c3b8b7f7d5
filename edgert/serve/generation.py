"""What a worker is started with: settings and private copies of the model files.

A worker maps its copy, so the file that was named may be replaced or cut short meanwhile: the worker goes on, and the
next one that starts with the same generation gets the same bytes.
"""

import errno
import os
from stat import S_ISREG

from edgert.errors import ModelFormatError
from edgert.format.header import sha256

IN_MEMORY_BYTES = 16 << 20  # larger files are not copied: their descriptor keeps the file that was there
_PIECE = 1 << 20


class Copy:
    """One model file as it was when it was opened. descriptor: of the copy. digest: SHA-256 of all bytes, hex.

    Raises: ModelFormatError if it cannot be read.
    """

    def __init__(self, path):
        self.path = path
        try:
            self.descriptor, self.size, self.digest = _copied(path)
        except OSError as error:
            raise ModelFormatError(f"{path}: cannot be read: {error.strerror}") from error

    def pieces(self):
        """Its bytes, piece by piece."""
        at = 0
        while piece := os.pread(self.descriptor, _PIECE, at):
            yield piece
            at += len(piece)

    def close(self):
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Generation:
    """settings, and a Copy for each of its models. digest: of all of them. Raises: ModelFormatError."""

    def __init__(self, settings):
        self.settings, self.copies = settings, []
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

    def close(self):
        for copy in self.copies:
            copy.close()


def _copied(path):
    """(descriptor, size, digest) of a private copy in memory, or of the file itself where it is large."""
    source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    status = os.fstat(source)
    if not S_ISREG(status.st_mode):
        os.close(source)
        raise OSError(errno.EINVAL, "is not a regular file")
    small = status.st_size <= IN_MEMORY_BYTES
    target = os.memfd_create("edgert-model", os.MFD_CLOEXEC) if small else -1
    digest, size = sha256(), 0
    try:
        while size < status.st_size and (piece := os.pread(source, _PIECE, size)):
            digest.update(piece)
            size += len(piece)
            while small and piece:
                piece = piece[os.write(target, piece) :]
    except OSError:
        os.close(source)
        if small:
            os.close(target)
        raise
    if small:
        os.close(source)
    return (target if small else source), size, digest.hexdigest()
