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
    """folder: where good0.bin, good1.bin and bad.txt lie, or None: remember only as long as this process lives."""

    def __init__(self, folder=None):
        self.folder, self._bad = folder, {}
        if folder is not None:
            try:
                os.makedirs(folder, exist_ok=True)
            except OSError as error:
                say(f"{folder}: {error.strerror}; what happens is not remembered beyond this process")
                self.folder = None
        self._read_bad()

    def why_bad(self, generation):
        """Why this generation failed before, or None."""
        return self._bad.get(generation.digest)

    def remember_bad(self, generation, why):
        self._bad[generation.digest] = " ".join(why.split())
        while len(self._bad) > MOST_BAD:
            del self._bad[next(iter(self._bad))]
        lines = [f"{digest} {text}\n".encode() for digest, text in self._bad.items()]
        self._write("bad.txt", lines)

    def keep(self, generation):
        """This generation proved itself: its models are the last good ones."""
        before = self.same(generation)
        if before is not None:
            before.close()
            return
        for number, copy in enumerate(generation.copies):
            if not self._write(f"good{number}.bin", copy.pieces(), copy.digest):
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

    def _write(self, name, pieces, digest=None):
        """Write a file of the folder, whole or not at all; only with this SHA-256, where one is given.

        Returns: whether it was written; a full disk is no reason to stop serving.
        """
        if self.folder is None:
            return False
        path, written = os.path.join(self.folder, name), sha256()
        try:
            with open(f"{path}.new", "wb") as file:
                for piece in pieces:
                    file.write(piece)
                    written.update(piece)
                file.flush()
                os.fsync(file.fileno())
            if digest not in (None, written.hexdigest()):
                raise OSError(errno.ESTALE, "what is to be kept was changed meanwhile")
            os.replace(f"{path}.new", path)
        except OSError as error:
            say(f"{path}: {error.strerror}; serving goes on")
            with suppress(OSError):
                os.unlink(f"{path}.new")
            return False
        return True
