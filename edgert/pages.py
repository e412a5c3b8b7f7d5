"""The weights of a large model in huge pages, where that pays.

A file is mapped in pages of 4 or 16 KiB, and a core fetches ahead only within a page: streaming 128 MB of weights for
each token reaches 23 GB/s from a mapped file and 34 GB/s from huge pages (one x86 core). So the mapping of a large
model is moved into huge pages, a few with each token, under the same addresses: the first token waits for nothing.
Moved pages are as much memory as mapped ones that are in use, but the system cannot drop them when it is short; hence
only where four times as much is free. EDGERT_HUGE_PAGES=0: never, =1: whatever the size.
"""

import os

try:
    from edgert.kernels.native.program import HUGE_PAGE, address_of, into_huge_pages
except ImportError:  # nothing is compiled
    into_huge_pages = None

LEAST_BYTES = 32 * 2**20  # smaller models stay in caches
MOST_BYTES = 32 * 2**30  # each page is a mapping of its own, of which a process may have 65,530
TIMES_FREE = 4
STEP = 8  # pages moved at once: 16 MB, a few milliseconds


class Move:
    """The pages of `mapped` that are still to be moved; `step()` moves the next few."""

    __slots__ = ("at", "end", "mapped")

    def __init__(self, mapped):
        start = address_of(mapped)
        self.mapped = mapped  # must not go away
        self.at = -(-start // HUGE_PAGE) * HUGE_PAGE
        self.end = (start + len(mapped)) // HUGE_PAGE * HUGE_PAGE

    def step(self):
        """Whether pages are left after this. Nobody may write to the mapping meanwhile; reading is fine."""
        stop = min(self.at + STEP * HUGE_PAGE, self.end)
        if self.at >= stop or not into_huge_pages(self.at, stop - self.at):
            return False
        self.at = stop
        return stop < self.end


def move_of(mapped):
    """The `Move` of a mapped file, None where it does not pay or the system has no huge pages."""
    return Move(mapped) if into_huge_pages is not None and _pays(len(mapped)) else None


def _pays(nbytes):
    wish = os.environ.get("EDGERT_HUGE_PAGES", "")
    if wish == "0" or nbytes > MOST_BYTES:
        return False
    modes = _first_line("/sys/kernel/mm/transparent_hugepage/enabled")
    if "[madvise]" not in modes and "[always]" not in modes:
        return False
    return wish == "1" or (nbytes >= LEAST_BYTES and _available_bytes() >= TIMES_FREE * nbytes)


def _available_bytes():
    try:
        with open("/proc/meminfo", "rb") as file:
            for line in file:
                if line.startswith(b"MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _first_line(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.readline()
    except OSError:
        return ""
