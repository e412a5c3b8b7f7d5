"""A page of memory that supervisor and workers share: what the one knows and the other shows, and whose turn it is."""

import fcntl
import mmap
import os

_SIZE = 16_384
_TEXT, _STORE, _TEXT_BYTES = 64, 4096, 4000


class Notes:
    """memory: its descriptor. restarts: how often the worker was started again. text: what people should know.
    store: why models are not kept, or "".
    """

    def __init__(self, memory):
        self.memory = memory
        self._map = mmap.mmap(memory, _SIZE)
        self._words = memoryview(self._map)[:_TEXT].cast("Q")

    @classmethod
    def create(cls):
        memory = os.memfd_create("edgert-notes", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(memory, _SIZE)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return cls(memory)

    @property
    def restarts(self):
        return self._words[0]

    @restarts.setter
    def restarts(self, count):
        self._words[0] = count

    @property
    def camera_pid(self):
        """The camera's process now, or 0."""
        return self._words[2]

    @camera_pid.setter
    def camera_pid(self, pid):
        self._words[2] = pid or 0

    text = property(lambda self: self._text(1, _TEXT), lambda self, text: self._set_text(1, _TEXT, text))
    store = property(lambda self: self._text(3, _STORE), lambda self, text: self._set_text(3, _STORE, text))

    def _text(self, word, at):
        count = min(self._words[word], _TEXT_BYTES)
        return self._map[at : at + count].decode(errors="replace")

    def _set_text(self, word, at, text):
        data = text.encode(errors="replace")[:_TEXT_BYTES]
        self._words[word] = 0  # who reads meanwhile finds nothing rather than half of it
        self._map[at : at + len(data)] = data
        self._words[word] = len(data)

    def takes_turn(self):
        """Whether this process is now the one worker that answers; the kernel ends its turn with its life."""
        try:
            fcntl.lockf(self.memory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
