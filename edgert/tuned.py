"""What `edgert tune` found for a model on this machine: one small JSON file, written there and read at load.

A file that does not fit exactly (damaged, from another CPU, from another version) is ignored with one line on stderr.
Whatever a file says, answers stay the same: every choice is a kernel that gives the same bits.
"""

import os
from stat import S_ISREG

from edgert.errors import InputError
from edgert.kernels import cpu, tiers
from edgert.messages import say

FORMAT = 1
MAX_BYTES = 16 << 20  # a node's choice takes some 50 bytes
_FIELDS = {
    "format": int,
    "edgert": str,
    "cpu": str,
    "flags": list,
    "model": str,
    "threads": int,
    "choices": list,
    "untuned_ns": int,
    "tuned_ns": int,
}


def cache_dir():
    """Where edgert keeps what it can make again."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("EDGERT_CACHE") or os.path.join(base, "edgert")


def path_for(program_sha256, threads):
    """The file for a model (bytes of its program's digest) run with `threads`, whether it exists or not."""
    return os.path.join(cache_dir(), "tune", f"{program_sha256.hex()}-{threads}.json")


def choices_for(loaded, threads):
    """Dict from node index to (tier, variant) for a LoadedModel, or None: untuned, or the file is not for here."""
    path = path_for(loaded.program_sha256, threads)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        say(f"{path}: ignored, the model runs untuned: {error.strerror}")
        return None
    try:
        if not S_ISREG(status.st_mode):
            raise InputError("it is not a regular file")
        return _read(path, loaded, threads)
    except (InputError, OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        say(f"{path}: ignored, the model runs untuned: {reason} (`edgert tune` makes it anew)")
        return None


def machine():
    """What the CPU is and which of the kernels' features it has: a file of another is not used."""
    return {"cpu": cpu_name(), "flags": sorted(cpu.flags())}


def cpu_name(path="/proc/cpuinfo"):
    """The first core as /proc/cpuinfo describes it; '' where that is not told."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            first = file.read(8192).split("\n\n")[0]
    except OSError:
        return ""
    fields = [line.partition(":") for line in first.splitlines()]
    words = [value.strip() for name, _, value in fields if name.strip().lower() in _IDENTITY]
    return " ".join(words)


_IDENTITY = (
    "vendor_id", "cpu family", "model", "model name", "stepping",  # x86
    "cpu implementer", "cpu architecture", "cpu variant", "cpu part", "cpu revision",  # Arm
)  # fmt: skip


def write(loaded, threads, choices, untuned_ns, tuned_ns):
    """Keep `choices` for this model on this machine, old file or new, never half. Returns: the path."""
    import json

    from edgert import __version__

    record = {
        "format": FORMAT,
        "edgert": __version__,
        **machine(),
        "model": loaded.program_sha256.hex(),
        "threads": threads,
        "choices": [[index, loaded.graph.nodes[index].op, *choices[index]] for index in sorted(choices)],
        "untuned_ns": untuned_ns,
        "tuned_ns": tuned_ns,
    }
    path = path_for(loaded.program_sha256, threads)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    half = f"{path}.{os.getpid()}"
    try:
        with open(half, "w", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(half, path)
    except BaseException:
        _remove(half)
        raise
    return path


def clear(loaded, threads=None):
    """Forget the choices for this model, run with `threads` or any number. Returns: how many files there were."""
    folder, name = os.path.split(path_for(loaded.program_sha256, threads))
    start, end = (name, "") if threads else (name.removesuffix("None.json"), ".json")
    found = os.listdir(folder) if os.path.isdir(folder) else []
    return sum(_remove(os.path.join(folder, item)) for item in found if item.startswith(start) and item.endswith(end))


def _remove(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def _read(path, loaded, threads):
    import json

    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"it has more than {MAX_BYTES:,} bytes")
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        raise InputError("it is not JSON") from None
    _check(record, loaded, threads)
    return {index: (tier, variant) for index, _, tier, variant in record["choices"]}


def _check(record, loaded, threads):
    if type(record) is not dict or {name: type(value) for name, value in record.items()} != _FIELDS:
        raise InputError("it is damaged, or another kind of file")
    from edgert import __version__

    here = machine()
    for name, wanted, what in (
        ("format", FORMAT, "format"),
        ("edgert", __version__, "version of edgert"),
        ("cpu", here["cpu"], "CPU"),
        ("flags", here["flags"], "set of CPU features"),
        ("model", loaded.program_sha256.hex(), "model"),
        ("threads", threads, "number of threads"),
    ):
        if record[name] != wanted:
            raise InputError(f"it is for another {what}, {_short(record[name])} instead of {_short(wanted)}")
    nodes = loaded.graph.nodes
    for choice in record["choices"]:
        if type(choice) is not list or [type(item) for item in choice] != [int, str, str, str]:
            raise InputError("a choice in it is damaged")
        index, op, tier, variant = choice
        if not tier or not 0 <= index < len(nodes) or nodes[index].op != op:
            raise InputError(f"the model has no node {index} {_short(op)}")
        tiers.resolve(tier)  # raises ValueError for a tier that does not run here
        if variant not in tiers.variants(tier, op):
            raise InputError(f"tier {tier} has no variant {_short(variant)} of {op}")


def _short(value):
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
