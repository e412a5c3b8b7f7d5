"""The systemd units of the current release, and what else of it the system reads.

All of that is symlinks into `current/`, so the switch of that one link changes it too. What outlives every release is
the unit that recovers at boot and the token in /etc/edgert.
"""

import contextlib
import os
import secrets
import shutil
import time
from glob import escape, glob

from . import durable
from .commands import Refused, last_line, run
from .health import health
from .store import PROGRAM

GUARD = "edgert-deploy-guard"
RECOVER = "edgert-recover.service"
JOURNAL = "journald.conf"
UNITS = ("edgert-camera.service", "edgert-prompt.service")
_LOOK_EVERY_S = 0.25
_START_S = 90  # the longest that a unit may take to be ready
_SILENT_S = 10.0  # the longest that /health may be silent while its unit is up: a board that has just started is busy
_SHOWN = "ActiveState,SubState,Result,NRestarts,MainPID,StatusText"

_RECOVER_UNIT = """\
# At boot, before the services: undo a deployment that a power cut left unconfirmed. Both releases that it chooses from
# are whole; which one runs is one symlink.
[Unit]
Description=edgert: undo a deployment that was not confirmed
Before={units}
ConditionPathExists={root}/pending.json
RequiresMountsFor={root}

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 {root}/{program} --root {root} recover --boot
# It takes a second or two; a board that is very busy at its start must not end it half-way.
TimeoutStartSec=300

[Install]
WantedBy=multi-user.target
"""


class Service:
    """store: a Store. etc: /etc. systemctl, systemd_run: the commands, as lists of words; systemd_run empty: no guard.

    waits: whether to wait for units. At boot they wait for us.
    """

    def __init__(self, store, etc, systemctl, systemd_run, waits=True):
        self.store, self.etc, self.waits = store, etc, waits
        self.var = os.path.join(os.path.dirname(os.path.abspath(etc)), "var")
        self.systemctl, self.systemd_run = systemctl, systemd_run

    def prepare(self):
        """What units need beside their release: the unit that recovers at boot, and a token. Both are made once."""
        path, text = self._unit(RECOVER), recover_unit(self.store.root)
        if not os.path.exists(path) or durable.read(path) != text:
            durable.write(path, text)
            self._link_wanted(RECOVER)
            self.control("daemon-reload")
        token = os.path.join(self.etc, "edgert", "token")
        if not os.path.exists(token):
            os.makedirs(os.path.dirname(token), exist_ok=True)
            durable.write(token, secrets.token_urlsafe(24) + "\n", mode=0o600)

    def follow_current(self):
        """Link what the current release has, stop and unlink what it no longer has. Returns: its units."""
        spec = self.store.spec(self.store.current())
        wanted, linked = self._wanted(spec), self._linked()
        for path in set(linked) - set(wanted):
            self._unlink(path)
        for path in wanted:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if path not in linked:
                durable.link(self.store.path("current", wanted[path]), path)
            if path.endswith(".service"):
                self._link_wanted(os.path.basename(path))
        if wanted or linked:
            self.control("daemon-reload")
        if self._journal() in set(wanted) ^ set(linked):
            self.control("try-restart", "--no-block", "systemd-journald.service", check=False)
        return spec.get("units", [])

    def tidy(self):
        """Delete what writes left that were cut off before their rename."""
        for pattern in ("systemd/system/edgert-*", "systemd/system/*.wants/edgert-*", "systemd/journald.conf.d/edgert*",
                        "edgert/token"):  # fmt: skip
            for path in glob(os.path.join(escape(self.etc), pattern + ".new")):
                os.unlink(path)

    def forget(self):
        """Nothing of ours is left in /var, and in /etc nothing but the owner's own files. Returns: those."""
        self._unlink(self._unit(RECOVER))
        self.control("daemon-reload")
        self._forget_state()
        own = os.path.join(self.etc, "edgert")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(own, "token"))
        left = durable.names(own)
        if os.path.isdir(own) and not left:
            os.rmdir(own)
        return [os.path.join(own, name) for name in left]

    def _forget_state(self):
        """Delete what units kept. `systemctl clean` does so for units of the current release alone."""
        for folder in ("lib", "cache"):
            for unit in UNITS:
                path = os.path.join(self.var, folder, unit.removesuffix(".service"))
                if os.path.islink(path):  # to private/, where a unit with a dynamic user has its folder
                    os.unlink(path)
                shutil.rmtree(os.path.join(self.var, folder, "private", os.path.basename(path)), ignore_errors=True)

    def _wanted(self, spec):
        """Path in /etc -> file of the release that it is."""
        wanted = {self._unit(unit): unit for unit in spec.get("units", [])}
        if JOURNAL in spec.get("files", {}):
            wanted[self._journal()] = JOURNAL
        return wanted

    def _linked(self):
        """Paths in /etc that are symlinks into `current`, also where it points to nothing."""
        inside = self.store.path("current") + os.sep
        folders = {os.path.dirname(self._unit("any")), os.path.dirname(self._journal())}
        paths = [os.path.join(folder, name) for folder in folders for name in durable.names(folder)]
        return [path for path in paths if os.path.islink(path) and os.readlink(path).startswith(inside)]

    def _unlink(self, path):
        if path.endswith(".service"):
            name = os.path.basename(path)
            self.control("stop", *self._no_wait(), name, check=False)
            wanted = self._unit(f"multi-user.target.wants/{name}")
            if os.path.islink(wanted):
                durable.link(None, wanted)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def _link_wanted(self, unit):
        """Start the unit at boot. `systemctl enable` links to the release behind `current`, which goes some day."""
        path = self._unit(f"multi-user.target.wants/{unit}")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not os.path.islink(path):
            durable.link(f"../{unit}", path)

    def _unit(self, name):
        return os.path.join(self.etc, "systemd", "system", name)

    def _journal(self):
        return os.path.join(self.etc, "systemd", "journald.conf.d", "edgert.conf")

    def start(self, units):
        """Start or restart, and wait until each is ready. Raises: Refused."""
        for unit in units:
            self.control("reset-failed", unit, check=False)
            self.control("restart", "--no-block", unit)
        for unit in units if self.waits else []:
            self._wait_until_ready(unit)

    def _wait_until_ready(self, unit):
        end = time.monotonic() + _START_S
        while True:
            state = self.state(unit)
            if state.get("ActiveState") == "active":
                return
            if state.get("ActiveState") == "failed" or state.get("NRestarts", "0") != "0":
                raise Refused(f"{unit} does not start{self._last_words(unit) or ': ' + state.get('Result', 'unknown')}")
            if time.monotonic() >= end:
                raise Refused(f"{unit} was not ready within {_START_S} s: {state.get('StatusText') or 'no status'}")
            time.sleep(_LOOK_EVERY_S)

    def watch(self, units, sockets, seconds):
        """Look at units and their /health for `seconds`. sockets: unit -> where its /health is asked. Returns: health.

        Raises: Refused if a unit is not active or is restarted, or if what it says at the end is not well.
        """
        restarts = {unit: self.state(unit).get("NRestarts") for unit in units}
        end, said = time.monotonic() + seconds, {}
        while True:
            for unit in units:
                self._check_up(unit, restarts[unit], seconds)
            now = time.monotonic()
            if now >= end:
                model = self.store.path("current", "model.bin")
                said = {unit: health(path, model, _SILENT_S) for unit, path in sockets.items()}
                break
            time.sleep(min(_LOOK_EVERY_S, end - now))
        for unit, (well, text) in said.items():
            if not well:
                raise Refused(f"{unit} is not well {seconds:g} s after its start: {text}")
        return ", ".join(text for _, text in said.values())

    def _check_up(self, unit, restarts, seconds):
        state = self.state(unit)
        if state.get("NRestarts") != restarts:
            raise Refused(f"{unit} died and was restarted within {seconds:g} s of its start{self._last_words(unit)}")
        if state.get("ActiveState") != "active":
            raise Refused(f"{unit} is {state.get('ActiveState')} ({state.get('Result')}){self._last_words(unit)}")

    def _last_words(self, unit):
        """What the unit's process said last, for the end of a sentence."""
        if not self.systemd_run:
            return ""
        lines = run("journalctl", "-u", unit, "-n", "20", "-o", "cat", "--no-pager", check=False).splitlines()
        own = [line for line in lines if line.startswith("edgert: ")]
        return f": {last_line(own[-1]).removeprefix('edgert: ')}" if own else ""

    def state(self, unit):
        """systemd's properties of a unit that a person would ask for."""
        said = self.control("show", unit, "-p", _SHOWN, check=False)
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    def control(self, *words, check=True):
        return run(*self.systemctl, *words, check=check)

    def _no_wait(self):
        return () if self.waits else ("--no-block",)

    def arm_guard(self, seconds, command):
        """A timer that runs `command` if this process does not live to disarm it."""
        self.disarm_guard()
        if self.systemd_run:
            delay = f"--on-active={seconds + _START_S:g}"
            run(*self.systemd_run, f"--unit={GUARD}", "--collect", delay, *command, check=False)

    def disarm_guard(self):
        if self.systemd_run:
            self.control("stop", f"{GUARD}.timer", check=False)


def recover_unit(root):
    """The text of the unit that recovers the installation in `root` at boot."""
    return _RECOVER_UNIT.format(root=root, program=PROGRAM, units=" ".join(UNITS))
