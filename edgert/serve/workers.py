"""The supervisor's view of a worker process: starts it, hears its reports, ends it."""

import fcntl
import os
import signal

from edgert.errors import ModelFormatError
from edgert.sources import lifeline

START = "from edgert.serve.worker import main; main()"
LOADING_S = 60.0  # from start to the first result
_MOST_PENDING = 65_536


class Worker:
    """One process. descriptors: handed down, in the order that `worker.main` takes them, but for the report pipe.

    ready: whether its models are loaded and checked. results: answers so far, its own probes included; real: those to
    frames and prompts. status: its last words about itself. failure: (exit code, text) that it gave as the reason for
    its end, or None. code: exit code once it has ended, negative for a signal.
    """

    def __init__(self, descriptors, words, loading_s=LOADING_S):
        self.reports, end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        fcntl.fcntl(end, fcntl.F_SETFL, 0)  # the worker's end waits; a report is smaller than what is written at once
        try:
            self.pid = lifeline.start(START, [*descriptors, end], words)
        except OSError:
            os.close(self.reports)
            raise
        finally:
            os.close(end)
        self._loading_s = self._silent_s = loading_s
        self.silent_s, self._pending = 0.0, b""
        self.ready = self.stopping = self._killed = False
        self.results = self.real = 0
        self.status, self.failure, self.code = "", None, None

    def tick(self, elapsed_s):
        """Hear what it said and whether it lives. Returns: whether it gave a result since the last call."""
        before = self.results
        self._hear()
        self.has_ended()
        self.silent_s = 0.0 if self.results != before else self.silent_s + elapsed_s
        return self.results != before

    def has_ended(self):
        """Whether its process is gone; takes its exit code, and its last words, when it is."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._hear()
                self.code = os.waitstatus_to_exitcode(status)
                os.close(self.reports)
        return self.code is not None

    @property
    def is_unfit(self):
        """Whether its end is the model's fault. One that was killed from outside has not failed by itself."""
        if self.failure:
            return self.failure[0] == ModelFormatError.exit_code
        return self.code is not None and self.code not in (0, -signal.SIGKILL, -signal.SIGTERM)

    @property
    def hangs(self):
        """Whether it is silent for longer than it may be."""
        return self.silent_s > (self._silent_s if self.results else self._loading_s)

    def stop(self):
        """Ask it to finish what it does and end."""
        self.stopping = True
        if self.code is None:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self):
        """Returns: whether this was the first time."""
        first, self._killed = not self._killed, True
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
        return first

    def how_it_ended(self):
        if self.failure:
            return self.failure[1]
        return f"it died of signal {-self.code}" if self.code < 0 else f"it ended with code {self.code}"

    def _hear(self):
        try:
            data = os.read(self.reports, _MOST_PENDING)
        except BlockingIOError:
            return
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._understand(line.decode(errors="replace"))
        self._pending = self._pending[:_MOST_PENDING]

    def _understand(self, line):
        what, _, rest = line.partition(" ")
        if what == "ready":
            self.ready, self._silent_s = True, float(rest)
        elif what == "beat":
            results, real, self.status = [*rest.split(" ", 2), "", ""][:3]
            self.results, self.real = int(results), int(real)
        elif what == "failed":
            code, _, text = rest.partition(" ")
            self.failure = int(code), text
