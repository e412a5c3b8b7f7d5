"""Frames from one process to another: three slots of memory and a mailbox, the newest frame only, never a torn one.

The mailbox is an eventfd that holds 1 + the slot of the newest frame that nobody took. Taking it out and putting it in
are one call of the kernel each, so a slot belongs at every moment to one side: the reader's, the one in the mailbox, or
the writer's. The kernel's lock inside it also orders the bytes before it on every CPU. Neither descriptor has a name in
a folder: whoever dies, nothing is left behind.

Source: triple buffering with an atomic exchange, as graphics drivers do it.
"""

import fcntl
import mmap
import os

from edgert.errors import InputError
from edgert.sources.frame import Frame

SLOTS = 3
_NOTHING = SLOTS  # in the mailbox: a mail without a frame
MOST_BYTES = 100 << 20  # of one frame; pages that nobody wrote take no memory
STATES = ("starting", "ok", "black", "frozen")
_HEAD_BYTES = 16_384  # a whole page everywhere
_SIZE = _HEAD_BYTES + SLOTS * MOST_BYTES
# 64-bit words of the head: a word is written and read in one piece.
_CAPTURED, _DROPPED, _REOPENED, _STATE = range(4)
_SLOT_WORDS, _FIRST_SLOT_WORD = 16, 16
_WRITER_TEXT, _KEEPER_TEXT, _TEXT_BYTES = 1024, 2048, 1000


class FrameMemory:
    """The memory and the mailbox. memory, bell: their descriptors; this object owns them.

    captured, dropped: frames put in, and of them those that nobody took. reopened: how often the source was. state: one
    of STATES, of the last frame. Counters live as long as the memory, whoever writes them.
    """

    def __init__(self, memory, bell):
        self.memory, self.bell = memory, bell
        self.map = mmap.mmap(memory, _SIZE)
        self.words = memoryview(self.map)[: 8 * (_FIRST_SLOT_WORD + SLOTS * _SLOT_WORDS)].cast("Q")

    @classmethod
    def create(cls):
        """A new one. Its size is sealed: no process can shrink it under the others, which would kill them."""
        memory = os.memfd_create("edgert-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(memory, _SIZE)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return cls(memory, os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))

    captured = property(lambda self: self.words[_CAPTURED])
    dropped = property(lambda self: self.words[_DROPPED])
    state = property(lambda self: STATES[self.words[_STATE] % len(STATES)])

    @property
    def reopened(self):
        return self.words[_REOPENED]

    @reopened.setter
    def reopened(self, count):
        self.words[_REOPENED] = count

    def starts(self):
        """A new writer begins: nothing is known of the picture."""
        self.words[_STATE] = 0
        self._put_text(_WRITER_TEXT, "")

    @property
    def failure(self):
        """What the writer said before it ended, or ""."""
        return self._text(_WRITER_TEXT)

    @failure.setter
    def failure(self, text):
        self._put_text(_WRITER_TEXT, text)

    @property
    def trouble(self):
        """What the keeper of the writer says, or "" where all is well."""
        return self._text(_KEEPER_TEXT)

    @trouble.setter
    def trouble(self, text):
        self._put_text(_KEEPER_TEXT, text)

    def close(self):
        if self.memory >= 0:
            self.words.release()
            self.map.close()
            os.close(self.memory)
            os.close(self.bell)
            self.memory = self.bell = -1

    def _put_text(self, at, text):
        data = text.encode(errors="replace")[:_TEXT_BYTES]
        self.map[at : at + 2] = b"\0\0"  # who reads meanwhile finds nothing rather than half of it
        self.map[at + 2 : at + 2 + len(data)] = data
        self.map[at : at + 2] = len(data).to_bytes(2, "little")

    def _text(self, at):
        count = min(int.from_bytes(self.map[at : at + 2], "little"), _TEXT_BYTES)
        return self.map[at + 2 : at + 2 + count].decode(errors="replace")

    def slot_words(self, slot):
        """The words that describe the frame in a slot."""
        first = _FIRST_SLOT_WORD + slot * _SLOT_WORDS
        return self.words[first : first + _SLOT_WORDS]

    def slot_bytes(self, slot):
        """The slot's memory, a view to be released after use."""
        start = _HEAD_BYTES + slot * MOST_BYTES
        return memoryview(self.map)[start : start + MOST_BYTES]


class Writer:
    """Puts frames in. One at a time: the next one begins only after the last is known to be dead.

    What its predecessor left is unknown: the reader may be copying any slot. So it begins with a mail without a frame;
    when that was taken, the reader is done with all that was before, and every slot is the writer's.
    """

    def __init__(self, memory):
        self.shared = memory
        memory.starts()
        _take(memory.bell)
        self._begun, self._mailed, self._readers = False, None, None
        self._most = [0] * SLOTS  # bytes of each slot that were ever used
        os.eventfd_write(memory.bell, _NOTHING + 1)

    def put(self, frame, state):
        """Make `frame` the newest. state: of the picture, one of STATES. Raises: InputError if it is too large."""
        words = self.shared.words
        words[_STATE] = STATES.index(state)
        words[_CAPTURED] += 1
        if not self._begins():
            words[_DROPPED] += 1
            return
        slot = next(slot for slot in range(SLOTS) if slot not in (self._mailed, self._readers))
        self._fill(slot, frame)
        if _take(self.shared.bell) is None:
            self._readers = self._mailed  # and what it had before is free
        else:
            words[_DROPPED] += 1
        self._mailed = slot
        os.eventfd_write(self.shared.bell, slot + 1)

    def _begins(self):
        """Whether the reader took the first mail."""
        if not self._begun:
            self._begun = _take(self.shared.bell) is None
            if not self._begun:
                os.eventfd_write(self.shared.bell, _NOTHING + 1)
        return self._begun

    def _fill(self, slot, frame):
        pictures = [frame] if frame.small is None else [frame, frame.small]
        sizes = [len(picture.data) for picture in pictures]
        if sum(sizes) > MOST_BYTES:
            raise InputError(f"a frame of {sum(sizes):,} bytes; {MOST_BYTES:,} are the most that is passed on")
        words = self.shared.slot_words(slot)
        words[0], words[1], words[7] = frame.number, frame.timestamp_ns, 0
        with self.shared.slot_bytes(slot) as memory:
            at = 0
            for first, picture, size in zip((2, 6), pictures, sizes):
                words[first], words[first + 1] = _code(picture.format), size
                words[first + 2], words[first + 3] = picture.width, picture.height
                memory[at : at + size] = picture.data
                at += size
        self._give_back(slot, sum(sizes))

    def _give_back(self, slot, used):
        """Memory of a slot that larger frames needed before."""
        start = -(-used // mmap.PAGESIZE) * mmap.PAGESIZE
        if self._most[slot] > start:
            self.shared.map.madvise(mmap.MADV_REMOVE, _HEAD_BYTES + slot * MOST_BYTES + start, MOST_BYTES - start)
        self._most[slot] = used


class Reader:
    """Takes the newest frame out, copied, so that it may be kept."""

    def __init__(self, memory):
        self.shared = memory

    def take(self):
        """The newest frame that was not taken yet, a Frame, or None."""
        slot = _take(self.shared.bell)
        if slot is None or slot >= SLOTS:
            return None
        number, taken_ns, *rest = self.shared.slot_words(slot)
        with self.shared.slot_bytes(slot) as memory:
            pictures, at = [], 0
            for first in (0, 4):
                code, size, width, height = rest[first : first + 4]
                if size and at + size <= MOST_BYTES:
                    pictures.append(Frame(bytes(memory[at : at + size]), _name(code), width, height, number, taken_ns))
                    at += size
        if not pictures:
            return None
        pictures[0].small = pictures[1] if len(pictures) > 1 else None
        return pictures[0]


def _take(bell):
    """The slot in the mailbox, which is empty then; None if it was."""
    try:
        return os.eventfd_read(bell) - 1
    except BlockingIOError:
        return None


def _code(name):
    return int.from_bytes(name.encode()[:8], "little")


def _name(code):
    return code.to_bytes(8, "little").rstrip(b"\0").decode("latin-1")
