"""Which programs use the board's cameras and ports; edgert's own services do not count: a deployment replaces them."""

import contextlib
import os
import subprocess
from glob import glob
from importlib.util import find_spec

_LISTENING = "0A"


def cameras(root=""):
    """picamera2: whether Python has it. sensors: how many libcamera sees, None where unknown. video: path -> name."""
    names = {}
    for folder in sorted(glob(f"{root}/sys/class/video4linux/video*")):
        with contextlib.suppress(OSError), open(f"{folder}/name", encoding="utf-8", errors="replace") as file:
            names[f"/dev/{os.path.basename(folder)}"] = file.read().strip()
    return {"picamera2": find_spec("picamera2") is not None, "sensors": _sensors(), "video": names}


def _sensors():
    for program in ("rpicam-hello", "libcamera-hello"):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run([program, "--list-cameras"], capture_output=True, text=True, timeout=20, check=False)
            lines = (done.stdout + done.stderr).splitlines()
            return sum(line[:1].isdigit() and " : " in line for line in lines)
    return None


def users(root=""):
    """Device or "port N" -> the program that has it, as in "ffmpeg (process 812)"."""
    sockets = _listening(root)
    found = {}
    for folder in glob(f"{root}/proc/[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or is not ours to look into
            with open(f"{folder}/cgroup", encoding="utf-8") as file:
                if "/edgert-" in file.read():
                    continue
            with open(f"{folder}/comm", encoding="utf-8", errors="replace") as file:
                who = f"{file.read().strip()} (process {os.path.basename(folder)})"
            for path in glob(f"{folder}/fd/*"):
                target = os.readlink(path)
                target = sockets.get(target, target)
                if target.startswith(("/dev/video", "/dev/media", "port ")):
                    found[target] = who
    return found


def _listening(root):
    """"socket:[inode]" -> "port N" for TCP sockets that listen."""
    found = {}
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"{root}/proc/net/{name}", encoding="ascii") as file:
            for fields in map(str.split, file.readlines()[1:]):
                if fields[3] == _LISTENING:
                    found[f"socket:[{fields[9]}]"] = f"port {int(fields[1].rpartition(':')[2], 16)}"
    return found
