"""A model that watches a camera: the frame in, what was seen out to the page and to whoever else wants it."""

from time import monotonic

from edgert.errors import EdgertError
from edgert.governor import Governor
from edgert.messages import say
from edgert.serve.web.board import Board
from edgert.serve.web.metrics import Durations
from edgert.sources.shared import Reader
from edgert.stream import Timings, Watcher


class Camera:
    """What the page shows of a camera that another process keeps; reads its FrameMemory."""

    def __init__(self, memory):
        self._memory = memory

    captured = property(lambda self: self._memory.captured)
    dropped = property(lambda self: self._memory.dropped)
    reopened = property(lambda self: self._memory.reopened)
    state = property(lambda self: self._memory.trouble or self._memory.state)


class Vision:
    """name: of the model's file. asked: the settings. memory: the FrameMemory. gate: the Gate. answered: is told the
    nanoseconds of each answer. pause: how to sleep.

    answers: frames answered. sinks: functions that get each Seen. check_s: what check() takes.
    Raises: InputError if the model does not take frames.
    """

    def __init__(self, model, name, asked, memory, gate, answered, pause):
        self.name, self.model, self._gate, self.camera = name, model, gate, Camera(memory)
        self.task, self.bell, self._reader = model.metadata.task, memory.bell, Reader(memory)
        self.watcher = Watcher(model, asked.get("score"))
        self.timings, self.durations, self.last_answer = Timings(), Durations(), None
        self.governor = Governor(asked.get("fps"), pause=pause, say=say)
        self.board = Board(self.watcher, self.timings, asked["camera"], self.camera, self.governor)
        self.sinks, self._tell, self.check_s = [self.board.put], answered, 0.0

    @property
    def answers(self):
        return self.timings.count

    def look(self):
        """Answer the newest frame. Returns: whether there was one."""
        frame = self._reader.take()
        if frame is None:
            return False
        with self._gate.frame:
            seen = self.watcher(frame)
        for sink in self.sinks:
            sink(seen)
        self.timings.add(seen.ms)
        elapsed_ns = round(seen.ms["total"] * 1e6)
        self.durations.add(elapsed_ns)
        self._tell(elapsed_ns)
        self.last_answer = monotonic()
        return True

    def check(self):
        """Answer the file's golden input, or zeros. Raises: EdgertError if an answer is not the file's."""
        for inputs, expected in self.model.metadata.golden[:1] or [(self._zeros(), None)]:
            with self._gate.frame:
                outputs = self.model.run_buffers(inputs)
            if expected is not None and [bytes(want) for want in expected] != [bytes(got) for got in outputs]:
                raise EdgertError(f"{self.name}: a golden answer did not come out: damaged weights or memory")

    def slowest_step_s(self):
        return self.check_s

    def routes(self):
        from edgert.serve.web import page

        return page.routes(self.board)

    def close(self, seconds):
        self.board.close()

    def reasons(self):
        """What is not as it should be, in words."""
        found, troubles = [], self.governor.troubles()
        if self.camera.state != "ok":
            found.append(f"camera: {self.camera.state}")
        if troubles:
            found.append(f"board: {', '.join(troubles)}")
        return found

    def describe(self):
        camera = self.camera
        return {
            "frames": {"answers": self.answers, "fps": round(self.timings.fps(), 2)},
            "camera": {"state": camera.state, "captured": camera.captured, "dropped": camera.dropped,
                       "reopened": camera.reopened},
        }  # fmt: skip

    def status(self):
        """'29.9 frames a second, 51 degrees'"""
        state = self.camera.state
        warm = "" if self.governor.temp_c is None else f", {self.governor.temp_c:.0f} degrees"
        camera = "" if state == "ok" else f", camera: {state}"
        return f"{self.timings.fps():.1f} frames a second{warm}{camera}"

    def _zeros(self):
        return [bytes(tensor.nbytes) for tensor in self.model.inputs]
