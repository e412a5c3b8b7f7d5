"""The systemd units of the current release.

A unit in /etc/systemd/system is a symlink into `current/`, so the switch of that one link changes the units too.
"""

import contextlib
import os
import time

from .commands import Refused, run

_SYSTEMD = "/run/systemd/system"
GUARD = "edgert-deploy-guard"
_LOOK_EVERY_S = 0.5


class Service:
    """store: a Store. units: systemd's folder. systemctl, systemd_run: the commands, as lists of words."""

    def __init__(self, store, units, systemctl, systemd_run):
        self.store, self.units, self.systemctl, self.systemd_run = store, units, systemctl, systemd_run

    def follow_current(self):
        """Link the current release's units, stop and unlink those it no longer has. Returns: their names."""
        wanted, linked = self.store.spec(self.store.current()).get("units", []), self._linked()
        if not wanted and not linked:
            return []
        for name in set(linked) - set(wanted):
            self.control("disable", "--now", name, check=False)
            with contextlib.suppress(FileNotFoundError):  # `disable` removes the link of a linked unit
                os.unlink(os.path.join(self.units, name))
        for name in set(wanted) - set(linked):
            os.symlink(self.store.path("current", name), os.path.join(self.units, name))
        self.control("daemon-reload")
        return wanted

    def _linked(self):
        """Names of the units that are symlinks into `current`, also where it points to nothing."""
        inside = self.store.path("current") + os.sep
        paths = (
            {name: os.path.join(self.units, name) for name in os.listdir(self.units)}
            if os.path.isdir(self.units)
            else {}
        )
        return [name for name, path in paths.items() if os.path.islink(path) and os.readlink(path).startswith(inside)]

    def start(self, units):
        """Start or restart; a unit of Type=notify is back only when it is ready. Raises: Refused."""
        for unit in units:
            self.control("reset-failed", unit, check=False)
            self.control("enable", unit, check=False)
            self.control("restart", unit)

    def watch(self, units, seconds):
        """Raises: Refused if a unit is not active, or is restarted, within a window of `seconds`."""
        restarts = {unit: self.state(unit).get("NRestarts") for unit in units}
        end = time.monotonic() + seconds
        while True:
            for unit in units:
                state = self.state(unit)
                if state.get("ActiveState") != "active":
                    raise Refused(f"{unit} is {state.get('ActiveState')} ({state.get('Result')})")
                if state.get("NRestarts") != restarts[unit]:
                    raise Refused(f"{unit} died and was restarted within {seconds:g} s of its start")
            if time.monotonic() >= end:
                return
            time.sleep(min(_LOOK_EVERY_S, max(0.0, end - time.monotonic())))

    def state(self, unit):
        """systemd's properties of a unit that a person would ask for."""
        said = self.control("show", unit, "-p", "ActiveState,SubState,Result,NRestarts,MainPID,StatusText", check=False)
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    def control(self, *words, check=True):
        return run(*self.systemctl, *words, check=check)

    def arm_guard(self, seconds, command):
        """A timer that runs `command` if this process does not live to disarm it."""
        self.disarm_guard()
        if self.systemd_run and os.path.isdir(_SYSTEMD):
            run(*self.systemd_run, f"--unit={GUARD}", "--collect", f"--on-active={seconds:g}", *command, check=False)

    def disarm_guard(self):
        if self.systemd_run and os.path.isdir(_SYSTEMD):
            self.control("stop", f"{GUARD}.timer", check=False)
