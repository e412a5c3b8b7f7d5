"""The weights of a large model in huge pages, where that pays.

A file is mapped in pages of 4 or 16 KiB, and a core fetches ahead only within a page: streaming 128 MB of weights for
each token reaches 23 GB/s from a mapped file and 34 GB/s from huge pages (one x86 core). So the file of a large model
is read into memory that the system backs with huge pages. That takes the memory which mapping would take in the end,
but the system cannot drop it when it is short; hence only where four times as much is free. EDGERT_HUGE_PAGES=0 always
maps, =1 always reads.
"""

import mmap
import os

LEAST_BYTES = 32 * 2**20  # smaller models stay in caches
TIMES_FREE = 4


def load(fd, nbytes):
    """The first `nbytes` of an open file as a buffer: read into huge pages if that pays, else mapped."""
    if _pays(nbytes):
        try:
            return _read(fd, nbytes)
        except (OSError, MemoryError):
            pass  # mapping needs no memory
    return mmap.mmap(fd, nbytes, access=mmap.ACCESS_READ)


def _pays(nbytes):
    wish = os.environ.get("EDGERT_HUGE_PAGES", "")
    if wish in ("0", "1"):
        return wish == "1"
    if nbytes < LEAST_BYTES:
        return False
    modes = _first_line("/sys/kernel/mm/transparent_hugepage/enabled")
    return ("[madvise]" in modes or "[always]" in modes) and _available_bytes() >= TIMES_FREE * nbytes


def _read(fd, nbytes):
    memory = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    view, at = memoryview(memory), 0
    while at < nbytes:
        count = os.preadv(fd, [view[at : at + 2**26]], at)
        if not count:
            raise OSError(f"the file ends at byte {at:,}")
        at += count
    return memory


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
