"""The HTTP server in a thread of its own, on sockets that somebody else bound."""

import socket
import threading

from edgert.optional import require


def application(routes):
    """A starlette application of these routes."""
    require("starlette", "serving")
    from starlette.applications import Starlette

    return Starlette(routes=routes)


class Server:
    """Serves an ASGI application on listening descriptors, which it duplicates, between start() and leave().

    build: function that makes the application, called in the thread: what it loads keeps no answer waiting. failure:
    the exception that ended the thread, or None.
    """

    def __init__(self, build, descriptors):
        self._build, self._server, self._leaves, self.failure = build, None, False, None
        self._sockets = [socket.socket(fileno=socket.dup(number)) for number in descriptors]
        self._thread = threading.Thread(target=self._run, daemon=True, name="edgert-http")

    def leaving(self):
        """Whether it ends: streams end then."""
        return self._leaves

    def start(self):
        self._thread.start()

    def leave(self):
        """Take no more connections, end streams, finish answers."""
        self._leaves = True
        if self._server is not None:
            self._server.should_exit = True

    def join(self, seconds):
        """Wait for the last answers, so long at most."""
        self._thread.join(seconds)

    def _run(self):
        try:
            uvicorn = require("uvicorn", "serving")
            from edgert.serve.web import wire

            self._server = uvicorn.Server(wire.config(self._build(), timeout_graceful_shutdown=2))
            self._server.should_exit = self._leaves
            self._server.run(sockets=self._sockets)
        except BaseException as error:
            self.failure = error
