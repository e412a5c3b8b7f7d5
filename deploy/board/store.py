"""Files, environments and releases of one installation, and which release is the current one."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys

from . import durable
from .commands import Refused, last_line, run

PROGRAM = "edgert-board.pyz"  # what runs this, kept for recovery
KEPT_RELEASES = 2  # the current one and the one to go back to
_KEPT_REFUSALS = 20
_TEST_S = 300
_SPARE_BYTES = 16 << 20


class Store:
    """Everything below `root`, usually /opt/edgert."""

    def __init__(self, root):
        self.root = os.path.abspath(root)

    def path(self, *names):
        return os.path.join(self.root, *names)

    def prepare(self):
        for folder in ("blobs", "venvs", "releases"):
            os.makedirs(self.path(folder), exist_ok=True)

    def keep_program(self, path):
        """Keep the program at `path` as the one that recovers."""
        if os.path.realpath(path) != self.path(PROGRAM):
            shutil.copyfile(path, self.path(PROGRAM + ".new"))
            durable.sync(self.path(PROGRAM + ".new"))
            durable.rename(self.path(PROGRAM + ".new"), self.path(PROGRAM))

    @contextlib.contextmanager
    def locked(self):
        """One change at a time. Children hold the lock too: a pip that outlives us must end before anyone goes on."""
        with open(self.path("lock"), "a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise Refused(f"another deployment is at work here ({lock.read().strip() or 'unknown'})") from None
            os.set_inheritable(lock.fileno(), True)
            lock.truncate(0)
            lock.write(f"process {os.getpid()} for {os.environ.get('SUDO_USER') or os.environ.get('USER', '?')}")
            lock.flush()
            yield

    def current(self):
        """Name of the current release, None before the first."""
        try:
            return os.path.basename(os.readlink(self.path("current")))
        except FileNotFoundError:
            return None

    def switch(self, name):
        """Make `name` the current release (None: no release) in one step."""
        durable.link(None if name is None else os.path.join("releases", name), self.path("current"))

    def releases(self):
        """Names of the releases that are whole, oldest first."""
        return sorted(name for name in self._names("releases") if not name.startswith("."))

    def spec(self, name):
        """What release `name` was made from, {} for None."""
        return durable.read_json(self.path("releases", name, "release.json"), {}) if name else {}

    def _names(self, *folder):
        return durable.names(self.path(*folder))

    def pending(self):
        """The switch that is not confirmed yet, {"old": name or None, "new": name}; None if there is none."""
        return durable.read_json(self.path("pending.json"), None)

    def set_pending(self, old, new):
        durable.write(self.path("pending.json"), json.dumps({"old": old, "new": new}))

    def clear_pending(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path("pending.json"))
        durable.sync(self.root)

    def refused(self):
        """What failed here: key of a release (see deployment.py) -> reason."""
        return durable.read_json(self.path("refused.json"), {})

    def refuse(self, key, why):
        """Remember a failure; the oldest is forgotten when there are many."""
        self._write_refused([*self._others_refused(key), (key, why)][-_KEPT_REFUSALS:])

    def forgive(self, key):
        """It works after all."""
        if key in self.refused():
            self._write_refused(self._others_refused(key))

    def _others_refused(self, key):
        return [item for item in self.refused().items() if item[0] != key]

    def _write_refused(self, items):
        durable.write(self.path("refused.json"), json.dumps(dict(items)))

    def blob(self, sha256):
        if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
            raise Refused(f"{sha256!r} is no SHA-256")
        return self.path("blobs", sha256)

    def have(self, sha256):
        """How many bytes of the blob are here, "whole" once it is complete and checked."""
        if os.path.exists(self.blob(sha256)):
            return "whole"
        part = self.blob(sha256) + ".part"
        return os.path.getsize(part) if os.path.exists(part) else 0

    def receive(self, sha256, size, offset, stream):
        """Append `stream` from byte `offset` on; whole when `size` bytes of the right hash are here."""
        part = self.blob(sha256) + ".part"
        free = shutil.disk_usage(self.root).free
        if free < size - offset + _SPARE_BYTES:
            raise Refused(f"{self.root} has {free:,} bytes left, {size - offset:,} more are to come: free some space")
        with open(part, "ab") as out:
            fcntl.flock(out, fcntl.LOCK_EX)
            if out.tell() != offset:
                raise Refused(f"{out.tell():,} bytes of {sha256[:8]} are here, not {offset:,}: start again")
            shutil.copyfileobj(stream, out, durable.CHUNK)
            out.flush()
            os.fsync(out.fileno())
            if out.tell() < size:
                raise Refused(f"the transfer broke off after {out.tell():,} of {size:,} bytes")
        if durable.sha256_of(part) != sha256:
            os.unlink(part)
            raise Refused(f"{sha256[:8]} arrived damaged; what was here is deleted, send it again")
        durable.rename(part, self.blob(sha256))

    def make_venv(self, spec):
        """The virtual environment of a spec's wheels, made once and reused afterwards. Returns: whether it was made."""
        folder = self.path("venvs", spec["venv"])
        if os.path.exists(os.path.join(folder, "complete")):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        run(sys.executable, "-m", "venv", "--system-site-packages", folder)
        here = os.path.join(folder, "wheels")
        os.makedirs(here)
        for name, sha256 in spec["wheels"]:
            os.link(self.blob(sha256), os.path.join(here, os.path.basename(name)))
        extras = f"[{spec['extras']}]" if spec["extras"] else ""
        own = [os.path.join(here, name) + extras for name, _ in spec["wheels"] if name.startswith("edgert-")]
        pip = (os.path.join(folder, "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check")
        self._pip(*pip, "--find-links", here, *own)
        shutil.rmtree(here)
        run("sync", "-f", folder)
        durable.write(os.path.join(folder, "complete"), "")
        return True

    def _pip(self, *command):
        """Install from what was sent or is there; from an index only if that is not enough. Raises: Refused."""
        try:
            run(*command, "--no-index")
        except Refused as alone:
            try:
                run(*command)
            except Refused as error:
                raise Refused(f"{error} (nor without an index: {alone}; send the wheels along, see --wheels)") from None

    def make_release(self, spec):
        """A release folder from `spec` (see `apply`), whole under its name or not there. Returns: the name."""
        number = max([int(name.split("-")[0]) for name in self.releases()] or [0]) + 1
        name = f"{number:04d}-{spec['model'][:8]}"
        new = self.path("releases", f".{name}")
        shutil.rmtree(new, ignore_errors=True)
        os.makedirs(new)
        shutil.copyfile(self.blob(spec["model"]), os.path.join(new, "model.bin"))
        os.symlink(os.path.join("..", "..", "venvs", spec["venv"]), os.path.join(new, "venv"))
        for file, text in {**spec["files"], "release.json": json.dumps({**spec, "name": name})}.items():
            durable.write(os.path.join(new, os.path.basename(file)), text)
        durable.sync(os.path.join(new, "model.bin"))
        durable.rename(new, self.path("releases", name))
        return name

    def test_release(self, name):
        """Run the model's golden vectors in the release's own environment. Returns: what `edgert verify` found."""
        folder = self.path("releases", name)
        done = subprocess.run(
            [os.path.join(folder, "venv/bin/edgert"), "verify", os.path.join(folder, "model.bin"), "--json"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TEST_S, check=False, close_fds=False,
        )  # fmt: skip
        if done.returncode:
            raise Refused(f"the self-test failed here: {last_line(done.stderr) or f'exit code {done.returncode}'}")
        return json.loads(done.stdout)

    def delete_release(self, name):
        """Gone under its name at once, whatever happens while its files are being deleted."""
        hidden = self.path("releases", f".{name.lstrip('.')}")
        if not name.startswith("."):
            shutil.rmtree(hidden, ignore_errors=True)
            durable.rename(self.path("releases", name), hidden)
        shutil.rmtree(hidden)

    def tidy(self):
        """Delete what was left half-made, and releases that never became current."""
        now = self.current() or ""
        for name in self._names("releases"):
            if name.startswith(".") or name > now:
                self.delete_release(name)
        for key in self._names("venvs"):
            if not os.path.exists(self.path("venvs", key, "complete")):
                shutil.rmtree(self.path("venvs", key))
        for name in self._names():
            if name.endswith(".new"):  # a write that was cut off before its rename
                os.unlink(self.path(name))

    def retire(self):
        """Delete the releases that nobody goes back to any more, and all that no kept release is made of.

        Only after a success: before it, files and environments may wait here for their release.
        """
        now = self.current()
        others = [name for name in self.releases() if name != now]
        for name in others[: len(others) - KEPT_RELEASES + 1]:
            self.delete_release(name)
        specs = [self.spec(name) for name in self.releases()]
        for key in set(self._names("venvs")) - {spec["venv"] for spec in specs}:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path("venvs", key, "complete"))
            shutil.rmtree(self.path("venvs", key))
        blobs = {spec["model"] for spec in specs} | {sha256 for spec in specs for _, sha256 in spec["wheels"]}
        for name in set(self._names("blobs")) - blobs:
            os.unlink(self.path("blobs", name))
