"""What a service takes: a record a second of all its processes, kept in memory, one line a minute to the journal."""

import os

from edgert.messages import say
from edgert.monitor import Log, Monitor, Sampler, check_log_name

LINE_EVERY = 60


class Family(Monitor):
    """A Monitor of several processes: CPU, resident memory and threads are their sums.

    pids: function to the ids of those that run now, this one among them.
    """

    def __init__(self, pids):
        super().__init__()
        self._pids, self._known = pids, {}

    def _process_fields(self):
        known, fields = self._known, {"cpu_percent": 0.0, "rss_mb": 0.0, "threads": 0}
        self._known = {}
        for pid in self._pids():
            try:
                process = self._known[pid] = known.get(pid) or self._psutil.Process(pid)
                with process.oneshot():
                    fields["cpu_percent"] += process.cpu_percent()
                    fields["rss_mb"] += process.memory_info().rss / (1 << 20)
                    fields["threads"] += process.num_threads()
            except self._psutil.Error:  # it ended just now
                self._known.pop(pid, None)
        return {name: round(value, 2) for name, value in fields.items()}


class Resources:
    """Records of the service that `worker` belongs to, once started: the last ten minutes, newest last."""

    def __init__(self, worker):
        self._worker, self._count, self._path = worker, 0, worker.asked.get("log_resources")
        self._sampler = self._trouble = None

    def start(self):
        """Begin to take records. Raises: InputError if the settings name a file that can be no log."""
        if self._path is not None:
            check_log_name(self._path)
        notes = self._worker.notes
        family = Family(lambda: [pid for pid in (os.getppid(), os.getpid(), notes.camera_pid) if pid])
        self._sampler = Sampler(monitor=family, taken=self._taken)
        self._sampler.__enter__()

    def write(self):
        """From now on into the file that the settings name too, behind what the worker before this one wrote.

        A disk that takes nothing is no reason not to answer: `reasons` says so.
        """
        if self._path is None:
            return
        try:
            self._sampler.log = Log(self._path, append=True)
        except OSError as error:
            self._trouble = f"{self._path}: {error.strerror}; no records are written there"
            say(self._trouble)

    def reasons(self):
        """What is not as it should be, in words."""
        log = self._sampler.log
        trouble = self._trouble if log is None else log.trouble
        found = [] if trouble is None else [f"resource log: {trouble}"]
        if self._worker.vision is None and (now := troubles_now(self.newest())):  # with a camera its governor says so
            found.append(f"board: {', '.join(now)}")
        return found

    def answered(self, elapsed_ns):
        """One more answer, to a frame or a prompt, which took this long."""
        self._sampler.answered(elapsed_ns)

    def records(self):
        """The records of the last ten minutes, oldest first."""
        return list(self._sampler.records)

    def newest(self):
        """The newest record, or None."""
        records = self._sampler.records
        return records[-1] if records else None

    def _taken(self, record):
        self._count += 1
        if self._worker.events is not None:
            self._worker.events.tell(record)
        if self._count % LINE_EVERY == 0:
            say(line(record, self._worker.status()))


def troubles_now(record):
    """What the firmware complained of when a record was taken, without what is over."""
    said = (record or {}).get("trouble") or ""
    return [what for what in said.split("; ") if what and not what.endswith(" since boot")]


def line(record, status):
    """'29.9 frames a second; 41 % CPU, 62 MB, 51 degrees, under-voltage'"""
    parts = [f"{record['cpu_percent']:.0f} % CPU", f"{record['rss_mb']:.0f} MB"]
    if record["trouble"]:
        parts.append(record["trouble"])
    return f"{status}; {', '.join(parts)}"
