"""The HTTP server in a thread of its own, on sockets that somebody else bound."""

import socket
import threading

from edgert.optional import require
from edgert.serve.page import MAX_CONNECTIONS, MAX_HEADER_BYTES


class Server:
    """Serves an ASGI application on listening descriptors, which it duplicates, between start() and stop()."""

    def __init__(self, app, descriptors):
        uvicorn = require("uvicorn", "serving")
        config = uvicorn.Config(
            app, log_level="critical", access_log=False, lifespan="off", limit_concurrency=MAX_CONNECTIONS,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES, timeout_keep_alive=5, ws_max_size=4096, ws_max_queue=4,
            ws_ping_interval=20.0, ws_ping_timeout=20.0, timeout_graceful_shutdown=2, http="h11",
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._sockets = [socket.socket(fileno=socket.dup(number)) for number in descriptors]
        self._thread = threading.Thread(target=self._run, daemon=True, name="edgert-http")

    def leaving(self):
        """Whether it ends: streams end then."""
        return self._server.should_exit

    def start(self):
        self._thread.start()

    def stop(self, seconds):
        """Take no more connections, finish answers; waits at most so long."""
        self._server.should_exit = True
        self._thread.join(seconds)

    def _run(self):
        self._server.run(sockets=self._sockets)
