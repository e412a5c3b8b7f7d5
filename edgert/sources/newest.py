"""The newest frame of a live source, whatever happens to it: a thread of its own takes frames, reopens after faults."""

import sys
import threading
from time import monotonic

from edgert.errors import EdgertError

HUNG_S = 3.0  # without a frame for so long, a source that gave some is taken for dead
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
SAME_FRAMES = 30  # identical frames in a row before a camera is called frozen


class Newest:
    """Frames of the source that `opener()` opens; one that nobody took is replaced by the next.

    state: "starting", "ok", "black", "frozen" or what went wrong. dropped: frames that nobody took. reopened: how often
    the source was opened again. say: what a change of state is told to, a line each.
    """

    def __init__(self, opener, hung_s=HUNG_S, first_pause_s=FIRST_PAUSE_S, stop_on_failure=False, say=None):
        self._opener, self._hung_s, self._first_pause_s = opener, hung_s, first_pause_s
        self._stop_on_failure, self._say = stop_on_failure, say or _to_stderr
        self._ready = threading.Condition()
        self._frame, self._error, self._ended, self._closed = None, None, False, False
        self._last_alive, self._source, self._turn = monotonic(), None, 0
        self.state, self.dropped, self.reopened, self.captured = "starting", 0, 0, 0
        self._start()

    def get(self, timeout=None):
        """The newest frame that was not given yet, or None after `timeout` seconds or at the end of the source.

        Raises: the source's error if it failed and was to stop then.
        """
        deadline = None if timeout is None else monotonic() + timeout
        with self._ready:
            while self._frame is None and not self._ended:
                left = None if deadline is None else deadline - monotonic()
                if left is not None and left <= 0:
                    break
                self._ready.wait(min(0.25, left) if left is not None else 0.25)
                self._check_hung()
            frame, self._frame = self._frame, None
            if frame is None and self._error is not None:
                raise self._error
            return frame

    @property
    def ended(self):
        """Whether no frame will come any more."""
        return self._ended and self._frame is None and self._error is None

    def close(self):
        """Stop; waits a second for the source, which may be stuck in its driver, and no longer."""
        with self._ready:
            self._closed = self._ended = True
            self._turn += 1
            self._ready.notify_all()
        _close_quietly(self._source)

    def _start(self):
        self._turn += 1
        self._last_alive = monotonic()
        threading.Thread(target=self._take, args=(self._turn,), daemon=True, name="edgert-frames").start()

    def _check_hung(self):
        """With the lock held. A thread stuck in a driver cannot be ended: it is left alone, and a new one begins."""
        if self._ended or self.state == "starting" or monotonic() - self._last_alive < self._hung_s:
            return
        if self.state.startswith("waiting"):
            return
        self._change(f"hung: no frame for {self._hung_s:g} s")
        if self._stop_on_failure:
            from edgert.errors import CameraError

            self._error, self._ended = CameraError(f"the camera hangs: no frame for {self._hung_s:g} s"), True
            return
        _close_quietly(self._source)
        self.reopened += 1
        self._start()

    def _take(self, turn):
        pause = self._first_pause_s
        while turn == self._turn:
            try:
                source = self._opener()
                if turn != self._turn:
                    _close_quietly(source)
                    return
                self._source = source
                for frame in source.frames():
                    if not self._give(frame, turn):
                        return
                    pause = self._first_pause_s
                error = None
            except (EdgertError, OSError) as caught:
                error = caught
            if turn != self._turn:
                return
            _close_quietly(self._source)
            if error is None or self._stop_on_failure:
                self._finish(error)
                return
            self._change(f"waiting {pause:g} s to reopen: {error}")
            self._wait(pause, turn)
            pause = min(2 * pause, LONGEST_PAUSE_S)
            self.reopened += 1

    def _give(self, frame, turn):
        with self._ready:
            if turn != self._turn:
                return False
            self._last_alive = monotonic()
            self.dropped += self._frame is not None
            self.captured += 1
            self._frame = frame
            self._look(frame)
            self._ready.notify_all()
        return True

    def _look(self, frame):
        """Frozen and black cameras answer as if all were well; a few bytes of the frame tell."""
        step = max(1, len(frame.data) // 256)
        sample = bytes(memoryview(frame.data)[::step])
        self._same = getattr(self, "_same", 0) + 1 if sample == getattr(self, "_sample", None) else 0
        self._sample = sample
        state = "black" if max(sample) < 20 and frame.format in ("RGB", "BGR", "GRAY") else "ok"
        if self._same >= SAME_FRAMES and state == "ok":
            state = "frozen"
        if state != self.state:
            self._change(state)

    def _finish(self, error):
        with self._ready:
            self._error, self._ended = error, True
            self._ready.notify_all()

    def _change(self, state):
        if state not in ("ok", self.state) or self.state not in ("starting", "ok"):
            self._say(f"camera: {state}")
        self.state = state

    def _wait(self, seconds, turn):
        with self._ready:
            self._ready.wait_for(lambda: turn != self._turn, seconds)


def _close_quietly(source):
    """In a thread of its own: a driver's stop() can block for ever."""
    if source is None:
        return
    thread = threading.Thread(target=_try_close, args=(source,), daemon=True, name="edgert-close")
    thread.start()
    thread.join(1.0)


def _try_close(source):
    try:
        source.close()
    except Exception as error:  # whatever a broken driver raises must not stop the reopening
        print(f"edgert: camera: closing failed: {error}", file=sys.stderr)


def _to_stderr(text):
    print(f"edgert: {text}", file=sys.stderr, flush=True)
