"""The process that answers: models, the loop over frames, and HTTP in a thread of its own.

Started by the supervisor. It reports `ready` when its models are loaded and checked, `beat` with how many results it
gave and a line about itself, `failed` with an exit code and the reason.
"""

import os
import select
import signal
import sys
from time import monotonic

from edgert.errors import EdgertError, ModelFormatError
from edgert.serve import settings
from edgert.serve.gate import Gate
from edgert.serve.notes import Notes
from edgert.serve.vision import Vision
from edgert.sources import lifeline
from edgert.sources.shared import FrameMemory, Reader

BEAT_S = 0.5
PROBE_S = 1.0  # without a frame or a prompt for so long, the models answer a question of our own
DRAIN_S = 3.0


def main():
    """sys.argv: descriptors, "--", how many of them are sockets, of frames and of models, "trial" where the models are
    to be proved first, the words of the settings. The last three descriptors: notes, lifeline, reports."""
    at = sys.argv.index("--")
    numbers = [int(word) for word in sys.argv[1:at]]
    *counts, trial, words = *sys.argv[at + 1 : at + 5], sys.argv[at + 5 :]
    sockets, frames, models, (notes, end, reports) = _split(numbers, [int(count) for count in counts])
    lifeline.hold(end)
    try:
        worker = Worker(settings.of_words(words), sockets, frames, models, Notes(notes), reports)
        worker.run(trial == "trial")
        code = 0
    except EdgertError as error:
        code = error.exit_code
        _write(reports, f"failed {code} {error}")
    except MemoryError:
        code = ModelFormatError.exit_code
        _write(reports, f"failed {code} too big: memory ran out")
    except Exception as error:
        import traceback

        traceback.print_exc()
        code = 1
        _write(reports, f"failed {code} {type(error).__name__}: {error}")
    # Not through Python's own end: threads that compute or write to a slow client would be waited for.
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

    last_real: when the last frame was answered (monotonic), or None; the gate counts our own questions too.
    """

    def __init__(self, asked, sockets, frames, models, notes, reports):
        self.asked, self._sockets, self._models, self.notes, self._reports = asked, sockets, models, notes, reports
        self.memory = FrameMemory(*frames) if frames else None
        self.gate, self.stopping, self.vision, self.last_real = Gate(), False, None, None
        self._awake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._awake[0], select.POLLIN)
        self._next_beat, self._last_step, self._steps = 0.0, monotonic(), 0

    def run(self, on_trial=False):
        """Answer until SIGTERM. Raises: EdgertError if the models cannot be served."""
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._stop)
        signal.set_wakeup_fd(self._awake[1], warn_on_full_buffer=False)
        for descriptor, name in zip(self._models, self.asked["model"]):
            self._load(f"/proc/self/fd/{descriptor}", name, on_trial)
        _write(self._reports, "ready")
        while not self.notes.takes_turn():  # another worker finishes what it answers
            self.pause(0.02)
            if self.stopping:
                return
        server = self._serve()
        self._answer()
        server.stop(DRAIN_S)

    def pause(self, seconds):
        """Sleep, but for a signal."""
        if not self.stopping:
            self._poll.poll(1000 * seconds)

    def _stop(self, number, _):
        self.stopping = True

    def _load(self, path, name, on_trial):
        """Load one model; the copy of the file that `name` was when the service looked."""
        from edgert.format import reader
        from edgert.model import load
        from edgert.serve import trial

        threads = self.asked.get("threads") or _threads(self.memory is not None)
        try:
            if on_trial:
                reader.verify(path)
                trial.check_size(path, name)
            model = load(path, threads=threads)
        except ModelFormatError as error:
            raise ModelFormatError(str(error).replace(path, name)) from error
        self.vision = Vision(model, name, self.asked, self.memory, self.gate, self.pause)
        if on_trial:
            trial.check_answers(model, name)
            trial.check_speed(self.vision.check, name, self.asked.get("fps"))
            trial.end_limit()
        self.vision.check()

    def _serve(self):
        from edgert.serve import health, page
        from edgert.serve.http import Server

        server = Server(page.application(self.vision.board, health.routes(self)), self._sockets)
        self.vision.board.leaving = server.leaving
        server.start()
        return server

    def _answer(self):
        """The loop over frames; without a camera, over nothing but time."""
        reader = Reader(self.memory)
        self._poll.register(self.memory.bell, select.POLLIN)
        while not self.stopping:
            self.vision.governor.wait()
            frame = reader.take()
            if frame is None:
                self.pause(BEAT_S)
            else:
                self.vision(frame)
                self.last_real = monotonic()
            self._look_after(monotonic())

    def _look_after(self, now):
        """Report results; where nobody asks anything, ask the models something."""
        if now < self._next_beat and not self._is_first():
            return
        if self.gate.steps != self._steps:
            self._steps, self._last_step = self.gate.steps, now
        elif now - self._last_step > PROBE_S and self.gate.busy_since is None:
            self.vision.check()
        self._next_beat = now + BEAT_S
        _write(self._reports, f"beat {self.gate.steps} {self.vision.timings.count} {self.status()}")

    def _is_first(self):
        """Whether the first answer has just been given: the supervisor waits for it."""
        return self.vision.timings.count == 1

    def status(self):
        """One line for people: what it does, how fast, how warm."""
        return self.vision.status()


def _threads(has_camera):
    """With a camera one core is left to it and to the page, where there are several."""
    cores = len(os.sched_getaffinity(0))
    return max(1, cores - 1) if has_camera else None
