"""The sockets of a service, bound once by its supervisor: they stay open while a part behind them starts again."""

import os
import socket
import stat

from edgert.errors import EdgertError

BACKLOG = 128


def bind(host, port, unix=None):
    """List of listening sockets: TCP at host:port, and a unix socket at the path `unix`.

    Raises: EdgertError if an address is taken, unknown or not ours.
    """
    sockets = [_tcp(host, port)]
    if unix:
        try:
            sockets.append(_unix(unix))
        except EdgertError:
            sockets[0].close()
            raise
    return sockets


def _tcp(host, port):
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host.encode(), port))  # bytes: as text it would be sought among names in every alphabet
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        hint = " (another program has it; choose another port)" if error.errno == 98 else ""
        raise EdgertError(f"{host} port {port}: {error.strerror or error}{hint}") from error
    return listening


def _unix(path):
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode) and not _answers(path):
            os.unlink(path)  # left by a service that was killed
    except FileNotFoundError:
        pass
    try:
        listening.bind(path)
        os.chmod(path, 0o660)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise EdgertError(f"unix socket {path}: {error.strerror or error}") from error
    return listening


def _answers(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        try:
            client.connect(path)
        except OSError:
            return False
        return True


def close(listening):
    name = listening.getsockname()
    listening.close()
    if isinstance(name, str) and name:
        os.unlink(name)


def address(listening):
    """How a listening socket is reached, for people."""
    name = listening.getsockname()
    if isinstance(name, str):
        return name
    return f"http://{'[' + name[0] + ']' if ':' in name[0] else name[0]}:{name[1]}/"
