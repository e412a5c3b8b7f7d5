"""The HTTP server in a thread of its own, on sockets that somebody else bound."""

import socket
import threading

from edgert.optional import require
from edgert.serve import guard, wire


def application(routes):
    """A starlette application of these routes."""
    require("starlette", "serving")
    from starlette.applications import Starlette

    return Starlette(routes=routes)


class Server:
    """Serves an ASGI application on listening descriptors, which it duplicates, between start() and stop().

    token: what clients must send, or None where only this machine's programs reach it.
    """

    def __init__(self, app, descriptors, token=None):
        uvicorn = require("uvicorn", "serving")
        config = wire.config(guard.guarded(app, token), timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._sockets = [socket.socket(fileno=socket.dup(number)) for number in descriptors]
        self._thread = threading.Thread(target=self._run, daemon=True, name="edgert-http")

    def leaving(self):
        """Whether it ends: streams end then."""
        return self._server.should_exit

    def start(self):
        self._thread.start()

    def leave(self):
        """Take no more connections, end streams, finish answers."""
        self._server.should_exit = True

    def join(self, seconds):
        """Wait for the last answers, so long at most."""
        self._thread.join(seconds)

    def _run(self):
        self._server.run(sockets=self._sockets)
