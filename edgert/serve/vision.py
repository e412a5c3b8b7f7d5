"""A model that watches a camera: the frame in, what was seen out to the page and to whoever else wants it."""

from edgert.errors import EdgertError
from edgert.governor import Governor
from edgert.messages import say
from edgert.serve.board import Board
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
    """Called with each frame. name: of the model's file. asked: the settings. memory: the FrameMemory. pause: how to
    sleep.

    Raises: InputError if the model does not take frames.
    """

    def __init__(self, model, name, asked, memory, gate, pause):
        self.name, self.model, self.gate, self.camera = name, model, gate, Camera(memory)
        self.watcher = Watcher(model, asked.get("score"))
        self.timings = Timings()
        self.governor = Governor(asked.get("fps"), pause=pause, say=say)
        self.board = Board(self.watcher, self.timings, asked["camera"], self.camera, self.governor)
        self.sinks = [self.board.put]

    def __call__(self, frame):
        with self.gate.frame:
            seen = self.watcher(frame)
        for sink in self.sinks:
            sink(seen)
        self.timings.add(seen.ms)

    def check(self):
        """Answer the file's golden input, or zeros. Raises: EdgertError if an answer is not the file's."""
        for inputs, expected in self.model.metadata.golden[:1] or [(self._zeros(), None)]:
            with self.gate.frame:
                outputs = self.model.run_buffers(inputs)
            if expected is not None and [bytes(want) for want in expected] != [bytes(got) for got in outputs]:
                raise EdgertError("the model's golden answer did not come out: damaged weights, memory or installation")

    def _zeros(self):
        return [bytes(tensor.nbytes) for tensor in self.model.inputs]

    def status(self):
        """'29.9 frames a second, 51 degrees'"""
        state = self.camera.state
        warm = "" if self.governor.temp_c is None else f", {self.governor.temp_c:.0f} degrees"
        camera = "" if state == "ok" else f", camera: {state}"
        return f"{self.timings.fps():.1f} frames a second{warm}{camera}"
