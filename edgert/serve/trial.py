"""What a model must show before it is put in charge: whole, right, fast and small enough."""

import os
import resource
from time import perf_counter_ns

from edgert import machine
from edgert.errors import EdgertError, InputError, ModelFormatError

RUNS = 5
SLOWEST_S = 2.0  # of one answer, where no frame rate was promised
_SHARE = 0.8  # of the memory that is left


class Unfit(ModelFormatError):
    """This file cannot serve here, today or tomorrow."""


class NotNow(EdgertError):
    """This file cannot serve here as things are. It is not remembered: a board that is busy, hot or full calms down."""


def check_size(path, name):
    """Refuse a file that is larger than the memory that is left, and limit what loading may take.

    Raises: NotNow.
    """
    left = memory_left()
    size = os.stat(path).st_size
    if left is None:
        return
    if size > _SHARE * left:
        raise NotNow(f"{name}: too big: {size:,} bytes, and {left:,} bytes of memory are left")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = int(_used() + _SHARE * left)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard < 0 else min(most, hard), hard))


def end_limit():
    """What comes after loading is not limited: it was measured."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def check_answers(model, name):
    """All golden answers of a model must come out bit for bit. Raises: Unfit."""
    for number, (inputs, expected) in enumerate(model.metadata.golden):
        got = [bytes(output) for output in model.run_buffers(inputs)]
        if got != [bytes(want) for want in expected]:
            raise Unfit(f"{name}: golden answer {number} does not come out on this machine")


def check_speed(answer, name, fps=None):
    """`answer()` gives one answer; half of a few must take no longer than was promised. Raises: NotNow."""
    limit_s = 1 / fps if fps else SLOWEST_S
    times = sorted(elapsed_s(answer) for _ in range(RUNS))
    if times[RUNS // 2] > limit_s:
        promised = f"{fps:g} frames a second" if fps else f"one in {SLOWEST_S:g} s"
        raise NotNow(f"{name}: too slow: an answer takes {1000 * times[RUNS // 2]:.0f} ms; promised: {promised}")


def elapsed_s(answer):
    """Seconds that one call takes. Raises: Unfit if the model does not answer."""
    started = perf_counter_ns()
    try:
        answer()
    except InputError as error:
        raise Unfit(f"it does not answer: {error}") from error
    return (perf_counter_ns() - started) / 1e9


def memory_left():
    """Bytes that this process may still take: of the machine's, or of its control group's; None if nothing tells."""
    memory = machine.memory_bytes()
    lefts = [memory[1]] if memory else []
    limit, used = _group("memory.max"), _group("memory.current")
    if limit is not None and used is not None:
        lefts.append(max(0, limit - used))
    return min(lefts, default=None)


def _group(name):
    """A number of this process's control group (version 2), or None."""
    try:
        with open("/proc/self/cgroup", encoding="ascii", errors="replace") as file:
            path = file.read().strip().rpartition("::")[2]
        with open(f"/sys/fs/cgroup{path}/{name}", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _used():
    """Bytes of private memory that this process has now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[5]) * resource.getpagesize()
