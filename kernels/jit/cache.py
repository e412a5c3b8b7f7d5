"""Machine code on disk: a Raspberry Pi compiles a kernel once, not at every start.

Numba's own cache knows functions by the file and line they stand on, not kernels that a maker writes for one set of
shapes; so the object code of each kernel is kept here under a hash of all it depends on: this package's sources, the
kernel and its settings, the versions of Numba and LLVM, the CPU and what may be emitted for it. Where anything about
a file is wrong, it counts as absent and is written anew. Folder: EDGERT_CACHE, default ~/.cache/edgert.
"""

import hashlib
import os
from pathlib import Path

import llvmlite
import numba
from numba.core.registry import cpu_target

MAGIC = b"edgert-jit 1\n"


def folder():
    return Path(os.environ.get("EDGERT_CACHE") or Path("~/.cache/edgert").expanduser()) / "jit"


def key(*parts):
    """A hash of `parts` (anything with an exact repr) and of everything else that shapes the code."""
    return hashlib.sha256(repr((_environment(), *parts)).encode()).hexdigest()


def rename(function, *parts):
    """Give the function a name that no other one has, and return it.

    Numba numbers equal names in the order a process meets them, so code from the cache folder could otherwise take the
    name, and by it the place, of a function compiled here.
    """
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
    function.__qualname__ = f"{function.__name__}_{digest}"
    return function


def read(name):
    """(symbol, may_raise, library state) as `write` was given them, or None if there is no sound file."""
    try:
        content = (folder() / f"{name}.o").read_bytes()
    except OSError:
        return None
    head, digest, body = content[: len(MAGIC)], content[len(MAGIC) : len(MAGIC) + 32], content[len(MAGIC) + 32 :]
    if head != MAGIC or hashlib.sha256(body).digest() != digest:
        return None
    symbol, flag, library, code, bitcode = _unjoin(body)
    return symbol.decode(), flag == b"1", (library.decode(), "object", (code, bitcode))


def write(name, symbol, may_raise, state):
    """Keep one kernel; where the folder cannot be written, nothing is kept and nothing is said."""
    library, kind, parts = state
    if kind != "object":
        return
    body = _join([symbol.encode(), b"1" if may_raise else b"0", library.encode(), *parts])
    sibling = folder() / f".{name}.{os.getpid()}.tmp"
    try:
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        sibling.write_bytes(MAGIC + hashlib.sha256(body).digest() + body)
        os.replace(sibling, folder() / f"{name}.o")
    except OSError:
        return


def _join(parts):
    return b"".join([len(part).to_bytes(8, "little") + part for part in parts])


def _unjoin(body):
    parts, start = [], 0
    while start < len(body):
        size = int.from_bytes(body[start : start + 8], "little")
        parts.append(body[start + 8 : start + 8 + size])
        start += 8 + size
    return parts


_known = {}


def _environment():
    if not _known:
        sources = b"".join([path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))])
        _known["sources"] = hashlib.sha256(sources).hexdigest()
    machine = cpu_target.target_context.codegen().magic_tuple()
    return _known["sources"], numba.__version__, llvmlite.__version__, machine
