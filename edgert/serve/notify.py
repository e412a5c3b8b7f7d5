"""What systemd is told of a service.

Source: the manual page sd_notify(3): datagrams of NAME=value lines to the socket in NOTIFY_SOCKET.
"""

import os
import socket
from contextlib import contextmanager, suppress


class Notify:
    """send("READY=1"); nothing happens where no service manager listens. watchdog_s: its deadline, or None."""

    def __init__(self, environ=None):
        environ = os.environ if environ is None else environ
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if path else None
        self.watchdog_s = _seconds(environ)

    def send(self, *lines):
        """Tell these lines; a manager that does not read is none of our business."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), socket.MSG_DONTWAIT, self._address)

    @contextmanager
    def longer(self, seconds):
        """Context in which the manager's watchdog waits for so long at least, before and after as it was asked to."""
        if self.watchdog_s is None or self.watchdog_s > seconds:
            yield
            return
        self.send(f"WATCHDOG_USEC={int(1e6 * seconds)}")
        try:
            yield
        finally:
            self.send(f"WATCHDOG_USEC={int(1e6 * self.watchdog_s)}")


def _seconds(environ):
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1e6
