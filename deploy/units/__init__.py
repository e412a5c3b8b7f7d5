"""What systemd runs on a board: a unit, the settings of one deployment, and where the journal lies."""

from pathlib import Path

from edgert.errors import InputError

HERE = Path(__file__).parent
NETWORK = "--host 0.0.0.0 --token-file /run/credentials/{unit}/token"
_SETTINGS = """\
# Written by edgert deploy, with this release. /etc/edgert/{kind}.env comes after it: what you set there, holds.
EDGERT_SOURCE={source}
EDGERT_OPTIONS={options}
"""


class Unit:
    """A unit and what it reads. kind: camera or prompt. files: name -> text, beside the model in a release."""

    __slots__ = ("kind", "source", "name", "files", "socket", "extras", "port")

    def __init__(self, kind, source="", options="", network=False, keep_journal=False):
        """source: of a camera's frames, see `edgert serve --camera`. options: more of `edgert serve`'s.

        network: listen on every address, with a token, and not on loopback alone. Raises: InputError.
        """
        source = source or ("camera" if kind == "camera" else "")
        self.kind, self.source, self.name = kind, source, f"edgert-{kind}.service"
        self.port = _port_of(options)
        self.socket, self.extras = f"/run/edgert-{kind}/edgert.sock", "serve"
        if len(source.split()) > 1:
            raise InputError(f"a source with spaces, {source!r}, does not go through systemd: make a symlink to it")
        if network:
            options = f"{NETWORK.format(unit=self.name)} {options}".strip()
        settings = _SETTINGS.format(kind=kind, source=_quoted(source), options=_quoted(options))
        self.files = {self.name: text_of(self.name), f"{kind}.env": settings}
        if not keep_journal:
            self.files["journald.conf"] = text_of("journald.conf")


def _port_of(options):
    """The port that `edgert serve` listens on with these options."""
    words = options.replace("=", " ").split()
    after = words[words.index("--port") + 1 :] if "--port" in words else ["8080"]
    if not after or not after[0].isdecimal():
        raise InputError(f"{options!r}: --port needs a number")
    return int(after[0])


def text_of(name):
    return (HERE / name).read_text(encoding="utf-8")


def _quoted(text):
    """A value of an environment file, see systemd.exec(5)."""
    if not text.isprintable():
        raise InputError(f"{text!r} cannot be a setting of a service: it has control characters")
    return '"' + "".join("\\" + letter if letter in '"\\$`' else letter for letter in text) + '"'
