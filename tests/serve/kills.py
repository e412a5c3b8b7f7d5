"""Kills parts of a running service in turn and measures how long it takes to answer again, and what is left behind."""

import os
import signal
import threading
import time


def kill_in_turn(service, count, random, parts=("worker", "camera")):
    """SIGKILL each part in turn, `count` times in all, at random moments.

    Returns: {part: [seconds until it answered again]}. A time in which this whole machine stood still is no part's, and
    left out.
    """
    found = {part: [] for part in parts}
    with Standstills() as standstills:
        for number in range(count):
            part = parts[number % len(parts)]
            time.sleep(random.random() * 0.2)
            before = standstills.count
            seconds = kill(service, part)
            if standstills.count == before:
                found[part].append(seconds)
    return found


class Standstills:
    """Counts how often this process did not run for a second; a context manager."""

    def __init__(self):
        self.count, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()

    def _watch(self):
        last = time.monotonic()
        while not self._stop.wait(0.05):
            now = time.monotonic()
            self.count += now - last > 1
            last = now


def kill(service, part, number=signal.SIGKILL, seconds=30):
    """Send a signal to one part. Returns: seconds until an answer of its successor to a frame was seen over HTTP."""
    before, pid = _health(service), service.parts()[part]
    started = time.monotonic()
    os.kill(pid, number)
    service.until(lambda: _answers_again(service, part, before, started), seconds, every=0.01)
    return time.monotonic() - started


def left_behind(service):
    """What a service holds now: descriptors and threads of its supervisor, its children, shared memory with a name,
    sockets at its port."""
    folder = f"/proc/{service.pid}"
    with open(f"{folder}/task/{service.pid}/children") as file:
        children = len(file.read().split())
    with open("/proc/net/tcp") as file:
        listening = sum(f":{service.port:04X} 00000000:0000 0A" in line for line in file)
    return {
        "descriptors": len(os.listdir(f"{folder}/fd")),
        "threads": len(os.listdir(f"{folder}/task")),
        "children": children,
        "shared memory": len(os.listdir("/dev/shm")),
        "listening": listening,
    }


def _health(service):
    return service.until(service.health, every=0.01)


def _answers_again(service, part, before, started):
    health = service.health()
    if not health or health["seconds_since_answer"] is None:
        return False
    if part == "worker":
        again = health["worker_restarts"] > before["worker_restarts"]
    else:
        again = health["camera"]["reopened"] > before["camera"]["reopened"] and health["camera"]["state"] == "ok"
    return again and time.monotonic() - health["seconds_since_answer"] > started
