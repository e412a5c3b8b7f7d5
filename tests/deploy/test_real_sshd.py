"""Deployments through the system's own ssh to an sshd on this machine: what only a real connection does."""

import getpass
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from fake_board import FakeBoard
from test_deploy import put

from edgert.deploy.host import Host
from edgert.errors import DeployError

SSHD = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")

pytestmark = pytest.mark.skipif(
    not (SSHD and shutil.which("ssh")), reason="no sshd here (apt install openssh-server openssh-client)"
)

_SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
ForceCommand cd {home} && exec sh -c "$SSH_ORIGINAL_COMMAND"
"""
_CLIENT = """\
Host board
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile none
  BatchMode yes
"""


class RealBoard(FakeBoard):
    """A board in a folder, behind an sshd of its own."""

    def __init__(self, folder):
        super().__init__(folder)
        for name in ("host_key", "key", "strange_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        words = {"port": port, "folder": folder, "home": shlex.quote(str(self.home)), "user": getpass.getuser()}
        (folder / "sshd_config").write_text(_SERVER.format(**words))
        (folder / "ssh_config").write_text(_CLIENT.format(**words))
        key = (folder / "host_key.pub").read_text()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}")
        if not os.getuid():
            Path("/run/sshd").mkdir(exist_ok=True)  # where it keeps what has no privileges
        with open(folder / "log", "w") as log:
            self.sshd = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
        until(lambda: _listens(port) or self.sshd.poll() is not None)

    def host(self, folder=None, **other):
        """folder: where a configuration is made that differs from the board's own. other: word in it -> another."""
        path = self.folder / "ssh_config"
        if other:
            text = path.read_text()
            for name, value in other.items():
                text = re.sub(rf"  {name} .*", f"  {name} {value}", text)
            path = folder / "ssh_config"
            path.write_text(text)
        return Host("board", ("ssh", "-F", str(path)), tuple(map(str, self.options)))

    def sessions(self):
        """Processes of sshd that serve a connection."""
        with open(f"/proc/{self.sshd.pid}/task/{self.sshd.pid}/children") as file:
            return [int(word) for word in file.read().split()]


def _listens(port):
    with socket.socket() as one:
        return not one.connect_ex(("127.0.0.1", port))


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "not within 30 s"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    one = RealBoard(tmp_path_factory.mktemp("real"))
    yield one
    one.sshd.terminate()
    one.sshd.wait(10)


def test_a_deployment_takes_one_connection_and_closes_it(board, tmp_path):
    answer, said = put(board, tmp_path, b"GOOD model")
    assert said == ["preflight", "transfer", "install", "self-test", "switch", "start", "health"]
    assert board.running() == (answer["release"], b"GOOD model", "active")
    assert (board.folder / "log").read_text().count("Accepted publickey") == 1
    until(lambda: not board.sessions())


@pytest.mark.parametrize("known", ["", "another key"])
def test_a_host_key_that_is_not_known_or_is_another_is_refused(board, tmp_path, known):
    name, *_ = (board.folder / "known_hosts").read_text().split()
    strange = (board.folder / "strange_key.pub").read_text()
    (tmp_path / "known").write_text(known and f"{name} {strange}")
    host = board.host(tmp_path, UserKnownHostsFile=tmp_path / "known")
    with host, pytest.raises(DeployError, match=r"Host key verification failed.*connect once with ssh"):
        host.send_program()


def test_a_key_that_the_board_does_not_know_is_refused_with_the_mend(board, tmp_path):
    host = board.host(tmp_path, IdentityFile=board.folder / "strange_key")
    with host, pytest.raises(DeployError, match=r"Permission denied.*ssh-copy-id"):
        host.send_program()


def test_a_board_finishes_what_it_began_when_the_connection_is_cut(board, tmp_path):
    put(board, tmp_path, b"GOOD before")
    before, failed = board.running()[0], []

    def deploy():
        try:
            put(board, tmp_path, b"GOOD after")
        except DeployError as error:
            failed.append(str(error))

    thread = threading.Thread(target=deploy)
    thread.start()
    until(lambda: max(path.name for path in (board.root / "releases").iterdir()) > before)
    for session in board.sessions():
        os.kill(session, signal.SIGKILL)
    thread.join(30)
    assert not thread.is_alive()
    assert "the connection ended before the board had answered" in failed[0]
    until(lambda: board.running()[1] == b"GOOD after" and not board.leftovers())
