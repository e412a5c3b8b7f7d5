"""Whose turn it is to compute, where a camera and prompts share the cores: frames first, text between them."""

import threading
from time import monotonic


class Gate:
    """One computation at a time. `with gate.frame:` around an answer to a frame, `with gate.text:` around each step of
    a text: a frame waits for one step at most, and a text lets every frame pass that waits.

    steps: computations that were finished. busy_since: when the one that runs began (monotonic), None between two.
    """

    def __init__(self):
        self._changed = threading.Condition()
        self._frames_waiting, self.steps, self.busy_since = 0, 0, None
        self.frame, self.text = _Turn(self, True), _Turn(self, False)

    def _enter(self, is_frame):
        with self._changed:
            self._frames_waiting += is_frame
            self._changed.wait_for(lambda: self.busy_since is None and (is_frame or not self._frames_waiting))
            self._frames_waiting -= is_frame
            self.busy_since = monotonic()

    def _leave(self):
        with self._changed:
            self.busy_since = None
            self.steps += 1
            self._changed.notify_all()


class _Turn:
    def __init__(self, gate, is_frame):
        self._gate, self._is_frame = gate, is_frame

    def __enter__(self):
        self._gate._enter(self._is_frame)

    def __exit__(self, *error):
        self._gate._leave()
