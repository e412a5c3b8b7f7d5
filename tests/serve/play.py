"""A Succession played on a made clock, with workers that are only words."""

import os

from edgert.serve import succession
from edgert.serve.generation import Generation
from edgert.serve.notes import Notes
from edgert.serve.store import Store
from edgert.serve.succession import Succession


class FakeWorker:
    """Has the face of workers.Worker; a test says what happens to it."""

    def __init__(self, generation, on_trial):
        self.generation, self.on_trial = generation, on_trial
        self.ready = not on_trial
        self.stopping = self.hangs = self.is_unfit = False
        self.results = self.real = self.silent_s = 0
        self.code, self.failure, self.reports = None, None, 0

    def tick(self, elapsed_s):
        return bool(self.results)

    def has_ended(self):
        return self.code is not None

    def stop(self):
        self.stopping = True

    def kill(self):
        self.code = -9
        return True

    def dies(self, code=-11, failure=None):
        self.code, self.failure = code, failure
        self.is_unfit = failure is None or failure[0] == 3
        return self

    def serves(self):
        self.ready = True
        self.results = self.real = 1
        return self

    def how_it_ended(self):
        return self.failure[1] if self.failure else f"died of {self.code}"


class Play:
    """A Succession, its workers so far, and a clock."""

    def __init__(self, folder, state=None):
        self.folder, self.workers, self.now = folder, [], 0.0
        self.notes, self.store = Notes.create(), Store(state)
        self.succession = Succession(self._start, self.notes, self.store)

    def _start(self, generation, on_trial):
        self.workers.append(FakeWorker(generation, on_trial))
        return self.workers[-1]

    def settings(self, content):
        path = self.folder / f"{content}.bin"
        path.write_text(content)
        return {"model": [str(path)]}

    def begin(self, content="first"):
        self.succession.first(self.settings(content))
        self.workers[0].serves()
        return self.pass_time(0.1, succession.PROVING_S + 1, 0.1)

    def propose(self, content):
        self.succession.propose(Generation(self.settings(content)))
        return self.workers[-1]

    def pass_time(self, *steps):
        for seconds in steps:
            self.now += seconds
            self.succession.tick(self.now, seconds)
        return self

    @property
    def serving(self):
        """The content of the model that is in charge."""
        copy = self.succession.worker.generation.copies[0]
        return os.pread(copy.descriptor, 100, 0).decode()
