"""A board on this machine: a shell where ssh would be, a systemctl that remembers, a wheel whose `edgert` does as told.

Everything else is real: the program that is sent, its files, symlinks, locks, virtual environments and pip.
"""

import hashlib
import json
import stat
import sys
import zipfile
from pathlib import Path

from edgert.deploy.host import Host

UNIT = "edgert-camera.service"

_SSH = """#!/bin/sh
# The script is the last word; what stands before it is ssh's business.
case " $* " in *" -O exit "*) exit 0;; esac
for script; do :; done
cd '{home}' && exec sh -c "$script"
"""

# Knows restart, show, stop; nothing else has an effect. A unit whose release has a model that begins with FAIL does not
# start, with LOOP it restarts for ever.
_SYSTEMCTL = """#!{python} -SE
import json, os, sys
folder, units = {folder!r}, {units!r}
words = [word for word in sys.argv[1:] if not word.startswith("-")]
verb, unit = words[0], words[1] if len(words) > 1 else ""
state = os.path.join(folder, unit + ".json")
if verb == "restart":
    release = os.path.dirname(os.path.realpath(os.path.join(units, unit)))
    with open(os.path.join(release, "model.bin"), "rb") as file:
        kind = file.read(4)
    fields = {{"ActiveState": "failed" if kind == b"FAIL" else "active", "loops": kind == b"LOOP",
              "asked": False, "NRestarts": 0, "release": os.path.basename(release)}}
    with open(state + ".new", "w") as file:
        json.dump(fields, file)
    os.rename(state + ".new", state)
elif verb == "stop" and os.path.exists(state):
    os.unlink(state)
elif verb == "show" and os.path.exists(state):
    with open(state) as file:
        fields = json.load(file)
    fields["NRestarts"] += fields["loops"] and fields["asked"]
    fields["asked"] = True
    if fields["loops"]:
        with open(state, "w") as file:
            json.dump(fields, file)
    for name in ("ActiveState", "NRestarts"):
        print(f"{{name}}={{fields[name]}}")
"""

_EDGERT = '''"""What a release's environment has: `edgert verify`."""
import json
import sys


def main():
    path = sys.argv[2]
    if open(path, "rb").read().startswith(b"GOLDEN"):
        sys.exit("edgert: golden answer 0 differs in 3 of 10 bytes")
    print(json.dumps({"ok": True, "golden_checked": {"fake": 2}}))
'''


class FakeBoard:
    """A board in a folder. host: a Host that reaches it."""

    def __init__(self, folder):
        self.folder, self.root, self.home, self.etc = folder, folder / "opt", folder / "home", folder / "etc"
        self.units = self.etc / "systemd" / "system"
        for path in (self.units, self.home):
            path.mkdir(parents=True)
        self.ssh = _program(folder / "ssh", _SSH.format(home=self.home))
        paths = {"folder": str(folder), "units": str(self.units)}
        self.systemctl = _program(folder / "systemctl", _SYSTEMCTL.format(python=sys.executable, **paths))
        self.options = ("--root", self.root, "--etc", self.etc, "--systemctl", self.systemctl, "--systemd-run", "")
        self.wheels = folder / "wheels"
        make_wheel(self.wheels, "1.0")

    def host(self):
        return Host("board", (str(self.ssh),), tuple(map(str, self.options)))

    def running(self):
        """(release, first bytes of its model, state of its unit) as systemd sees them."""
        link = self.root / "current"
        if not link.is_symlink():
            return None
        unit = json.loads((self.folder / f"{UNIT}.json").read_text())
        return link.resolve().name, (link / "model.bin").read_bytes(), unit["ActiveState"]

    def leftovers(self):
        """What lies in the installation and is half-made."""
        releases = list((self.root / "releases").iterdir())
        known = {"current", "refused.json", "edgert-board.pyz", "lock", "blobs", "venvs", "releases"}
        return (
            [path.name for path in releases if path.name.startswith(".")]
            + [path.name for path in (self.root / "venvs").iterdir() if not (path / "complete").exists()]
            + [path.name for path in self.root.iterdir() if path.name not in known]
            + [path.name for path in self.etc.rglob("*.new")]
        )


def _program(path, text):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def make_wheel(folder, version):
    """A wheel named edgert with the one command that a board runs."""
    folder.mkdir(exist_ok=True)
    info = f"edgert-{version}.dist-info"
    files = {
        "edgert_fake.py": _EDGERT,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: edgert\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nedgert = edgert_fake:main\n",
    }
    record = "".join(f"{name},sha256={_digest(text)},{len(text)}\n" for name, text in files.items())
    path = folder / f"edgert-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(name, text)
    return Path(path)


def _digest(text):
    from base64 import urlsafe_b64encode

    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
