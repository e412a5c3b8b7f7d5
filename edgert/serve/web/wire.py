"""What every connection meets before an application sees it: limits and timeouts that uvicorn does not have itself.

A client that opens a connection and says nothing, or its headers byte by byte, has HEADER_S; one that sends a body,
BODY_S; one that does not read, STALL_S. More than MAX_CONNECTIONS: the one that has been idle longest goes, so that
thousands of idle ones do not keep others out. A WebSocket that floods is closed with 1008, one whose message comes in
more pieces than it could need with 1009.
"""

import socket

from edgert.optional import require

MAX_CONNECTIONS = 256
MAX_HEADER_BYTES = 16_384
HEADER_S, BODY_S, STALL_S, KEEP_ALIVE_S = 10.0, 30.0, 30.0, 5
# A peer that is gone without a word is noticed after 20 s + 3 times 5 s.
GONE = {"KEEPIDLE": 20, "KEEPINTVL": 5, "KEEPCNT": 3, "USER_TIMEOUT": 35_000}
SOCKET_MESSAGE_BYTES = 4_096
SOCKET_BYTES_A_SECOND = 65_536  # that a WebSocket may send us
SOCKET_FRAGMENTS = 64
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_BAD = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def config(app, **options):
    """A uvicorn.Config for an ASGI application, with all limits. options: host, port and others of uvicorn's."""
    uvicorn = require("uvicorn", "serving")
    return uvicorn.Config(
        app, log_level="critical", access_log=False, lifespan="off", http=_http_protocol(), ws=_socket_protocol(),
        h11_max_incomplete_event_size=MAX_HEADER_BYTES, timeout_keep_alive=KEEP_ALIVE_S,
        ws_max_size=SOCKET_MESSAGE_BYTES, ws_max_queue=4, ws_ping_interval=20.0, ws_ping_timeout=20.0, **options,
    )  # fmt: skip


class _Timers:
    """Named timers of one connection."""

    def __init__(self, loop):
        self._loop, self._set = loop, {}

    def start(self, name, seconds, function):
        if name not in self._set:
            self._set[name] = self._loop.call_later(seconds, function)

    def stop(self, *names):
        for name in names or tuple(self._set):
            if name in self._set:
                self._set.pop(name).cancel()


def _http_protocol():
    from uvicorn.protocols.http.h11_impl import H11Protocol

    idle = {}  # protocols without a request, longest first

    class Protocol(H11Protocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.timers = _Timers(self.loop)
            _keep_alive(transport.get_extra_info("socket"))
            if len(self.connections) > MAX_CONNECTIONS and not self._make_room():
                transport.write(_BUSY)
                transport.close()
                return
            idle[self] = True
            self.timers.start("header", HEADER_S, self._refuse)

        def data_received(self, data):
            super().data_received(data)
            if self in self.connections:  # no WebSocket now
                self._watch()

        def on_response_complete(self):
            super().on_response_complete()
            if self in self.connections and not self.transport.is_closing():
                self._watch()
                if self._is_idle():
                    self.timers.stop("header")  # its next request begins with its next byte

        def handle_websocket_upgrade(self, event):
            # The library's own parser of requests refuses more than h11 does, such as a body, and answers nothing then.
            self._leave()
            try:
                super().handle_websocket_upgrade(event)
                begun = getattr(self.transport.get_protocol(), "handshake_initiated", True)
            except Exception:  # it may raise anything; the protocol that was made is not the connection's then
                begun = False
                others = [other for other in self.connections if other.transport is self.transport]
                self.connections.difference_update(others)
            if not begun and not self.transport.is_closing():
                self.transport.write(_BAD)
                self.transport.close()

        def pause_writing(self):
            super().pause_writing()
            self.timers.start("stall", STALL_S, self.transport.abort)

        def resume_writing(self):
            super().resume_writing()
            self.timers.stop("stall")

        def connection_lost(self, exc):
            self._leave()
            super().connection_lost(exc)

        def _watch(self):
            if self._is_idle():
                idle[self] = True
                self.timers.stop("body")
                self.timers.start("header", HEADER_S, self._refuse)
                return
            idle.pop(self, None)
            self.timers.stop("header")
            if self.cycle.more_body:
                self.timers.start("body", BODY_S, self.transport.abort)
            else:
                self.timers.stop("body")

        def _is_idle(self):
            return self.cycle is None or self.cycle.response_complete

        def _make_room(self):
            """End the connection that has been idle longest; False if there is none."""
            for oldest in idle:
                oldest.transport.abort()
                oldest._leave()
                self.connections.discard(oldest)
                return True
            return False

        def _refuse(self):
            if not self.transport.is_closing():
                self.transport.write(_TOO_SLOW)
                self.transport.close()

        def _leave(self):
            idle.pop(self, None)
            self.timers.stop()

    return Protocol


def _socket_protocol():
    from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol

    if AutoWebSocketsProtocol is None:
        return "none"

    class Protocol(AutoWebSocketsProtocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.timers, self.second, self.received = _Timers(self.loop), 0, 0

        def data_received(self, data):
            second = int(self.loop.time())
            if second != self.second:
                self.second, self.received = second, 0
            self.received += len(data)
            if self.received > SOCKET_BYTES_A_SECOND:
                self._close(1008)
                return
            super().data_received(data)
            # Pieces of no length never reach the limit of a message's size.
            if len(getattr(self, "frames", ())) > SOCKET_FRAGMENTS:
                self._close(1009)

        def pause_writing(self):
            super().pause_writing()
            self.transport.pause_reading()  # answers to pings are written whoever reads them
            self.timers.start("stall", STALL_S, self.transport.abort)

        def resume_writing(self):
            super().resume_writing()
            self.timers.stop("stall")
            if not getattr(self, "read_paused", False):
                self.transport.resume_reading()

        def connection_lost(self, exc):
            self.timers.stop()
            super().connection_lost(exc)

        def _close(self, code):
            if not self.transport.is_closing():
                self.transport.write(b"\x88\x02" + code.to_bytes(2, "big"))
                self.transport.close()

    return Protocol


def _keep_alive(connection):
    """Notice a peer that is gone without a word, whether we send to it or wait for it."""
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in GONE.items():
        connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{option}"), value)
