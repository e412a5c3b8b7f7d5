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
from time import monotonic

from edgert.errors import EdgertError
from edgert.messages import say
from edgert.serve import settings
from edgert.serve.generation import Generation
from edgert.serve.notes import Notes
from edgert.serve.notify import Notify
from edgert.serve.store import Store
from edgert.serve.succession import NothingServes, Succession
from edgert.serve.web import listening
from edgert.serve.workers import Worker
from edgert.sources import lifeline
from edgert.sources.keeper import TICK_S, Keeper

START = "from edgert.serve.supervisor import main; main()"
DRAIN_S = 4.0  # from SIGTERM until what is left is killed
READING_S = 120.0  # that a large model may take to be read from a slow card
_STATUS_S = 1.0


def main():
    """sys.argv: the config file or "-", then the words of the settings."""
    config, *words = sys.argv[1:]
    try:
        Supervisor(settings.of_words(words), None if config == "-" else config).run()
        code = 0
    except EdgertError as error:
        say(error)
        code = error.exit_code
    sys.exit(code)


class Supervisor:
    """A service from its start to its end. given: settings of the command line; config: a file with more, or None.

    Raises: EdgertError if the settings do not fit, a model cannot be read, or an address is taken.
    """

    def __init__(self, given, config=None):
        self._given, self._config = given, config
        self.settings = settings.complete(given, config)
        self.notify, self.notes = Notify(), Notes.create()
        self._signals, self._awake = [], os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._end, self._kept_end = lifeline.make()
        self.succession = Succession(self._start_worker, self.notes, Store(self.settings.get("state")))
        self.sockets = listening.bind(self.settings["host"], self.settings["port"], self.settings.get("unix"))
        self.keeper = self._start_camera()
        self._is_ready, self._next_status = False, 0.0

    def run(self):
        """Serve until SIGTERM or SIGINT; returns then. Raises: NothingServes if the first worker cannot serve."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda number, _: self._signals.append(number))
        signal.set_wakeup_fd(self._awake[1], warn_on_full_buffer=False)
        try:
            self.succession.first(self.settings)
            for one in self.sockets:
                say(f"serving at {listening.address(one)}")
            self._supervise()
        finally:
            self._stop()

    def _supervise(self):
        last = monotonic()
        while True:
            # A signal that comes meanwhile is in one of the two lists.
            signals, self._signals = self._signals, []
            if signal.SIGTERM in signals or signal.SIGINT in signals:
                return
            if signal.SIGHUP in signals:
                self._reload()
            now = monotonic()
            # What stopped this process, or the whole machine, is nobody's silence.
            if self.succession.tick(now, min(now - last, 2 * TICK_S)):
                self._tell(self.succession.worker, now)
            last = now
            if self.keeper is not None:
                self.keeper.tick()
                self.notes.camera_pid = self.keeper.pid
            self._wait()

    def _start_camera(self):
        asked = self.settings
        if "camera" not in asked:
            return None
        return Keeper(asked["camera"], asked.get("size"), asked.get("fps"), asked.get("lores"), again=True)

    def _start_worker(self, generation, on_trial):
        """See worker.main for what goes down."""
        sockets = [one.fileno() for one in self.sockets]
        frames = [self.keeper.memory.memory, self.keeper.memory.bell] if self.keeper else []
        models = [copy.descriptor for copy in generation.copies]
        counts = [str(len(some)) for some in (sockets, frames, models)]
        words = ["--", *counts, "trial" if on_trial else "-", *settings.to_words(generation.settings)]
        return Worker([*sockets, *frames, *models, self.notes.memory, self._end], words)

    def _reload(self):
        """Read the settings again and try them, and the model files as they are now, beside the worker in charge."""
        try:
            wanted = settings.complete(self._given, self._config)
            fixed = [name for name in settings.FIXED if wanted.get(name) != self.settings.get(name)]
            if fixed:
                say(f"{', '.join(fixed)}: will change when the service is started again")
            kept = {name: self.settings[name] for name in settings.FIXED if name in self.settings}
            others = {name: value for name, value in wanted.items() if name not in settings.FIXED}
            with self.notify.longer(READING_S):
                generation = Generation(others | kept)
            self.succession.propose(generation)
        except NothingServes:
            raise
        except EdgertError as error:
            self.notes.text = f"reload refused: {error}"
            say(f"reload refused, all stays as it was: {error}")

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
        for descriptor in (self._awake[0], *self.succession.reports()):
            poll.register(descriptor, select.POLLIN)
        if not self._signals:
            poll.poll(1000 * TICK_S)
        with suppress(BlockingIOError):
            os.read(self._awake[0], 4096)

    def _stop(self):
        """End the parts: the worker may finish what it answers, the camera not."""
        self.notify.send("STOPPING=1", "STATUS=stopping")
        self.succession.stop(DRAIN_S)
        if self.keeper is not None:
            self.keeper.close()
        for one in self.sockets:
            listening.close(one)
