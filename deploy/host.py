"""A board, reached with the system's own ssh: the user's configuration, agent, known hosts and jump hosts all count."""

import io
import json
import shlex
import shutil
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

    def __init__(self, name, ssh=("ssh",), options=()):
        if name.startswith("-"):
            raise DeployError(f"{name!r} is no host")
        self.name, self.options = name, list(options)
        self.folder = tempfile.mkdtemp(prefix="edgert-")
        self.prefix = [*ssh, *_SHARED, "-o", f"ControlPath={self.folder}/%C", name]
        self.program = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End the shared connection."""
        subprocess.run([*self.prefix[:-1], "-O", "exit", self.name], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, script, stdin=None, heard=None):
        """Run a shell script on the board. heard: function of each line that it prints. Returns: what it printed.

        Raises: DeployError if it fails and printed nothing.
        """
        printed = []
        with tempfile.TemporaryFile() as complaint:
            command = [*self.prefix, script]
            stdin = stdin or subprocess.DEVNULL
            with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=complaint) as process:
                for line in process.stdout:
                    printed.append(line)
                    if heard:
                        heard(line)
            if process.returncode and not printed:
                complaint.seek(0)
                raise self._error(process.returncode, complaint.read().decode(errors="replace"))
        return printed

    def send_program(self):
        """Put the board's program there; every other call needs it."""
        archive = board_program()
        name = f".cache/edgert/{archive.digest}.pyz"
        with tempfile.TemporaryFile() as file:
            file.write(archive.data)
            file.seek(0)
            script = f"umask 077; mkdir -p .cache/edgert && cat > {name}.new && mv {name}.new {name} && pwd"
            home = self.run(script, file)[-1]
        self.program = f"{home.decode().strip()}/{name}"

    def call(self, *words, stdin=None, sudo=True, heard=None):
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

        command = shlex.join(["python3", self.program, *self.options, *words])
        root = '[ "$(id -u)" = 0 ] || s="sudo -n"; ' if sudo else ""
        self.run(f"{root}exec $s {command}", stdin, listen)
        if not answer:
            raise DeployError(f"{self.name}: the connection ended before the board had answered")
        if not answer["ok"]:
            raise DeployError(f"{self.name}: {answer['error']}")
        return answer

    def _error(self, code, complaint):
        """What a connection or a shell died of, with the mend where it is known."""
        lines = [line.strip() for line in complaint.splitlines() if line.strip()]
        words = lines[-1] if lines else f"exit code {code}"
        mend = next((f" ({mend})" for sign, mend in _MENDS if sign in words), "")
        return DeployError(f"{self.name}: {'ssh' if code == _SSH_FAILED else 'the board'} says: {words}{mend}")


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
