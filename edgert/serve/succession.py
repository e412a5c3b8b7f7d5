"""Which worker is in charge: the first, its successors after a crash or a reload, and the way back to a good one.

A reload starts a second worker beside the one in charge. It loads, checks and times its models; only then is the old
one asked to finish, and the new one takes over. One that fails is refused and the old one never stopped. One that dies
while it proves itself is taken back.
"""

from contextlib import suppress
from time import monotonic, sleep

from edgert.errors import EdgertError, ModelFormatError
from edgert.messages import say
from edgert.serve.generation import Generation

TRIAL_S = 25.0  # for a new worker to become ready beside another
FIRST_TRIAL_S = 60.0  # for the first one
PROVING_S = 10.0  # in charge and without a fault for so long, it is good
LOOK_S = 1.0  # between two looks whether somebody wrote into a model file
KEEPING_S = 0.05  # of each tick, for writing what is to be kept
DRAIN_S = 4.0  # for the old one to finish what it answers
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


class NothingServes(EdgertError):
    """There is no worker and none can be started; exit_code and text are the first worker's."""

    def __init__(self, text, exit_code):
        super().__init__(text)
        self.exit_code = exit_code


class Succession:
    """start: function (generation, whether on trial) -> workers.Worker. notes: the Notes. store: the Store.

    worker: the one in charge, or None between two. generation: what it was started with. served: whether one ever
    became ready.
    """

    def __init__(self, start, notes, store):
        self._start, self._notes, self._store = start, notes, store
        self.worker = self.generation = self._candidate = self._next = self._good = None
        self.served, self._proven, self._answered, self._dying = False, True, False, []
        self._due = self._pause_s = self._drain_ends = self._next_look = 0.0
        self._look_s = LOOK_S
        self._keeping = None  # what the store still has to write, piece by piece

    def first(self, settings):
        """Try the first generation; where its models cannot even be read, the last good one. Raises: NothingServes."""
        try:
            self.propose(Generation(settings))
        except ModelFormatError as error:
            self._fall_back(settings, None, str(error), error.exit_code)

    def reports(self):
        """The descriptors on which workers report."""
        return [one.reports for one in (self.worker, self._candidate) if one is not None and one.code is None]

    def propose(self, generation):
        """Try a new generation. One that failed before is tried again only where nothing else could serve.

        Raises: NothingServes if it is the first, and no worker can be started for it.
        """
        why = self._store.why_bad(generation)
        if why is not None and not self._has_another(generation):
            why = None
        if self._candidate is not None:
            say(f"{self._next.name}: a newer one was asked for")
            self._drop_candidate()
        self._next, now = generation, monotonic()
        if why is not None:
            self._refuse(f"it failed before: {why}", 1, remember=False)
            return
        try:
            self._candidate = self._start(generation, True)
        except OSError as error:  # no memory, no more processes
            self._refuse(f"no worker can be started: {error.strerror}", 1, remember=False)
            return
        self._trial_ends = now + (TRIAL_S if self.worker else FIRST_TRIAL_S)

    def _has_another(self, generation):
        """Whether there are other models that could serve: those in charge, or the last good ones of an earlier run."""
        if self.generation is not None:
            return True
        good = self._store.last_good(generation.settings)
        if good is None:
            return False
        good.close()
        return good.digest != generation.digest

    def tick(self, now, elapsed_s):
        """Do what is due. Returns: whether the worker in charge gave a result. Raises: NothingServes."""
        self._dying = [worker for worker in self._dying if not worker.has_ended()]
        self._go_on_keeping()
        if self._candidate is not None:
            self._look_after_candidate(now, elapsed_s)
        if self.generation is not None and now >= self._next_look:
            self._next_look = now + self._look_s
            if self.generation.changed:
                self._is_changed(now)
        worker = self.worker
        if worker is None:
            if self.generation is not None and now >= self._due and not (self._candidate and self._candidate.ready):
                self._begin(now)
            return False
        gave = worker.tick(elapsed_s)
        if worker.code is not None:
            self._ended(worker, now)
        elif worker.hangs or (worker.stopping and now > self._drain_ends):
            if worker.kill() and not worker.stopping:
                say(f"worker: no result for {worker.silent_s:.0f} s: killed")
        elif worker.real:
            self._answered = True
            if not self._proven and now > self._proves_until:
                self._is_proven()
        return gave and self.worker is not None  # it may have ended with its last words

    def stop(self, seconds):
        """End all: the worker in charge may finish what it answers, for so long; one on trial is killed."""
        deadline, worker = monotonic() + seconds, self.worker
        if self._candidate is not None:
            self._drop_candidate()
        if worker is not None and not worker.has_ended():
            worker.stop()
            while not worker.has_ended() and monotonic() < deadline:
                sleep(0.01)
            worker.kill()

    def _look_after_candidate(self, now, elapsed_s):
        candidate = self._candidate
        candidate.tick(elapsed_s)
        if candidate.code is not None:
            self._candidate = None
            code = candidate.failure[0] if candidate.failure else 1
            self._refuse(candidate.how_it_ended(), code, candidate.is_unfit and not self._next.changed)
        elif not candidate.ready and now > self._trial_ends:
            self._drop_candidate()
            self._refuse("too slow: it was not ready in time", 1, remember=False)
        elif candidate.ready and self.worker is None:
            self._promote(now)
        elif candidate.ready and not self.worker.stopping:
            self.worker.stop()
            self._drain_ends = now + DRAIN_S

    def _promote(self, now):
        """The candidate is in charge from now on, on probation. Behind it stands the one before, if that answered."""
        first, self._keeping = self.generation is None, None
        if self._answered:
            self._set_good(self.generation)
        elif self.generation not in (None, self._good):
            self.generation.close()
        self.worker, self.generation, self.served = self._candidate, self._next, True
        self._candidate = self._next = None
        self._proven, self._answered, self._proves_until, self._look_s = False, False, now + PROVING_S, LOOK_S
        if not first:
            self._notes.text = ""
            say(f"{self.generation.name}: took over")

    def _set_good(self, generation):
        if self._good not in (None, generation):
            self._good.close()
        self._good = generation

    def _is_proven(self):
        self._proven = True
        self._set_good(self.generation)
        self._keeping = self._store.keep(self.generation)

    def _go_on_keeping(self):
        ends = monotonic() + KEEPING_S
        while self._keeping is not None:
            try:
                next(self._keeping)
            except StopIteration:
                self._keeping = None
            if monotonic() > ends:
                break
        if self._notes.store != self._store.trouble:
            self._notes.store = self._store.trouble

    def _is_changed(self, now):
        """Somebody wrote into a file that the worker in charge maps: it may give wrong answers, or die.

        The store's copy of the same bytes serves at once. Where there is none, the file is tried as it is now: that
        takes over if it is whole and right.
        """
        what = f"model: {' and '.join(self.generation.changed)} was changed while it served"
        kept = self._store.same(self.generation)
        if kept is not None:
            self._tell(f"{what}; the copy of it in {self._store.folder} serves")
            self._replace(kept)
        elif self._candidate is None:
            if self._look_s == LOOK_S:
                self._tell(f"{what}, and no copy of it was kept; the file is tried again and again")
            self._look_s = min(2 * self._look_s, LONGEST_PAUSE_S)
            with suppress(ModelFormatError):
                self.propose(Generation(self.generation.asked))

    def _replace(self, generation):
        """In the place of the generation in charge another one of the same bytes, from now on."""
        before, self.generation, self._keeping = self.generation, generation, None
        generation.asked = before.asked
        if self._good is before:
            self._good = generation
        before.close()
        if self.worker is not None and self.worker.kill():
            self._proven = True  # its end is not the model's fault

    def _begin(self, now):
        if self.generation.changed:
            self._is_changed(now)
        if self.generation.changed:
            self._pause(now, "its model file was changed while it served")
            return
        try:
            self.worker = self._start(self.generation, False)
        except OSError as error:  # no memory, no more processes: it may be better later
            self._pause(now, f"cannot be started: {error.strerror}")

    def _pause(self, now, why):
        """Before the next worker; the longer, the more often it was in vain."""
        self._pause_s = min(max(FIRST_PAUSE_S, 2 * self._pause_s), LONGEST_PAUSE_S)
        self._due = now + self._pause_s
        say(f"worker: {why}; starts again in {self._pause_s:g} s")

    def _ended(self, worker, now):
        """The worker in charge is gone: a successor at once where it had given results, else after growing pauses."""
        self.worker = None
        if worker.stopping and self._candidate is not None:
            return
        why = worker.how_it_ended()
        if not self._proven and self._good is not None:
            self._go_back(worker, why)
            return
        self.served |= worker.ready
        if worker.failure and not self.served:
            raise NothingServes(why, worker.failure[0])
        self._notes.restarts += 1
        if worker.real:
            self._pause_s, self._due = 0.0, now
            say(f"worker: {why}; starts again")
        else:
            self._pause(now, why)

    def _go_back(self, worker, why):
        """From a generation on probation to the last good one."""
        self._tell_refusal(self.generation.name, why)
        if worker.is_unfit and not self.generation.changed:
            self._store.remember_bad(self.generation, why)
        self.generation.close()
        self.generation, self._proven, self._answered, self._due = self._good, True, True, 0.0
        self._notes.restarts += 1

    def _refuse(self, why, exit_code, remember=True):
        """The next generation will not be: who is in charge goes on, or the last good one of an earlier run begins."""
        refused, self._next = self._next, None
        if self.generation is not None and not self.generation.changed:
            self._tell_refusal(refused.name, why)
        if remember:
            self._store.remember_bad(refused, why)
        refused.close()
        if self.generation is None:
            self._fall_back(refused.settings, refused.digest, why, exit_code)

    def _fall_back(self, settings, digest, why, exit_code):
        """Begin with the last good generation of an earlier run."""
        good = self._store.last_good(settings)
        if good is None or good.digest == digest:
            raise NothingServes(why, exit_code)
        self._tell_refusal(" and ".join(settings["model"]), why)
        self.generation = self._good = good
        good.asked = settings

    def _tell_refusal(self, name, why):
        self._tell(f"model: {name} was refused, the last good one serves: {why.removeprefix(f'{name}: ')}")

    def _tell(self, text):
        """In /health and in the journal."""
        self._notes.text = text
        say(text)

    def _drop_candidate(self):
        self._candidate.kill()
        self._dying.append(self._candidate)
        self._candidate = None
