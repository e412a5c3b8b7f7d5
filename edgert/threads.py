"""How many threads one answer may use: what the caller says, else EDGERT_THREADS, else one per physical core."""

import os

from edgert.errors import InputError

MAX_THREADS = 256  # more than an operator of a small model can be split into; a larger number is a mistake


def thread_count(threads=None):
    """The number of threads to use.

    threads: a whole number of 1 or more; None: the environment variable EDGERT_THREADS, and without that the physical
    cores. Raises: InputError.
    """
    if threads is not None:
        return _checked("threads", threads, threads if type(threads) is int else 0)
    text = os.environ.get("EDGERT_THREADS", "").strip()
    if text:
        return _checked("EDGERT_THREADS", text, int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0)
    return min(physical_cores(), MAX_THREADS)


def _checked(name, given, number):
    if 1 <= number <= MAX_THREADS:
        return number
    raise InputError(f"{name} is {given!r}; give a whole number from 1 to {MAX_THREADS}")


def physical_cores(root=""):
    """Physical cores this process may use: those of its affinity mask, hardware threads that share one counted once,
    and no more than its control group's share of processor time.

    root: put in front of the paths of /proc and /sys, for tests.
    """
    cores = {_siblings(cpu, root) for cpu in os.sched_getaffinity(0)}
    quota = _quota(root)
    return max(1, len(cores) if quota is None else min(len(cores), quota))


def _siblings(cpu, root):
    """What all hardware threads of the core of `cpu` have in common: the list of them, or `cpu` if it is not told."""
    return _read(f"{root}/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or str(cpu)


def _quota(root):
    """Whole cores that the control groups of this process grant, or None.

    Rounded down: threads that wait for each other in a busy loop suffer most from being stopped.
    Source: Linux kernel documentation, Control Group v2 (cpu.max) and CFS Bandwidth Control (cpu.cfs_quota_us).
    """
    granted = [quota for files in _limit_files(root) if (quota := _granted(files)) is not None]
    return min(granted, default=None)


def _limit_files(root):
    """The files that may hold a limit on this process, a tuple of paths for each control group."""
    for line in _read(f"{root}/proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = f"{root}/sys/fs/cgroup/cpu" if controllers else f"{root}/sys/fs/cgroup"
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if controllers else ("cpu.max",)
        while True:
            yield tuple([f"{top}{path.rstrip('/')}/{name}" for name in names])
            if path in ("", "/"):
                break
            path = path.rpartition("/")[0]


def _granted(files):
    words = " ".join([_read(file) for file in files]).split()
    if len(words) != 2 or not (words[0].isdigit() and words[1].isdigit()) or int(words[1]) == 0:
        return None  # no such file, "max" or -1: no limit here
    return int(words[0]) // int(words[1])


def _read(path):
    try:
        with open(path) as file:
            return file.read(4096).strip()
    except (OSError, ValueError):
        return ""
