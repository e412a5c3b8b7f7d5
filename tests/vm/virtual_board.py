"""An emulated 64-bit Arm Debian with systemd and sshd, made by tools/vm/image.sh: it boots, obeys, loses its power."""

import http.client
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
IMAGE = Path(os.environ.get("EDGERT_VM") or Path.home() / ".cache/edgert-vm")
WHEELS = TOP / "build/vm/wheels"
# A Cortex-A72 is what a Pi 4 has.
_QEMU = ("qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-smp", "2", "-m", "2G",
         "-accel", "tcg,thread=multi", "-display", "none", "-monitor", "none", "-no-reboot",
         "-device", "virtio-rng-pci")  # fmt: skip
_KERNEL = "root=/dev/vda rw console=ttyAMA0 quiet systemd.show_status=0"
_LIMIT_S = 600  # a patient limit for a start or a command: how long one takes is the host's business
_KINDS = ("camera", "prompt")


class VirtualBoard:
    """A machine with its own copy of the image's disk, in `folder`."""

    def __init__(self, folder):
        self.folder, self.disk, self.process, self.booted_s = folder, folder / "disk.img", None, 0.0
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", IMAGE / "disk.img", self.disk], check=True)
        self.port = _free_port()
        self.ssh = ("ssh", "-F", str(IMAGE / "ssh_config"), "-p", str(self.port))
        self._sockets = tempfile.mkdtemp(prefix="vm", dir="/tmp")  # a socket's path is short

    def boot(self):
        """Power on, and wait until systemd has started all that starts at boot."""
        begun = time.monotonic()
        network = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22"
        self.process = subprocess.Popen(
            [*_QEMU, "-kernel", IMAGE / "vmlinuz", "-initrd", IMAGE / "initrd.img", "-append", _KERNEL,
             "-drive", f"file={self.disk},format=raw,if=none,id=disk,cache=writeback",
             "-device", "virtio-blk-pci,drive=disk", "-netdev", network,
             "-device", "virtio-net-pci,netdev=net,romfile=", "-serial", f"file:{self.folder}/console.log"],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while self._run("true", wait_s=10).returncode:
            assert self.process.poll() is None, f"the emulator ended: see {self.folder}/console.log"
            assert time.monotonic() < begun + _LIMIT_S, f"no ssh: see {self.folder}/console.log"
            time.sleep(1)
        for kind in _KINDS:  # the socket of each service, reached from here without starting a program there
            Path(self._socket(kind)).unlink(missing_ok=True)
            self._connect("-O", "forward", "-L", f"{self._socket(kind)}:/run/edgert-{kind}/edgert.sock")
        self.run("systemctl is-system-running --wait || true")
        self.booted_s = time.monotonic() - begun
        return self

    def is_on(self):
        return self.process is not None and self.process.poll() is None

    def cut(self):
        """The power goes: what was not on the disk is lost, nobody says goodbye."""
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.is_on():
            self.cut()
        self.disk.unlink()
        shutil.rmtree(self._sockets)

    def run(self, script, check=True):
        """What a shell script of root's prints."""
        done = self._run(script)
        assert not check or done.returncode == 0, f"{script!r}: exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def _run(self, script, wait_s=60):
        wait = f"ConnectTimeout={wait_s}"
        return self._connect("-o", wait, "-o", "ControlMaster=auto", "-o", "ControlPersist=yes", script=[script])

    def _connect(self, *options, script=()):
        """ssh over one connection that stays open: a new one costs an emulator seconds."""
        command = [*self.ssh, "-o", f"ControlPath={self._sockets}/%C", *options, "root@edgert-vm", *script]
        silent = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        return subprocess.run(command, **silent, check=False, timeout=_LIMIT_S)

    def _socket(self, kind):
        return f"{self._sockets}/{kind}"

    def deploy(self, *words, wheels=WHEELS):
        """A running `edgert deploy` of this machine's; it tells its steps on stderr."""
        words = [str(self) if word is self else str(word) for word in words]
        command = [sys.executable, "-m", "edgert", "deploy", *words, "--ssh", shlex.join(self.ssh)]
        if not {"status", "logs", "rollback", "remove"} & set(words):
            command += ["--wheels", str(wheels)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=TOP)

    def deployed(self, *words, **options):
        """(exit code, stdout, stderr) of `edgert deploy` when it has ended."""
        with self.deploy(*words, **options) as process:
            out, error = process.communicate()
        return process.returncode, out, error

    def __str__(self):
        return "pi@edgert-vm"

    def unit(self, name, *properties):
        """systemd's properties of a unit."""
        said = self.run(f"systemctl show {name} -p {','.join(properties)}")
        return dict(line.split("=", 1) for line in said.splitlines())

    def ask(self, kind, path, body=None):
        """(status, body) of an answer over the service's unix socket; (0, b"") if there is none."""
        connection = http.client.HTTPConnection("board", timeout=60)
        try:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(self._socket(kind))
            headers = {"Content-Type": "application/json"} if body else {}
            connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def health(self, kind):
        """The fields of /health; {} while nothing answers."""
        status, body = self.ask(kind, "/health")
        return json.loads(body) if status else {}

    def parts(self, kind):
        """Process number of each part of a service: supervisor, worker, child (the camera's)."""
        group = f"/sys/fs/cgroup/system.slice/edgert-{kind}.service/cgroup.procs"
        words = 'mapfile -d "" words < /proc/$p/cmdline; echo $p "${words[@]}"'  # bash alone: it starts nothing
        said = self.run(f"for p in $(<{group}); do {words}; done", check=False)
        found = (re.match(r"(\d+) .* from edgert\.[\w.]*?(\w+) import main", line) for line in said.splitlines())
        return {match[2]: int(match[1]) for match in found if match}

    def current(self):
        """What the current release was made from, {} where nothing is deployed."""
        return json.loads(self.run("cat /opt/edgert/current/release.json 2>/dev/null || echo {}"))

    def until(self, condition, limit_s, what):
        """Wait until condition() is true; gives that, and the seconds it took."""
        begun = time.monotonic()
        while True:
            found = condition()
            took = time.monotonic() - begun
            if found:
                return found, took
            assert took < limit_s, f"{what}: not within {limit_s} s"
            time.sleep(0.5)


def _free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def steps_of(said):
    """The names of the steps in what `edgert deploy` printed."""
    return [line.split()[0] for line in said.splitlines() if re.match(r"  [a-z]", line)]


def until_step(process, step):
    """Read on until a running `edgert deploy` says that `step` is done."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if steps_of(line) == [step]:
            return
    raise AssertionError(f"it did not come to {step}: {''.join(lines)}")
