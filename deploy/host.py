"""A board, reached with the system's own ssh: the user's configuration, agent, known hosts and jump hosts all count."""

import contextlib
import io
import json
import os
import secrets
import shlex
import subprocess
import tempfile
import zipfile
from pathlib import Path

from edgert.errors import DeployError

_SSH_FAILED = 255
_BOARD = Path(__file__).parent / "board"
# One connection for all steps: the others ride on it. Host keys are checked as the user's configuration says.
_SHARED = (
    *("-o", "ControlMaster=auto", "-o", "ControlPersist=30"),
    *("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=6"),
)


class Host:
    """name: what ssh connects to. ssh: the command and options to do it with. options: for the board's program."""

    sudo = "sudo -n"

    def __init__(self, name, ssh=("ssh",), options=()):
        if name.startswith("-"):
            raise DeployError(f"{name!r} is no host")
        self.name, self.options = name, list(options)
        self.prefix = [*ssh, *_SHARED, "-o", f"ControlPath={_socket_folder()}/{secrets.token_hex(8)}", name]
        self.program = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End the shared connection."""
        with contextlib.suppress(FileNotFoundError):
            subprocess.run([*self.prefix[:-1], "-O", "exit", self.name], capture_output=True, check=False)

    def run(self, script, stdin=None, heard=None):
        """Run a shell script on the board. heard: function of each line that it prints. Returns: what it printed.

        Raises: DeployError if it fails and printed nothing.
        """
        printed = []
        with tempfile.TemporaryFile() as complaint:
            with self._begin(script, stdin or subprocess.DEVNULL, complaint) as process:
                for line in process.stdout:
                    printed.append(line)
                    if heard:
                        heard(line)
            if process.returncode and not printed:
                complaint.seek(0)
                raise self._error(process.returncode, complaint.read().decode(errors="replace"))
        return printed

    def _begin(self, script, stdin, complaint):
        try:
            return subprocess.Popen([*self.prefix, script], stdin=stdin, stdout=subprocess.PIPE, stderr=complaint)
        except FileNotFoundError:
            mend = "apt install openssh-client, or --ssh with another command"
            raise DeployError(f"there is no {self.prefix[0]} here: {mend}") from None

    def send_program(self, once=False):
        """Put the board's program there; every other call needs it. once: under a name of its own, to be deleted."""
        archive = board_program()
        name = f".cache/edgert/{archive.digest}{'-' + secrets.token_hex(4) if once else ''}.pyz"
        with tempfile.TemporaryFile() as file:
            file.write(archive.data)
            file.seek(0)
            script = f"umask 077; mkdir -p .cache/edgert && cat > {name}.new && mv {name}.new {name} && pwd"
            home = self.run(script, file)[-1]
        self.program = f"{home.decode().strip()}/{name}"

    def forget_program(self, every=False):
        """Leave nothing of `send_program` there; every: nor of earlier ones."""
        names = ".cache/edgert/*.pyz .cache/edgert/*.pyz.new" if every else shlex.quote(self.program)
        self.run(f"rm -f {names}; rmdir .cache/edgert .cache 2> /dev/null || true")

    def run_as_root(self, command, stdin=None, heard=None):
        """`run` of one command by root, or with sudo."""
        return self.run(f'[ "$(id -u)" = 0 ] || s="{self.sudo}"; exec $s {command}', stdin, heard)

    def call(self, *words, stdin=None, heard=None):
        """Run one verb of the board's program; gives the fields of its answer.

        stdin: an open file. heard: function of each progress line's fields. Raises: DeployError.
        """
        answer = {}

        def listen(line):
            fields = _fields(line)
            if "ok" in fields:
                answer.update(fields)
            elif heard and fields:
                heard(fields)

        self.run_as_root(shlex.join(["python3", self.program, *self.options, *words]), stdin, listen)
        if not answer:
            raise DeployError(f"{self.name}: the connection ended before the board had answered")
        if not answer["ok"]:
            raise DeployError(f"{self.name}: {answer['error']}")
        return answer

    def _error(self, code, complaint):
        """What a connection or a shell died of, with the mend where it is known."""
        lines = [line.strip().removeprefix("ssh: ") for line in complaint.splitlines() if line.strip()]
        words = lines[-1] if lines else f"exit code {code}"
        mend = next((f" ({mend})" for sign, mend in _MENDS if sign in words), "")
        return DeployError(f"{self.name}: {'ssh' if code == _SSH_FAILED else 'the board'} says: {words}{mend}")


class Here(Host):
    """This machine, without ssh."""

    sudo = "sudo"  # it may ask for a password: there is a terminal to ask on

    def __init__(self, options=()):
        self.name, self.options, self.program = "this machine", list(options), None
        self.prefix = ["sh", "-c"]

    def send_program(self, once=True):
        super().send_program(once=True)

    def close(self):
        if self.program:
            self.forget_program()

    def run(self, script, stdin=None, heard=None):
        return super().run(f"cd && {script}", stdin, heard)


def _socket_folder():
    """Where ssh's sockets lie. ssh deletes each, also when this process is killed; a folder for each would stay.

    Short, as the path of a socket has 108 bytes at most.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = f"{base}/edgert" if base and os.path.isdir(base) else f"/tmp/edgert-{os.getuid()}"
    os.makedirs(folder, 0o700, exist_ok=True)
    if os.stat(folder).st_uid != os.getuid() or os.path.islink(folder):
        raise DeployError(f"{folder} is someone else's: delete it, ssh's sockets are to lie there")
    return folder


_MENDS = (
    ("password is required", "let this user become root without a password: `sudo visudo -f /etc/sudoers.d/edgert`, "
     "line `USER ALL=(ALL) NOPASSWD: ALL`"),
    ("sudo: not found", "log in as root, or apt install sudo"),
    ("python3: not found", "apt install python3"),
    ("Permission denied", "ssh-copy-id puts your key there"),
    ("Host key verification failed", "connect once with ssh and compare the key; a key that changed is a warning"),
    ("Could not resolve", "is the board on this network, and its name right?"),
    ("Connection refused", "is ssh switched on there? (raspi-config, Interface Options)"),
    ("timed out", "is the board switched on and on this network?"),
)  # fmt: skip


class Program:
    """The board's side as one zip file. data: its bytes. digest: of them."""

    __slots__ = ("data", "digest")

    def __init__(self, data):
        from hashlib import sha256

        self.data, self.digest = data, sha256(data).hexdigest()[:16]


def board_program():
    """The package `board` and a line that starts it; the same bytes each time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(_BOARD.glob("*.py")):
            archive.writestr(zipfile.ZipInfo(f"board/{path.name}"), path.read_bytes())
        main = "import sys\nfrom board.main import main\nsys.exit(main())\n"
        archive.writestr(zipfile.ZipInfo("__main__.py"), main)
    return Program(out.getvalue())


def _fields(line):
    """What a line of the board says; {} for anything else, such as a greeting of its shell."""
    try:
        fields = json.loads(line)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
