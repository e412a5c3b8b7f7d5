"""What a service says of itself, asked over its unix socket."""

import http.client
import json
import socket
import time

_ASK_AGAIN_S = 0.2


class _Local(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def health(path, model, patience_s):
    """(whether it is well, what it says in a line). Asks again until an answer is good or `patience_s` are over.

    model: the file that is to answer. A service whose new model fails goes on with the last good one: well for those
    who ask it, and not what was deployed.
    """
    end = time.monotonic() + patience_s
    while True:
        well, text = _ask(path, model, patience_s)
        if well or time.monotonic() >= end:
            return well, text
        time.sleep(_ASK_AGAIN_S)


def _ask(path, model, timeout):
    connection = _Local(path, timeout)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        fields = _fields(answer.read(1 << 16))
        if answer.status == 200 and model not in _models(fields):
            return False, "; ".join(fields.get("reasons", ())) or f"{model} does not answer"
        return answer.status == 200, _sentence(answer.status, fields)
    except (OSError, http.client.HTTPException) as error:
        return False, f"/health does not answer: {error or type(error).__name__}"
    finally:
        connection.close()


def _fields(body):
    try:
        fields = json.loads(body)
    except ValueError:
        fields = None
    return fields if isinstance(fields, dict) else {}


def _models(fields):
    """The files that answer, as the service names them."""
    return [one.get("file") for one in fields.get("models", ()) if isinstance(one, dict)]


def _sentence(status, fields):
    if "status" not in fields:
        return f"/health answers {status}"
    frames = fields.get("frames")
    rate = [f"{frames['fps']} frames a second"] if frames else []
    return ", ".join([f"status {fields['status']}", *rate, *fields.get("reasons", [])])
