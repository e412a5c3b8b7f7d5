"""The newest frame of a live source, whatever happens to it: a process of its own has the camera."""

import select
from time import monotonic

from edgert.sources.keeper import TICK_S, Keeper
from edgert.sources.shared import Reader


class Newest:
    """Frames of a live source; one that nobody took is replaced by the next.

    source, and all else: as `keeper.Keeper` takes them. state: "starting", "ok", "black", "frozen" or what went wrong.
    captured, dropped: frames that came, and those that nobody took. reopened: how often the source was opened again.
    """

    def __init__(self, source, *args, **options):
        self._keeper = Keeper(source, *args, **options)
        self._memory = self._keeper.memory
        self._reader = Reader(self._memory)
        self._bell = select.poll()
        self._bell.register(self._memory.bell, select.POLLIN)
        self._counts = 0, 0, 0

    def get(self, timeout=None):
        """The newest frame that was not given yet, or None after `timeout` seconds or at the end of the source.

        Raises: CameraError if the source failed and was to stop then.
        """
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            self._keeper.tick()
            if (frame := self._reader.take()) is not None:
                return frame
            if self._keeper.error is not None:
                raise self._keeper.error
            left = TICK_S if deadline is None else min(TICK_S, deadline - monotonic())
            if left <= 0 or self._keeper.ended:
                return None
            self._bell.poll(1000 * left)

    state = property(lambda self: self._keeper.state)
    captured = property(lambda self: self._count()[0])
    dropped = property(lambda self: self._count()[1])
    reopened = property(lambda self: self._count()[2])

    @property
    def ended(self):
        """Whether no frame will come any more."""
        return self._keeper.ended and self._keeper.error is None

    def close(self):
        """Stop; may be called twice."""
        self._count()
        self._keeper.close()

    def _count(self):
        if self._memory.memory >= 0:
            self._counts = self._memory.captured, self._memory.dropped, self._memory.reopened
        return self._counts
