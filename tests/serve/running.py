"""A service as systemd would run it: a process group of its own, a socket for notifications, a port."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress


class Service:
    """`edgert serve WORDS...` on a free port. told: the lines that a service manager got. Leave it with close()."""

    def __init__(self, folder, *words, port=None, watchdog_s=None, log=None):
        self.path = str(folder / "notify")
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(self.path)
        self._manager.setblocking(False)
        self.told = []
        self.port = port or _free_port()
        environ = os.environ | {"NOTIFY_SOCKET": self.path}
        if watchdog_s:
            environ["WATCHDOG_USEC"] = str(int(1e6 * watchdog_s))
        command = [sys.executable, "-m", "edgert", "serve", *map(str, words), "--port", str(self.port)]
        self.log = log or folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=environ, stderr=log, start_new_session=True)
        self.pid = self.process.pid

    def listen(self):
        while True:
            try:
                self.told += self._manager.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.told

    def until(self, condition, seconds=30, every=0.05):
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"it did not happen:\n{self.said()}"
            time.sleep(every)
        return found

    def until_ready(self):
        self.until(lambda: "READY=1" in self.listen())
        return self

    def said(self):
        return self.log.read_text(errors="replace")

    def ask(self, path, method="GET", body=None, headers=None, timeout=5):
        """(status, content); None where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return None
        finally:
            connection.close()

    def health(self):
        answer = self.ask("/health")
        return json.loads(answer[1]) if answer else {}

    def parts(self):
        """{"worker": pid, "camera": pid} of what runs now."""
        found = {}
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as file:
            children = file.read().split()
        for pid in children:
            with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read()
                for part, module in (("worker", b"edgert.serve.worker"), ("camera", b"edgert.sources.child")):
                    if module in command:
                        found[part] = int(pid)
        return found

    def stop(self):
        """SIGTERM; the exit code and how long it took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15), time.monotonic() - started

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._manager.close()
        os.unlink(self.path)


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
