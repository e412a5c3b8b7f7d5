"""The process that answers: models, the loop over frames, and HTTP in a thread of its own.

Started by the supervisor. It reports `ready` when its models are loaded and checked, `beat` with how many results it
gave and a line about itself, `failed` with an exit code and the reason.
"""

import os
import select
import signal
import sys
from contextlib import suppress
from time import monotonic

from edgert.errors import EdgertError, ModelFormatError
from edgert.format import reader
from edgert.model import load
from edgert.serve import events, settings, trial
from edgert.serve.gate import Gate
from edgert.serve.notes import Notes
from edgert.serve.resources import Resources
from edgert.serve.web.http import Server
from edgert.sources import lifeline
from edgert.sources.shared import FrameMemory
from edgert.threads import physical_cores

SILENT_S, LONGEST_SILENT_S = 10.0, 60.0  # without a result for so long, a worker is taken for dead
BEAT_S = 0.5
# For so long, and not Python's 5 ms, the thread of HTTP waits for the one that makes tokens, after each of its calls to
# the kernel: with 100 clients at once /health takes a quarter of the time.
SWITCH_S = 0.0005
PROBE_S = 1.0  # without a frame or a prompt for so long, the models answer a question of our own
DRAIN_S = 3.0


def main():
    """sys.argv: descriptors, "--", how many of them are sockets, of frames and of models, "trial" where the models are
    to be proved first, the words of the settings. The last three descriptors: notes, lifeline, reports."""
    at = sys.argv.index("--")
    numbers = [int(word) for word in sys.argv[1:at]]
    *counts, proof, words = *sys.argv[at + 1 : at + 5], sys.argv[at + 5 :]
    sockets, frames, models, (notes, end, reports) = _split(numbers, [int(count) for count in counts])
    lifeline.hold(end)
    sys.setswitchinterval(SWITCH_S)
    try:
        worker = Worker(settings.of_words(words), sockets, frames, models, Notes(notes), reports)
        worker.run(on_trial=proof == "trial")
        code = 0
    except EdgertError as error:
        code = error.exit_code
        _write(reports, f"failed {code} {error}")
    except MemoryError:
        code = trial.NotNow.exit_code
        _write(reports, f"failed {code} too big: memory ran out")
    except Exception as error:
        import traceback

        with suppress(OSError):
            traceback.print_exc()
        code = 1
        _write(reports, f"failed {code} {type(error).__name__}: {error}")
    # Not through Python's own end: threads that compute or write to a slow client would be waited for.
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


def _split(numbers, counts):
    parts = []
    for count in counts:
        parts.append(numbers[:count])
        numbers = numbers[count:]
    return *parts, numbers


def _write(reports, text):
    """One line, in one piece: below the size that a pipe takes at once."""
    os.write(reports, (" ".join(text.split())[:3000] + "\n").encode(errors="replace"))


class Worker:
    """asked: the settings. sockets: descriptors that listen. frames: those of the FrameMemory, () without a camera.
    models: descriptors of the model files.

    parts: Vision, Text or both; vision, text: the same by name, or None. last_step: when the models gave their last
    result (monotonic), to a question of our own where nobody else asked.
    """

    def __init__(self, asked, sockets, frames, models, notes, reports):
        self.asked, self._sockets, self._models, self.notes, self._reports = asked, sockets, models, notes, reports
        self.memory = FrameMemory(*frames) if frames else None
        self.gate, self.stopping = Gate(), False
        self.parts, self.vision, self.text = [], None, None
        self.resources, self.events = Resources(self), None
        self._awake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._awake[0], select.POLLIN)
        self._next_beat, self.last_step, self._steps, self._told = 0.0, monotonic(), 0, 0

    def run(self, on_trial=False):
        """Answer until SIGTERM. Raises: EdgertError if the models cannot be served."""
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._stop)
        signal.set_wakeup_fd(self._awake[1], warn_on_full_buffer=False)
        if self.asked.get("mqtt"):
            events.check(self.asked["mqtt"])
        self.resources.start()
        for descriptor, name in zip(self._models, self.asked["model"]):
            self._load(f"/proc/self/fd/{descriptor}", name, on_trial)
        _write(self._reports, f"ready {self._longest_silence_s()}")
        while not self.notes.takes_turn():  # another worker finishes what it answers
            self.pause(0.02)
            if self.stopping:
                return
        self.resources.write()
        if self.asked.get("mqtt"):
            self.events = events.Events(self.asked["mqtt"], self)
        self._server = Server(self._application, self._sockets)
        if self.vision is not None:
            self.vision.board.leaving = self._server.leaving
        self._server.start()
        self._answer()
        self._finish(monotonic() + DRAIN_S)

    def pause(self, seconds):
        """Sleep, but for a signal."""
        if not self.stopping:
            self._poll.poll(1000 * seconds)

    def _stop(self, number, _):
        self.stopping = True

    def _load(self, path, name, on_trial):
        """Load one model; the copy of the file that `name` was when the service looked."""
        threads = self.asked.get("threads") or _threads(self.memory is not None)
        try:
            if on_trial:
                trial.check_size(path, name)
                reader.verify(path)
            model = load(path, threads=threads)
        except ModelFormatError as error:
            raise ModelFormatError(str(error).replace(path, name)) from error
        if on_trial:
            trial.check_answers(model, name)
        part = self._part(model, name)
        part.check()  # the first answer takes longer than all others
        part.check_s = trial.elapsed_s(part.check)
        if on_trial:
            trial.check_speed(part.check, name, self.asked.get("fps") if part is self.vision else None)
            trial.end_limit()
        self.parts.append(part)

    def _part(self, model, name):
        if model.metadata.task == "generate":
            from edgert.serve.text import Text

            self.text = Text(model, name, self.gate, self.resources.answered)
            return self.text
        from edgert.serve.vision import Vision

        tell = self.resources.answered
        self.vision = Vision(model, name, self.asked, self.memory, self.gate, tell, self.pause)
        return self.vision

    def _longest_silence_s(self):
        """How long these models may be without a result: a step of a text computes as many tokens as one run takes."""
        return max([SILENT_S, *[min(4 * part.slowest_step_s(), LONGEST_SILENT_S) for part in self.parts]])

    def _application(self):
        """What is served over HTTP, an ASGI application."""
        from edgert.serve.web import figures, guard, health, http

        routes = [*health.routes(self), *figures.routes(self)]
        if self.text is not None:
            routes += self.text.routes("/prompt" if self.vision else "/")
        if self.vision is not None:
            routes += self.vision.routes()
        token = self.asked.get("token_file")
        return guard.guarded(http.application(routes), guard.read_token(token) if token else None)

    def _answer(self):
        """The loop over frames; without a camera, over nothing but time."""
        vision, news = self.vision, select.poll()
        news.register(self._awake[0], select.POLLIN)
        if vision is not None:
            news.register(vision.bell, select.POLLIN)
        while not self.stopping:
            if vision is not None:
                vision.governor.wait()
            if vision is None or not vision.look():
                news.poll(1000 * BEAT_S)
            self._look_after(monotonic())
            if self._server.failure is not None:
                raise self._server.failure

    def _finish(self, deadline):
        """Nothing new is begun; what is under way may end until `deadline`."""
        self._server.leave()
        for part in self.parts:
            part.close((deadline - monotonic()) / 2)  # so long for an answer, and again after it was cancelled
        self._server.join(max(0.0, deadline - monotonic()))
        if self.events is not None:
            self.events.close()

    def _look_after(self, now):
        """Report results; where nobody asks anything, ask the models something."""
        real = sum(part.answers for part in self.parts)
        if now < self._next_beat and (self._told or not real):  # the supervisor waits for the first
            return
        if self.gate.steps != self._steps:
            self._steps, self.last_step = self.gate.steps, now
        elif now - self.last_step > PROBE_S and self.gate.busy_since is None:
            for part in self.parts:
                part.check()
        self._next_beat, self._told = now + BEAT_S, real
        _write(self._reports, f"beat {self.gate.steps} {real} {self.status()}")

    def status(self):
        """One line for people: what it does, how fast, how warm."""
        return "; ".join([part.status() for part in self.parts])


def _threads(has_camera):
    """With a camera one core is left to it and to the page, where this process may use several."""
    return max(1, physical_cores() - 1) if has_camera and "EDGERT_THREADS" not in os.environ else None
