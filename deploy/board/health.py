"""What a service says of itself, asked over its unix socket."""

import http.client
import json
import socket
import time

_ASK_AGAIN_S = 0.2
_SAID = ("problem", "status", "fps", "temperature_c")  # fields of the answer that a person wants to see


class _Local(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def health(path, patience_s):
    """(whether it is well, what it says in a line). Asks again until an answer is good or `patience_s` are over."""
    end = time.monotonic() + patience_s
    while True:
        well, text = _ask(path, patience_s)
        if well or time.monotonic() >= end:
            return well, text
        time.sleep(_ASK_AGAIN_S)


def _ask(path, timeout):
    connection = _Local(path, timeout)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        return answer.status == 200, _sentence(answer.status, answer.read(1 << 16))
    except (OSError, http.client.HTTPException) as error:
        return False, f"/health does not answer: {error or type(error).__name__}"
    finally:
        connection.close()


def _sentence(status, body):
    try:
        fields = json.loads(body)
    except ValueError:
        fields = {}
    said = [f"{name} {fields[name]}" for name in _SAID if isinstance(fields, dict) and fields.get(name)]
    return ", ".join(said) or f"/health answers {status}"
