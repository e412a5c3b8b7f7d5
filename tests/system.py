"""What only the kernel can do: small disks, control groups, networks that are cut. Each says why it cannot."""

import os
import shutil
import subprocess
from contextlib import contextmanager, suppress

import pytest


@contextmanager
def small_disk(folder, kib):
    """A file system in memory of so many KiB at `folder`, for as long as the context lasts."""
    folder.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", folder)
    try:
        yield folder
    finally:
        _run("umount", "-l", folder)


def fill(folder, left=0):
    """Take all but `left` bytes of a disk. Returns: the file to delete when there is to be room again."""
    path, piece = folder / "filler", bytes(4096)
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while not left or shutil.disk_usage(folder).free > left:
            file.write(piece)
    return path


@contextmanager
def control_group(controller, **limits):
    """A control group with these limits, by their names in version 2: memory_max=bytes, cpu_max="quota period".

    Yields: function that puts a process, by its id, into it.
    """
    folder, files = _group_folder(controller), {}
    if os.path.exists(os.path.join(os.path.dirname(folder), "cgroup.controllers")):
        files = {name.replace("_", "."): str(value) for name, value in limits.items()}
    elif "cpu_max" in limits:
        quota, period = limits["cpu_max"].split()
        files = {"cpu.cfs_period_us": period, "cpu.cfs_quota_us": quota}
    else:
        files = {"memory.limit_in_bytes": str(limits["memory_max"])}
    try:
        with suppress(OSError):
            os.rmdir(folder)  # what a test that was killed left
        os.mkdir(folder)
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        for name, value in files.items():
            _write(os.path.join(folder, name), value)
        yield lambda pid: _write(os.path.join(folder, "cgroup.procs"), str(pid))
    finally:
        for pid in _pids(folder):
            with suppress(OSError):
                _write(os.path.join(os.path.dirname(folder), "cgroup.procs"), pid)
        os.rmdir(folder)


class CutNetwork:
    """Another machine at the end of a cable, as a network of its own here. address: of this end. cut(): the cable."""

    def __init__(self, number=0):
        self.name, self.here, self.there = f"edgert{number}", f"edg{number}a", f"edg{number}b"
        self.address, other = f"10.213.{number}.1", f"10.213.{number}.2"
        self.close()  # what a test that was killed left
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", self.here, "type", "veth", "peer", "name", self.there, "netns", self.name)
        _run("ip", "address", "add", f"{self.address}/30", "dev", self.here)
        _run("ip", "link", "set", self.here, "up")
        _run("ip", "-n", self.name, "address", "add", f"{other}/30", "dev", self.there)
        _run("ip", "-n", self.name, "link", "set", self.there, "up")

    def run(self, *command):
        """A process on the other machine."""
        return subprocess.Popen(["ip", "netns", "exec", self.name, *map(str, command)], stdout=subprocess.PIPE)

    def cut(self):
        _run("ip", "-n", self.name, "link", "set", self.there, "down")

    def close(self):
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "delete", self.here], capture_output=True, check=False)


def _run(*command):
    try:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"{command[0]}: {error.strerror}")
    if done.returncode:
        pytest.skip(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.returncode} (it needs root)")


def _group_folder(controller):
    """Where a new group below this process's would be, in the version that this machine has."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        lines = [line.split(":", 2) for line in file.read().splitlines()]
    paths = {name: path for _, names, path in lines for name in names.split(",")}
    if controller in paths:
        return f"/sys/fs/cgroup/{controller}{paths[controller].rstrip('/')}/edgert-test"
    return f"/sys/fs/cgroup{paths.get('', '/').rstrip('/')}/edgert-test"


def _write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _pids(folder):
    with open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as file:
        return file.read().split()
