"""A deployment as the desktop sees it: look, send what is missing, let the board install, test and switch."""

import hashlib
import json
import tempfile
import time
from pathlib import Path

from edgert.deploy import wheels
from edgert.deploy.findings import findings
from edgert.errors import DeployError, InputError


class Parcel:
    """What is to run: files by SHA-256, and the specification of the release (see board/deployment.py).

    service: a `units.Unit` that systemd is to run, or None.
    """

    def __init__(self, model, wheel_folder, facts, service=None, insist=False):
        self.paths = {}
        chosen = wheels.fitting(wheel_folder, facts)
        named = [[path.name, self._add(path)] for path in chosen]
        python = "{}.{}".format(*facts["python"])
        extras = service.extras if service else ""
        model = Path(model)
        self.spec = {
            "model": self._add(model),
            "venv": hashlib.sha256(json.dumps([python, extras, named]).encode()).hexdigest()[:16],
            "wheels": named,
            "extras": extras,
            "files": service.files if service else {},
            "units": [service.name] if service else [],
            "sockets": {service.name: service.socket} if service and service.socket else {},
            "about": {"model": model.name, "edgert": chosen[0].name.split("-")[1], "python": python},
            "insist": insist,
        }

    def _add(self, path):
        digest = sha256_of(path)
        self.paths[digest] = path
        return digest

    @property
    def nbytes(self):
        return sum(path.stat().st_size for path in self.paths.values())


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def check_model(model, service=None):
    """Raises: ModelFormatError if the file is damaged; InputError if it does not fit the service."""
    from edgert.format import reader

    reader.verify(model)
    task = reader.read(model).graph.metadata.task
    if service and (task == "generate") != (service.kind == "prompt"):
        raise InputError(f"{model} {'answers prompts' if task == 'generate' else 'takes pictures'}: use "
                         f"{'--prompt' if task == 'generate' else '--camera'}")  # fmt: skip


def deploy(host, model, *, wheel_folder, say, service=None, health_s=5.0, insist=False, dry_run=False):
    """Put `model` and edgert on `host`; gives what the board answered.

    host: a Host. say: function of (step, text), called as each step is done. service: see Parcel; it must stay up and
    well for `health_s` seconds. Raises: DeployError; the board then has, and runs, what it had before.
    """
    check_model(model, service)
    if dry_run:
        return _dry_run(host, model, wheel_folder, say, service)
    host.send_program()
    parcel, missing = _look(host, model, wheel_folder, say, service, insist)
    for digest, offset in missing.items():
        _send(host, parcel.paths[digest], digest, offset)
    say("transfer", f"{_nbytes(parcel, missing):,} of {parcel.nbytes:,} bytes sent, the rest was there")
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(parcel.spec).encode())
        file.seek(0)
        return host.call(
            "apply", "--health", str(health_s), stdin=file, heard=lambda line: say(line["step"], line["text"])
        )


def _dry_run(host, model, wheel_folder, say, service):
    """The steps that only look; nothing of them stays on the board."""
    host.send_program(once=True)
    try:
        parcel, missing = _look(host, model, wheel_folder, say, service)
    finally:
        host.forget_program()
    to_send = _nbytes(parcel, missing)
    say("transfer", f"{to_send:,} of {parcel.nbytes:,} bytes would be sent; nothing was changed")
    return {"dry_run": True, "to_send": to_send}


def _look(host, model, wheel_folder, say, service, insist=False):
    """(Parcel, what of it is missing there), once nothing stands in the way. Raises: DeployError."""
    facts = host.call("preflight", *(["--source", service.source] if service else []))
    parcel = Parcel(model, wheel_folder, facts, service, insist)
    troubles = findings(facts, service, parcel.nbytes, time.time())
    if troubles:
        raise DeployError(f"{host.name} is not ready: " + "; ".join(troubles))
    say("preflight", f"{facts['board'] or facts['machine']}, Python {'.'.join(map(str, facts['python']))}, "
        f"{facts['disk_free'] >> 20:,} MB free")  # fmt: skip
    return parcel, _missing(host, parcel)


def _nbytes(parcel, missing):
    return sum(parcel.paths[digest].stat().st_size - offset for digest, offset in missing.items())


def _missing(host, parcel):
    """SHA-256 -> bytes already there, of the files that are not whole on the board."""
    have = host.call("have", *parcel.paths)["have"]
    return {digest: there for digest, there in have.items() if there != "whole"}


def _send(host, path, digest, offset):
    """The rest of one file; once more from the start if what was there had been damaged."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(offset)
        try:
            host.call("receive", digest, str(size), str(offset), stdin=file)
        except DeployError:
            if not offset:
                raise
            file.seek(0)
            host.call("receive", digest, str(size), "0", stdin=file)
