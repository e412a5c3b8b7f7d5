"""Keeps a camera's process running: starts it, kills it where it hangs, opens the camera again after growing pauses."""

import os
import signal
from time import monotonic, sleep

from edgert.errors import CameraError
from edgert.messages import say as to_stderr
from edgert.sources import child, lifeline
from edgert.sources.shared import FrameMemory

HUNG_S = 3.0  # without a frame for so long, a camera that gave some is taken for dead
STARTING_S = 10.0  # the same before its first frame: libraries load, sensors settle
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
TICK_S = 0.25  # how often tick() is to be called


class Keeper:
    """One camera. tick() does what is due; nothing happens between two calls.

    source, size, fps, lores: as `sources.opener` takes them. memory: the FrameMemory that frames go to. state:
    "starting", "ok", "black", "frozen" or what went wrong; say: is told a change, a line each. error: the CameraError
    that ended it, where stop_on_failure is set; ended: whether no frame will come any more, which is so too when the
    source has an end and `again` is not set.
    """

    def __init__(
        self, source, size=None, fps=None, lores=None, *, hung_s=HUNG_S, first_pause_s=FIRST_PAUSE_S,
        stop_on_failure=False, again=False, say=None
    ):  # fmt: skip
        self._asked = source, size, fps, lores
        self.hung_s = max(hung_s, 3 / fps) if fps else hung_s
        self._first_pause_s = self._pause_s = first_pause_s
        self._stop_on_failure, self._again, self._say = stop_on_failure, again, say or to_stderr
        self.memory = FrameMemory.create()
        self._end, self._kept_end = lifeline.make()
        self.pid, self.state, self.error, self.ended, self._dying = None, "starting", None, False, []
        self._said_why = None
        self._begin(monotonic())

    def tick(self):
        """Look after the process."""
        now = monotonic()
        # What stopped this process, or the whole machine, is not the camera's silence.
        silent_s, self._last_tick = min(now - self._last_tick, 2 * TICK_S), now
        self._bury()
        if self.ended:
            return
        if self.pid is None:
            if now >= self._due:
                self.memory.reopened += 1
                self._begin(now)
        elif self._has_ended():
            self._fails(self.memory.failure or self._how_it_ended(), now)
        else:
            self._listen(silent_s, now)

    def close(self):
        """End the process; may be called twice. Waits a second for the kernel to take it down, and no longer."""
        self.ended = True
        self._kill()
        deadline = monotonic() + 1
        while self._dying and monotonic() < deadline:
            self._bury()
            sleep(0.002)
        if self._kept_end >= 0:
            os.close(self._end)
            os.close(self._kept_end)
            self._kept_end = -1
        self.memory.close()

    def _begin(self, now):
        descriptors = (self.memory.memory, self.memory.bell, self._end)
        self._seen, self._silent_s, self._last_tick = self.memory.captured, 0.0, now
        self._gave_frames, self._code = False, None
        try:
            self.pid = lifeline.start(child.START, descriptors, child.words(*self._asked))
        except OSError as error:  # no memory, no more processes: it may be better later
            self._fails(f"the camera's process cannot be started: {error.strerror}", now)

    def _has_ended(self):
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.pid, self._code = None, os.waitstatus_to_exitcode(status)
        return pid != 0

    def _how_it_ended(self):
        if self._code == 0:
            return "it has no more frames"
        what = f"ended with code {self._code}" if self._code > 0 else f"died of signal {-self._code}"
        return f"the camera's process {what}"

    def _listen(self, silent_s, now):
        captured = self.memory.captured
        if captured != self._seen:
            self._seen, self._silent_s, self._gave_frames = captured, 0.0, True
            self._pause_s, self._said_why = self._first_pause_s, None
            self._change(self.memory.state)
            return
        self._silent_s += silent_s
        limit = self.hung_s if self._gave_frames else max(self.hung_s, STARTING_S)
        if self._silent_s >= limit:
            self._kill()
            self._fails(f"it hangs: no frame for {limit:g} s", now)

    def _fails(self, why, now):
        """The process is gone."""
        finished = self._code == 0 and not self._again
        if self._stop_on_failure or finished:
            self.ended = True
            self.error = None if finished else CameraError(f"the camera failed: {why}")
            return
        self._due = now + self._pause_s
        waiting = f"waiting {self._pause_s:g} s to reopen"
        said = f"{waiting}, as before" if why == self._said_why else None  # why may take several lines
        self._said_why = why
        self._change(f"{waiting}: {why}", said)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _kill(self):
        """SIGKILL: what hangs in a driver or a library hears nothing else. It runs no more from then on, even where the
        kernel cannot take it down before its driver returns."""
        if self.pid is None:
            return
        os.kill(self.pid, signal.SIGKILL)
        self._dying.append(self.pid)
        self.pid = self._code = None

    def _bury(self):
        self._dying = [pid for pid in self._dying if os.waitpid(pid, os.WNOHANG) == (0, 0)]

    def _change(self, state, said=None):
        """Tell a new state, in the words of `said` if given."""
        if state == self.state:
            return
        if state != "ok" or self.state != "starting":
            self._say(f"camera: {said or state}")
        self.state = state
        self.memory.trouble = "" if state in ("starting", "ok", "black", "frozen") else state
