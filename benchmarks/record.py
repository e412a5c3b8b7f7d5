"""The record of a measurement: on what machine, with what, when and under what load."""

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgert import machine
from edgert.kernels import cpu

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = (
    "edgert",
    "numpy",
    "numba",
    "ai-edge-litert",
    "onnxruntime",
    "ncnn",
    "torch",
    "llama-cpp-python",
    "ctranslate2",
    "transformers",
)


def machine_record():
    """What a reader needs to judge the figures, or to take them again."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [os.path.basename(sys.executable), *map(_anywhere, sys.argv)],
        "cpu": machine.cpu_model(),
        "cpu_features": machine.cpu_features(),
        "tier_flags": sorted(cpu.flags()),
        "cores": len(os.sched_getaffinity(0)),
        "last_cache_bytes": machine.last_cache_bytes(),
        "memory_bytes": (machine.memory_bytes() or (0,))[0],
        "governor": machine.governor(),
        "board": machine.pi_model(),
        "kernel": " ".join(platform.uname()[i] for i in (0, 2, 4)),
        "python": platform.python_version(),
        "load_before": os.getloadavg(),
        "environment": {name: value for name, value in os.environ.items() if name in ENVIRONMENT},
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
    }


def _anywhere(word):
    """A word of the command as it would be given on another machine: scripts from the repository, files by name."""
    path = Path(word)
    if not path.is_absolute():
        return word
    return str(path.relative_to(REPOSITORY)) if path.is_relative_to(REPOSITORY) else path.name


ENVIRONMENT = ("EDGERT_TIER", "EDGERT_THREADS", "OMP_NUM_THREADS", "MALLOC_ARENA_MAX")


def installed(package):
    """Its version, or '' where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
