"""The main process of a service: owns the sockets, starts the parts, and starts again only the part that ended.

    supervisor (this one: no models, no HTTP)
      worker        models, answers, HTTP
      camera child  the camera's driver; frames go to the worker through shared memory

It tells systemd READY after the first real result and WATCHDOG after results only.
"""

import os
import select
import signal
import sys
from contextlib import suppress
from time import monotonic, sleep

from edgert.errors import EdgertError
from edgert.messages import say
from edgert.serve import listening, settings
from edgert.serve.notes import Notes
from edgert.serve.notify import Notify
from edgert.serve.workers import Worker
from edgert.sources import lifeline
from edgert.sources.keeper import TICK_S, Keeper

START = "from edgert.serve.supervisor import main; main()"
DRAIN_S = 4.0  # from SIGTERM until what is left is killed
LONGEST_PAUSE_S = 30.0
FIRST_PAUSE_S = 0.5
_STATUS_S = 1.0


def main():
    """sys.argv: the config file or "-", then the words of the settings."""
    config, *words = sys.argv[1:]
    try:
        supervisor = Supervisor(settings.of_words(words), None if config == "-" else config)
        code = supervisor.run()
    except EdgertError as error:
        say(error)
        code = error.exit_code
    sys.exit(code)


class Supervisor:
    """A service from its start to its end. given: settings of the command line; config: a file with more, or None.

    Raises: EdgertError if the settings do not fit, or an address is taken.
    """

    def __init__(self, given, config=None):
        self.settings = settings.complete(given, config)
        self.notify, self.notes = Notify(), Notes.create()
        self._signals, self._awake = [], os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.sockets = listening.bind(self.settings["host"], self.settings["port"], self.settings.get("unix"))
        self._end, self._kept_end = lifeline.make()
        self.keeper = self._new_keeper()
        self.worker, self._due, self._pause_s = None, monotonic(), 0.0
        self._failure, self._is_ready, self._next_status = None, False, 0.0

    def run(self):
        """Serve until SIGTERM or SIGINT. Returns the exit code: 0, or that of a first worker that cannot serve."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda number, _: self._signals.append(number))
        signal.set_wakeup_fd(self._awake[1], warn_on_full_buffer=False)
        for one in self.sockets:
            say(f"serving at {listening.address(one)}")
        last = monotonic()
        try:
            while not {signal.SIGTERM, signal.SIGINT} & set(self._signals):
                self._signals.clear()
                now = monotonic()
                # What stopped this process, or the whole machine, is nobody's silence.
                self._look_after_worker(now, min(now - last, 2 * TICK_S))
                last = now
                if self._failure is not None:
                    raise self._failure
                if self.keeper is not None:
                    self.keeper.tick()
                self._wait()
            return 0
        finally:
            self._stop()

    def _new_keeper(self):
        asked = self.settings
        if "camera" not in asked:
            return None
        return Keeper(asked["camera"], asked.get("size"), asked.get("fps"), asked.get("lores"), again=True)

    def _look_after_worker(self, now, elapsed_s):
        worker = self.worker
        if worker is None:
            if now >= self._due:
                self.worker = self._new_worker()
            return
        if worker.tick(elapsed_s):
            self._tell(worker, now)
        if worker.code is not None:
            self._restart(worker, now)
        elif worker.hangs:
            say(f"worker: no result for {worker.silent_s:.0f} s: killed")
            worker.kill()

    def _new_worker(self):
        sockets = [one.fileno() for one in self.sockets]
        frames = (self.keeper.memory.memory, self.keeper.memory.bell) if self.keeper else ()
        words = ["--", str(len(sockets)), str(len(frames)), *settings.to_words(self.settings)]
        return Worker([*sockets, *frames, self.notes.memory, self._end], words)

    def _restart(self, worker, now):
        """The worker is gone: another one at once where it had given results, else after growing pauses."""
        self.worker = None
        if worker.failure and not self._is_ready:
            self._failure = _Failure(worker.failure[1], worker.failure[0])
            return
        self._pause_s = 0.0 if worker.real else min(max(FIRST_PAUSE_S, 2 * self._pause_s), LONGEST_PAUSE_S)
        self._due = now + self._pause_s
        self.notes.restarts += 1
        say(f"worker: {worker.how_it_ended()}; starts again{f' in {self._pause_s:g} s' if self._pause_s else ''}")

    def _tell(self, worker, now):
        """systemd hears of results, and of nothing else."""
        lines = ["WATCHDOG=1"]
        if worker.real and not self._is_ready:
            self._is_ready = True
            lines.append("READY=1")
        elif not self._is_ready:
            # It answers its own questions while the camera is opened again and again: it waits, and does not hang.
            lines.append(f"EXTEND_TIMEOUT_USEC={int(30e6)}")
        if now >= self._next_status or "READY=1" in lines:
            self._next_status = now + _STATUS_S
            lines.append(f"STATUS={worker.status}")
        self.notify.send(*lines)

    def _wait(self):
        poll = select.poll()
        poll.register(self._awake[0], select.POLLIN)
        if self.worker is not None:
            poll.register(self.worker.reports, select.POLLIN)
        if not self._signals:
            poll.poll(1000 * TICK_S)
        with suppress(BlockingIOError):
            os.read(self._awake[0], 4096)

    def _stop(self):
        """End the parts: the worker may finish what it answers, the camera not."""
        self.notify.send("STOPPING=1", "STATUS=stopping")
        deadline = monotonic() + DRAIN_S
        worker = self.worker
        if worker is not None and worker.code is None:
            worker.stop()
        if self.keeper is not None:
            self.keeper.close()
        while worker is not None and worker.code is None:
            worker.tick(0.0)
            if monotonic() > deadline:
                worker.kill()
            sleep(0.01)
        for one in self.sockets:
            _unbind(one)


class _Failure(EdgertError):
    """What the first worker said about why it cannot serve, with its exit code."""

    def __init__(self, text, exit_code):
        super().__init__(text)
        self.exit_code = exit_code


def _unbind(one):
    name = one.getsockname()
    one.close()
    if isinstance(name, str) and name:
        os.unlink(name)
