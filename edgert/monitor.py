"""What this process and its machine are doing: one flat record a moment, for logs, plots, metrics and status lines.

    monitor = Monitor()
    monitor.answered(elapsed_ns)        # after each answer, from any thread
    monitor.record()                    # {'time_s': ..., 'cpu_percent': ..., 'fps': ..., 'trouble': ''}

A record covers the time since the one before. What a machine does not tell is None, so a log has the same columns
everywhere. `Sampler` takes a record a second into a ring in memory and, if asked, into a file.
"""

import json
import os
import threading
import time
from array import array
from collections import deque
from contextlib import suppress
from io import FileIO, StringIO

from edgert import machine
from edgert.errors import InputError
from edgert.messages import say

FIELDS = {
    "time_s": "when the record was taken, seconds since 1970",
    "elapsed_s": "the time that it covers",
    "cpu_percent": "CPU of this process, 100 for each core that it keeps busy",
    "rss_mb": "resident memory of this process, MiB",
    "threads": "threads of this process",
    "available_mb": "memory that programs can still get, MiB",
    "cma_free_mb": "free memory for cameras and video (CMA), MiB",
    "temperature_c": "of the CPU, degrees Celsius",
    "clock_mhz": "clock of the first core",
    "trouble": "what the firmware complains of, in words",
    "answers": "answers in this time",
    "fps": "answers a second",
    "latency_p50_ms": "half of the answers took no longer",
    "latency_p95_ms": "95 of 100 answers took no longer",
    "latency_p99_ms": "99 of 100 answers took no longer",
}
CORE = "core{}_percent"  # one more field for each core of the machine: how busy it is, whoever keeps it so

_MIB = 1 << 20
_LONGEST_LINE = 65_536  # of a log: a record of 1,000 cores has half of that
_KEPT_LATENCIES = 100_000  # of one record; more answers are counted, not kept
_SHORTEST_S = 0.5  # below, the kernel's count of ticks says nothing of a core
_THROTTLE_EVERY_S = 5.0  # asking the firmware may start a process


class Monitor:
    """Counts answers and takes records. Any thread may call it.

    root, vcgencmd: as in `machine`, for tests that bring their own machine.
    """

    def __init__(self, root="", vcgencmd=None):
        import psutil

        self._psutil = psutil
        self._process = psutil.Process()
        self._root, self._vcgencmd = root, vcgencmd
        self._lock = threading.Lock()
        self._latencies, self._count = array("q"), 0
        self._throttled, self._asked = None, float("-inf")
        self._since = time.monotonic()
        self._process.cpu_percent()  # from now on: the first call of each only remembers the time
        psutil.cpu_percent(percpu=True)

    def answered(self, elapsed_ns):
        """One more answer, which took this long."""
        with self._lock:
            self._count += 1
            if len(self._latencies) < _KEPT_LATENCIES:
                self._latencies.append(elapsed_ns)

    def record(self):
        """What happened since the last record, as a dict of FIELDS and one CORE for each core."""
        with self._lock:
            latencies, count, since = sorted(self._latencies), self._count, self._since
            self._latencies, self._count, self._since = array("q"), 0, time.monotonic()
            elapsed_s = self._since - since
        cores = self._psutil.cpu_percent(percpu=True)
        return {
            "time_s": round(time.time(), 3),
            "elapsed_s": round(elapsed_s, 3),
            **self._process_fields(),
            **self._machine_fields(),
            "answers": count,
            "fps": round(count / elapsed_s, 2) if elapsed_s > 0 else 0.0,
            **{f"latency_p{share}_ms": _milliseconds(latencies, share) for share in (50, 95, 99)},
            **{CORE.format(i): share if elapsed_s > _SHORTEST_S else None for i, share in enumerate(cores)},
        }

    def _process_fields(self):
        with self._process.oneshot():
            return {
                "cpu_percent": self._process.cpu_percent(),
                "rss_mb": round(self._process.memory_info().rss / _MIB, 2),
                "threads": self._process.num_threads(),
            }

    def _machine_fields(self):
        memory = machine.memory_bytes(self._root)
        return {
            "available_mb": round(memory[1] / _MIB, 1) if memory else None,
            "cma_free_mb": _mib(machine.cma_free_bytes(self._root)),
            "temperature_c": machine.temperature_c(self._root),
            "clock_mhz": machine.clock_mhz(self._root),
            "trouble": self._trouble(),
        }

    def _trouble(self):
        now = time.monotonic()
        if now - self._asked >= _THROTTLE_EVERY_S:
            self._throttled, self._asked = machine.throttled(self._root, self._vcgencmd), now
        return None if self._throttled is None else trouble_text(self._throttled)


def trouble_text(word):
    """A throttle word in words: 'under-voltage; throttled since boot', '' where all is well."""
    states = machine.throttle_states(word)
    return "; ".join([what if now else f"{what} since boot" for _, what, now in states])


def percentile(ordered, share):
    """The smallest of the ordered values that `share` of them (0..1) do not exceed (nearest rank)."""
    rank = -(-len(ordered) * share // 1)  # ceil
    return ordered[max(0, int(rank) - 1)]


def _milliseconds(ordered, percent):
    return round(percentile(ordered, percent / 100) / 1e6, 4) if ordered else None


def _mib(nbytes):
    return None if nbytes is None else round(nbytes / _MIB, 1)


class Sampler:
    """Takes a record every `interval` seconds, as a context manager; the last one when it is left.

    path: a .jsonl or .csv file to write them to, as they come; None: only the ring of the last `keep` records. taken:
    called with each record. log: the Log that is written to, or None; it may be set at any time.
    Raises: InputError for another suffix or an interval that is no positive number; OSError if the file cannot be made.
    """

    def __init__(self, path=None, interval=1.0, keep=600, monitor=None, taken=None):
        if not 0 < interval < float("inf"):
            raise InputError(f"interval is {interval}; give seconds above 0")
        self.monitor = monitor or Monitor()
        self.records = deque(maxlen=keep)
        self._interval, self._taken = interval, taken or (lambda record: None)
        self.log = Log(path) if path is not None else None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="edgert-monitor", daemon=True)

    def answered(self, elapsed_ns):
        """One more answer, which took this long."""
        self.monitor.answered(elapsed_ns)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        if self.log:
            self.log.close()

    def _loop(self):
        stopped = False
        while not stopped:
            stopped = self._stop.wait(self._interval)
            self._sample()

    def _sample(self):
        record = self.monitor.record()
        self.records.append(record)
        if self.log:
            self.log.write(record)
        self._taken(record)


class Log:
    """A resource log, .jsonl or .csv. append: go on behind what is there. trouble: why nothing is written, or None.

    Each record is written whole or not at all. A disk that takes no more is said in one line, and ends the log alone.
    Raises: InputError for another suffix; OSError if the file cannot be made.
    """

    def __init__(self, path, append=False):
        check_log_name(path)
        self.path, self.trouble, self._as_csv = os.fspath(path), None, os.fspath(path).endswith(".csv")
        self._file = FileIO(path, "ab" if append else "wb")
        self._has_header = self._size() > 0

    def write(self, record):
        if self._file is None:
            return
        line = self._csv(record) if self._as_csv else json.dumps(record) + "\n"
        try:
            self._put(line.encode())
        except OSError as error:
            self.close()
            self.trouble = f"{self.path}: {error.strerror}; no more records are written there"
            say(self.trouble)

    def close(self):
        """May be called twice."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # a network's disk may say only now that it is full
                file.close()

    def _put(self, data):
        end = self._size()
        try:
            written = self._file.write(data)
            if written < len(data):  # the disk was full within the record; what is missing says why
                self._file.write(data[written:])
        except OSError:
            with suppress(OSError):
                self._file.truncate(end)
            raise

    def _size(self):
        return os.fstat(self._file.fileno()).st_size

    def _csv(self, record):
        import csv

        text = StringIO(newline="")
        writer = csv.DictWriter(text, record)
        if not self._has_header:
            writer.writeheader()
            self._has_header = True
        writer.writerow(record)
        return text.getvalue()


def check_log_name(path):
    """Raises: InputError if the name of a log says neither .jsonl nor .csv."""
    if not os.fspath(path).endswith((".jsonl", ".csv")):
        raise InputError(f"{path}: a resource log is written as .jsonl or .csv; give a name that ends so")


def read_log(path):
    """The records of a log that a Sampler wrote, as dicts of numbers, words and None.

    Raises: InputError naming the line that is no record.
    """
    check_log_name(path)
    if not os.path.isfile(path):  # a device may have no end
        raise InputError(f"{path}: {'not a regular file' if os.path.exists(path) else 'no such file'}")
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        lines = _lines(file, path)
        records = list(_csv_records(lines, path) if os.fspath(path).endswith(".csv") else _json_records(lines, path))
    if not records:
        raise InputError(f"{path}: no records in it")
    return records


def _lines(file, path):
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise InputError(f"{path}: line {number} is no record of a resource log: over {_LONGEST_LINE:,} characters")
        yield line


def _json_records(lines, path):
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        yield _checked(record, f"{path}: line {number}")


def _csv_records(lines, path):
    import csv

    try:
        for number, row in enumerate(csv.DictReader(lines), 2):
            record = {key: _value(key, text) for key, text in row.items() if key and isinstance(text, str)}
            yield _checked(record, f"{path}: line {number}")
    except csv.Error as error:
        raise InputError(f"{path}: {error}") from None


def _value(key, text):
    if text == "":
        return "" if key == "trouble" else None
    try:
        return text if key == "trouble" else float(text)
    except ValueError:
        return None


def _checked(record, where):
    time_s = record.get("time_s") if isinstance(record, dict) else None
    if isinstance(time_s, bool) or not isinstance(time_s, (int, float)) or time_s != time_s:
        raise InputError(f"{where} is no record of a resource log: it has no time_s")
    return record
