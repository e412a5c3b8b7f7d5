"""Kills parts of a running service in turn and measures how long it takes to answer again, and what is left behind."""

import os
import signal
import time


def kill_in_turn(service, count, random, parts=("worker", "camera")):
    """SIGKILL each part in turn, `count` times in all, at random moments.

    Returns: {part: [seconds until it answered again]}.
    """
    found = {part: [] for part in parts}
    for number in range(count):
        part = parts[number % len(parts)]
        time.sleep(random.random() * 0.2)
        found[part].append(kill(service, part))
    return found


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
