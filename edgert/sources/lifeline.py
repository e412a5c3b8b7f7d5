"""Processes that belong to another: started with a few descriptors, and ended by the kernel when the other is gone."""

import fcntl
import os
import signal
import sys


def make():
    """(end for the children, end to keep): when the kept one is closed, with its process at the latest, they end."""
    return os.pipe2(os.O_CLOEXEC)


def hold(end):
    """End this process, by SIGIO, when nobody keeps the other end any more; also where it is stuck in a driver."""
    signal.signal(signal.SIGIO, signal.SIG_DFL)  # which is to end
    fcntl.fcntl(end, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(end, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    try:
        if not os.read(end, 1):  # it was closed before the kernel was told
            raise SystemExit(1)
    except BlockingIOError:
        pass


def start(code, descriptors, words):
    """Start Python on `code`; its sys.argv[1:] are the descriptors' numbers there, then `words`. Returns the pid.

    Not by fork: a copy of a process with threads may hang in the first lock it takes.
    """
    first = max(descriptors) + 1  # so that no number is overwritten before it was copied
    numbers = range(first, first + len(descriptors))
    actions = [(os.POSIX_SPAWN_DUP2, *pair) for pair in zip(descriptors, numbers)]
    command = [sys.executable, "-c", code, *map(str, numbers), *words]
    # A group of its own: Ctrl-C at a terminal is for the process that started it.
    return os.posix_spawn(sys.executable, command, os.environ, file_actions=actions, setpgroup=0)
