"""What a board says of itself before a deployment."""

import os
import platform
import shutil
import struct
import sys
import time
from importlib.util import find_spec

from .users import cameras, users


def facts(root="/opt/edgert", source=""):
    """What this machine is, as far as a deployment needs to know. source: a path that is to be there."""
    folder = root
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return {
        "machine": platform.machine(),
        "bits": struct.calcsize("P") * 8,
        "python": list(sys.version_info[:3]),
        "glibc": platform.libc_ver()[1],
        "venv": all(find_spec(name) for name in ("venv", "ensurepip")),
        "root": os.geteuid() == 0,
        "systemd": os.path.isdir("/run/systemd/system"),
        "disk_free": shutil.disk_usage(folder).free,
        "clock": time.time(),
        "packages": [name for name in ("numpy", "psutil", "PIL") if find_spec(name)],
        "source": os.path.exists(source),
        "cameras": cameras(),
        "users": users(),
        "board": _first_line("/proc/device-tree/model").strip("\0"),
    }


def _first_line(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline()
    except OSError:
        return ""
