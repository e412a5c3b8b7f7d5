"""A release from its parts to confirmed use, and the way back from every step."""

import hashlib
import json
import sys
import time

from .commands import Refused, say
from .store import PROGRAM


class Deployment:
    """store: a Store. service: a Service."""

    def __init__(self, store, service):
        self.store, self.service = store, service

    def apply(self, spec, health_s):
        """Install, test, switch, start, watch, confirm; on any failure back to what ran before.

        spec: model (SHA-256), venv (key), extras (of edgert's wheel), wheels (list of [name, SHA-256]), files (name ->
        text: units and what they read), units (those to start), sockets (unit -> where its /health is asked), about
        (what `status` shows), insist (try a model that failed before). health_s: seconds that the units must stay up.
        Raises: Refused.
        """
        begun = time.monotonic()
        self.recover()
        earlier = self.store.refused().get(_key(spec))
        if earlier and not spec["insist"]:
            raise Refused(f"this model failed here before with these settings: {earlier} (--insist tries it again)")
        old = self.store.current()
        if self._runs(spec):
            return {"release": old, "unchanged": True}
        made = self.store.make_venv(spec)
        say(step="install", text="a new environment" if made else "environment reused")
        new = self.store.make_release(spec)
        self._change(old, new, health_s)
        self.store.forgive(_key(spec))
        self.store.retire()
        return {"release": new, "previous": old, "seconds": round(time.monotonic() - begun, 1)}

    def _runs(self, spec):
        """Whether the current release is this one, and up."""
        now = self.store.spec(self.store.current())
        same = all(now.get(part) == spec[part] for part in ("model", "venv", "files", "units"))
        return same and all(self.service.state(unit).get("ActiveState") == "active" for unit in spec["units"])

    def _change(self, old, new, health_s):
        """Release `new` in the place of `old`, or `old` as it was. Raises: what prevented it."""
        try:
            say(step="self-test", text=_golden_text(self.store.test_release(new)))
            self._put_in_service(old, new, health_s)
        except BaseException as error:
            if isinstance(error, Refused):
                self.store.refuse(_key(self.store.spec(new)), str(error))
            self._undo(old, new)
            raise
        self._confirm()

    def _put_in_service(self, old, new, health_s):
        spec = self.store.spec(new)
        if spec["units"]:
            self.service.prepare()
        self.store.set_pending(old, new)
        self.service.arm_guard(health_s, self._recovery())
        self.store.switch(new)
        say(step="switch", text=f"{old or 'nothing'} -> {new}")
        units = self.service.follow_current()
        if units:
            self.service.start(units)
            say(step="start", text=", ".join(units))
            said = self.service.watch(units, spec.get("sockets", {}), health_s)
            say(step="health", text=f"{health_s:g} s without a fault" + (f": {said}" if said else ""))

    def _recovery(self):
        return [sys.executable, self.store.path(PROGRAM), "--root", self.store.root, "recover"]

    def _confirm(self):
        self.store.clear_pending()
        self.service.disarm_guard()

    def _undo(self, old, new):
        """Back to `old` as it was. A release that was to follow it is deleted, one that it followed is kept."""
        if self.store.pending():
            self.store.switch(old)
            self._restart_old(old)
        if new > (old or "") and new in self.store.releases():
            self.store.delete_release(new)
        self._confirm()

    def _restart_old(self, old):
        units = self.service.follow_current()
        try:
            self.service.start(units)
            say(step="back", text=f"{old or 'nothing'} runs again")
        except Refused as error:  # as it may have been before: its fault is no reason to stop half-way
            say(step="back", text=f"{old} is current again, but {error}")

    def recover(self):
        """Undo a switch that nobody confirmed; delete what an interrupted deployment left. Returns: that switch."""
        pending = self.store.pending()
        if pending:
            self._undo(pending["old"], pending["new"])
        self.store.tidy()
        self.service.tidy()
        return pending

    def rollback(self, health_s):
        """Go back to the release before the current one, after its self-test. Raises: Refused."""
        self.recover()
        now = self.store.current()
        before = [name for name in self.store.releases() if now and name < now]
        if not before:
            raise Refused(f"there is no release before {now or 'the first'}")
        self._change(now, before[-1], health_s)
        self.store.delete_release(now)
        return {"release": before[-1], "previous": now}

    def remove(self):
        """Stop the units and forget every release. Returns: what is the owner's, and stays."""
        self.service.disarm_guard()
        self.service.tidy()
        self.store.switch(None)
        self.service.follow_current()
        return {"kept": self.service.forget()}

    def status(self):
        """What runs, what could run again, and what failed."""
        now = self.store.current()
        return {
            "current": now,
            "releases": [{"name": name, **self.store.spec(name)["about"]} for name in self.store.releases()],
            "units": {unit: self.service.state(unit) for unit in self.store.spec(now).get("units", [])},
            "pending": self.store.pending(),
            "refused": self.store.refused(),
        }


def _key(spec):
    """What a failure is remembered by: the same model with other software or settings deserves its own trial."""
    rest = json.dumps([spec["venv"], spec["files"], spec["units"]], sort_keys=True)
    return f"{spec['model']}-{hashlib.sha256(rest.encode()).hexdigest()[:8]}"


def _golden_text(found):
    counts = found["golden_checked"]
    said = [f"{count} of {count} golden answers bit for bit on {tier}" for tier, count in counts.items() if count]
    return ", ".join(said) or "the file is whole; it has no golden answers"
