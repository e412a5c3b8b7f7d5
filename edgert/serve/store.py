"""What a service remembers of models: the last that proved itself, and those that failed.

With a folder both outlive the service; it is written to when a model proves itself or fails, and at no other time.
"""

import errno
import os
from contextlib import suppress

from edgert.errors import ModelFormatError
from edgert.format.header import sha256
from edgert.messages import say
from edgert.serve.generation import Generation

MOST_BAD = 100


class Store:
    """folder: where good0.bin, good1.bin and bad.txt lie, or None: remember only as long as this process lives.

    trouble: why something was not written there, or "".
    """

    def __init__(self, folder=None):
        self.folder, self.trouble, self._bad = folder, "", {}
        if folder is not None:
            try:
                os.makedirs(folder, exist_ok=True)
            except OSError as error:
                self.trouble = f"{folder}: {error.strerror}; what happens is not remembered beyond this process"
                say(self.trouble)
                self.folder = None
        self._read_bad()

    def why_bad(self, generation):
        """Why this generation failed before, or None."""
        return self._bad.get(generation.digest)

    def remember_bad(self, generation, why):
        self._bad[generation.digest] = " ".join(why.split())
        while len(self._bad) > MOST_BAD:
            del self._bad[next(iter(self._bad))]
        lines = "".join([f"{digest} {text}\n" for digest, text in self._bad.items()])
        for _ in self._write("bad.txt", [lines.encode()]):
            pass

    def keep(self, generation):
        """This generation proved itself: its models become the last good ones.

        A generator that writes a piece at a time: a large file takes minutes on a memory card, and whoever has more
        urgent work does that in between. One that is not run to its end leaves all as it was.
        """
        if self.folder is None:
            return
        for number, copy in enumerate(generation.copies):
            is_kept = yield from self._is_kept(number, copy)
            if not is_kept and not (yield from self._write(f"good{number}.bin", copy.pieces(), copy.digest)):
                return

    def last_good(self, settings):
        """A Generation of the last good models, with these settings; None where there is none or it is damaged."""
        if self.folder is None:
            return None
        paths = [self._good(number) for number in range(len(settings["model"]))]
        try:
            return Generation(settings | {"model": paths})
        except ModelFormatError:
            return None

    def same(self, generation):
        """The last good generation if it is this one, byte by byte, in files that are ours; else None."""
        kept = self.last_good(generation.settings)
        if kept is not None and kept.digest != generation.digest:
            kept.close()
            return None
        return kept

    def _good(self, number):
        return os.path.join(self.folder, f"good{number}.bin")

    def _read_bad(self):
        if self.folder is None:
            return
        with suppress(OSError), open(os.path.join(self.folder, "bad.txt"), encoding="utf-8", errors="replace") as file:
            for line in file.readlines(1 << 20):
                digest, _, text = line.strip().partition(" ")
                self._bad[digest] = text

    def _is_kept(self, number, copy):
        """Whether this file lies here already."""
        try:
            with open(self._good(number), "rb", buffering=0) as file:
                for piece in copy.pieces():
                    if file.read(len(piece)) != piece:
                        return False
                    yield
                return not file.read(1)
        except OSError:
            return False

    def _write(self, name, pieces, digest=None):
        """Write a file of the folder, whole or not at all; only with this SHA-256, where one is given. A generator.

        Returns: whether it was written; a full disk is no reason to stop serving.
        """
        if self.folder is None:
            return False
        path, written = os.path.join(self.folder, name), sha256()
        new = f"{path}.new"
        try:
            with open(new, "wb", buffering=0) as file:
                for piece in pieces:
                    _put(file, piece)
                    written.update(piece)
                    yield
                if digest not in (None, written.hexdigest()):
                    raise OSError(errno.ESTALE, "what is to be kept was changed meanwhile")
            os.replace(new, path)
        except OSError as error:
            self.trouble = f"{path}: {error.strerror}; serving goes on"
            say(self.trouble)
            return False
        finally:
            with suppress(OSError):
                os.unlink(new)  # it is there only if something went wrong
        self.trouble = ""
        return True


def _put(file, piece):
    """All of a piece, to the disk itself: no minute's worth of it is left to the end."""
    while piece:
        piece = piece[file.write(piece) :]
    os.fdatasync(file.fileno())
