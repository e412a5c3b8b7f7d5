"""The board's side of `edgert deploy`: one zip file sent over ssh, standard library only, Python 3.9 or newer.

    python3 edgert-board.pyz [--root /opt/edgert] VERB ...

Each verb prints JSON lines; the last has "ok". A release is made aside, tested, and becomes the current one by the
rename of one symlink: a power cut at any moment leaves the old release or the new one and nothing between.

    /opt/edgert/
      blobs/SHA256            files as they were sent (model, wheels); SHA256.part while one is on its way
      venvs/KEY/              one per set of wheels and Python; whole once it has the file `complete`
      releases/0007-1a2b3c4d/ model.bin, venv -> ../../venvs/KEY, release.json; a service's unit and settings
      current -> releases/... what users, and symlinks in /etc/systemd, point into
      pending.json            a switch that is not confirmed yet
      refused.json            what failed here, by the SHA-256 of model and settings, with the reason
      edgert-board.pyz        this program, for recovery

`recover` runs at the start of each deployment, at boot, and from a timer that a switch arms and its confirmation
disarms.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys

from . import preflight
from .commands import Refused, say
from .deployment import Deployment
from .service import Service
from .store import Store

_SYSTEMD = "/run/systemd/system"


def main(argv=None):
    args = _parser().parse_args(argv)
    os.environ.pop("PYTHONPATH", None)  # what lies there is not part of a release, and pip would count it as installed
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the connection may go: what was begun is finished
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        say(ok=True, **(answer(args) or {}))
    except Refused as error:
        say(ok=False, error=str(error))
        return 1
    except (OSError, subprocess.SubprocessError) as error:
        say(ok=False, error=f"{type(error).__name__}: {error}")
        return 1
    return 0


def _parser():
    parser = argparse.ArgumentParser(description="The board's side of `edgert deploy`.")
    parser.add_argument("--root", default="/opt/edgert")
    parser.add_argument("--etc", default="/etc")
    parser.add_argument("--systemctl", default="systemctl")
    parser.add_argument("--systemd-run", default="systemd-run")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("have").add_argument("sha256", nargs="*")
    receive = verbs.add_parser("receive")
    receive.add_argument("sha256")
    receive.add_argument("size", type=int)
    receive.add_argument("offset", type=int)
    for verb in ("apply", "rollback"):
        verbs.add_parser(verb).add_argument("--health", type=float, default=10.0)
    verbs.add_parser("recover").add_argument("--boot", action="store_true", help="wait for no unit: they wait for this")
    verbs.add_parser("preflight").add_argument("--source", default="")
    for verb in ("status", "remove"):
        verbs.add_parser(verb)
    return parser


def answer(args):
    """What a verb found or did, as the fields of its last line."""
    store = Store(args.root)
    if args.verb == "preflight":
        return preflight.facts(store.root, args.source)
    systemd_run = args.systemd_run.split() if os.path.isdir(_SYSTEMD) else []
    waits = not getattr(args, "boot", False)
    service = Service(store, args.etc, args.systemctl.split(), systemd_run, waits)
    deployment = Deployment(store, service)
    if args.verb == "status":
        return deployment.status()
    if args.verb == "have":
        return {"have": {sha256: store.have(sha256) for sha256 in args.sha256}}
    if args.verb in ("receive", "apply"):  # the others find an installation, or there is nothing to do
        store.prepare()
    elif not os.path.isdir(store.root):
        return _without_installation(args.verb)
    if args.verb == "receive":
        return store.receive(args.sha256, args.size, args.offset, sys.stdin.buffer)
    with store.locked():
        if args.verb == "apply":
            store.keep_program(sys.argv[0])
            return deployment.apply(json.load(sys.stdin), args.health)
        if args.verb == "rollback":
            return deployment.rollback(args.health)
        if args.verb == "recover":
            return {"undone": deployment.recover()}
        kept = deployment.remove()
        shutil.rmtree(store.root)
        return kept


def _without_installation(verb):
    if verb == "rollback":
        raise Refused("nothing is deployed here")
    return {"undone": None} if verb == "recover" else {"kept": [], "nothing": True}
