"""Clients that mean harm, over real sockets: each is turned away, and nobody else notices."""

import asyncio
import random
import socket
import struct
import time
from contextlib import suppress

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")

from hostile import GET, HELLO, POST, frame, mutated, status
from starlette.responses import StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect
from text_server import TextServer, receive, until

from edgert.serve.web import prompt, wire

streams = []  # one entry for each stream of more_routes() that still runs


def more_routes(answerer):
    """The prompt page; a stream that never ends; a WebSocket that takes anything and says a word now and then."""

    async def endless():
        streams.append(1)
        try:
            while True:
                yield bytes(65_536)
                await asyncio.sleep(0)
        finally:
            streams.pop()

    async def stream(request):
        return StreamingResponse(endless())

    async def talk(websocket):
        await websocket.accept()
        try:
            while True:
                await websocket.send_text(f"{len(await websocket.receive_text())}")
        except (WebSocketDisconnect, KeyError):
            pass

    return [*prompt.routes(answerer, "/"), Route("/endless", stream), WebSocketRoute("/ws", talk)]


@pytest.fixture(scope="module")
def server():
    running = TextServer(more_routes)
    running.server.config.timeout_keep_alive = 0.2
    yield running
    running.close()


@pytest.fixture(autouse=True)
def nobody_else_notices(request):
    yield
    if "server" in request.fixturenames:
        server = request.getfixturevalue("server")
        assert server.ask("/v1/models")[0].status == 200
        until(lambda: len(server.server.server_state.connections) == 0)
        assert not streams


def everything(client, seconds=10):
    """What a client is sent until the connection ends."""
    client.settimeout(seconds)
    received = b""
    try:
        while part := client.recv(65_536):
            received += part
    except ConnectionError:
        pass
    client.close()
    return received


CHUNKED = b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"


def test_headers_that_never_end_are_given_up(server, monkeypatch):
    monkeypatch.setattr(wire, "HEADER_S", 0.2)
    for data in (b"", GET[:5], GET, GET + b"A: b"):
        assert status(everything(server.connect(data))) == 408


def test_the_second_request_of_a_connection_has_no_more_time(server, monkeypatch):
    client = server.connect(GET + b"\r\n")
    receive(client, b"shakespeare")
    monkeypatch.setattr(wire, "HEADER_S", 0.2)
    client.sendall(GET)
    assert status(everything(client)) == 408


def test_a_byte_now_and_then_does_not_help(server, monkeypatch):
    monkeypatch.setattr(wire, "HEADER_S", 0.3)
    client, sent = server.connect(GET), 0
    client.setblocking(False)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            client.send(b"x")
            sent += 1
        except (ConnectionError, BlockingIOError):
            break
        time.sleep(0.02)
    assert 0 < sent < 100
    client.close()


def test_a_body_that_never_ends_is_given_up(server, monkeypatch):
    monkeypatch.setattr(wire, "BODY_S", 0.2)
    head = POST + b"Content-Length: 100\r\n\r\n{"
    assert everything(server.connect(head)) == b""


def test_a_client_that_does_not_read_is_sent_away(server, monkeypatch):
    monkeypatch.setattr(wire, "STALL_S", 0.2)
    client = server.connect()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sendall(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until(lambda: streams)
    until(lambda: not streams)
    client.close()


def test_the_kernel_is_told_to_notice_a_client_that_is_gone_without_a_word(server):
    client = server.connect(GET + b"\r\n")
    receive(client, b"shakespeare")
    [protocol] = server.server.server_state.connections
    connection = protocol.transport.get_extra_info("socket")
    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    found = {name: connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}")) for name in wire.GONE}
    assert found == wire.GONE
    assert found["KEEPIDLE"] + found["KEEPINTVL"] * found["KEEPCNT"] == found["USER_TIMEOUT"] / 1000 == 35
    client.close()


def test_idle_connections_make_room(server, monkeypatch):
    monkeypatch.setattr(wire, "MAX_CONNECTIONS", 20)
    idle = [server.connect() for _ in range(200)]
    until(lambda: len(server.server.server_state.connections) <= 20)
    assert server.ask("/v1/models")[0].status == 200
    assert everything(idle[0]) == b""
    for client in idle:
        client.close()


def test_more_busy_connections_than_may_be_are_told_so(server, monkeypatch):
    monkeypatch.setattr(wire, "MAX_CONNECTIONS", 3)
    busy = [server.connect(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(3)]
    until(lambda: len(streams) == 3)
    received = everything(server.connect(GET + b"\r\n"))
    assert status(received) in (503, None)
    for client in busy:
        client.close()
    until(lambda: not streams)


NO_REQUESTS = {
    "headers of 40 KB": GET + b"A: " + b"a" * 40_000 + b"\r\n\r\n",
    "a header of 40 KB in no hurry": GET + b"A: " + b"a" * 40_000,
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length and chunks": POST + b"Content-Length: 2\r\n" + CHUNKED + b"0\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "a length of 40 digits": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "chunks that are none": POST + CHUNKED + b"zz\r\n",
    "a chunk's length of 40 KB": POST + CHUNKED + b"0" * 40_000,
    "another encoding": POST + b"Transfer-Encoding: gzip\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "another's host": b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "zeros": bytes(1000),
    "a folded header": GET + b" folded: x\r\n\r\n",
    "a bare line feed in a header": GET + b"A: b\nC\r\n\r\n",
    "a method that is not there": b"DELETE /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a target that is none": b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an upgrade to nothing known": GET + b"Upgrade: h2c\r\nConnection: Upgrade\r\nHTTP2-Settings: x\r\n\r\n",
}


@pytest.mark.parametrize("data", NO_REQUESTS.values(), ids=NO_REQUESTS)
def test_requests_that_are_none(server, data, monkeypatch):
    monkeypatch.setattr(wire, "HEADER_S", 0.5)
    found = status(everything(server.connect(data)))
    assert found is None or 400 <= found < 500 or (found == 200 and b"h2c" in data)


def test_a_length_and_chunks_is_not_read_one_way_or_the_other(server):
    assert b"a length and chunks" in everything(server.connect(NO_REQUESTS["a length and chunks"]))


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "/prompt.py", "//etc/passwd", "/%00",
     "/prompt.js%00", "/v1/models/../../etc/passwd", "/v1/models/%2e%2e%2f%2e%2e%2fetc/passwd", "/" + "a" * 9000],
)  # fmt: skip
def test_paths_that_are_not_there(server, path):
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    received = everything(server.connect(request.encode()))
    assert status(received) in (400, 404)
    assert b"root:" not in received


def test_a_page_of_another_site_may_not_ask(server):
    body = {"prompt": "x"}
    assert server.ask("/v1/completions", body, {"Origin": "http://evil.example"})[0].status == 403
    own = {"Origin": f"http://127.0.0.1:{server.port}"}
    assert server.ask("/v1/completions", {**body, "max_tokens": 1}, own)[0].status == 200
    assert server.ask("/", headers={"Host": "rebound.example:8080"})[0].status == 403
    assert server.ask("/", headers={"Host": f"{socket.gethostname()}.local:8080"})[0].status == 200


# WebSockets, frame by frame


def talking(server):
    client = server.connect(HELLO)
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(1)
    assert status(received) == 101
    return client


def close_code(received):
    """The code in the close frame that ends what a server sent, past whole frames of up to 125 bytes."""
    while len(received) >= 2:
        opcode, length = received[0] & 15, received[1] & 127
        if opcode == 8:
            return struct.unpack("!H", received[2:4])[0]
        received = received[2 + length :]
    return None


BAD_FRAMES = {
    "not masked": (1002, frame(1, b"hello", mask=False)),
    "reserved bits": (1002, frame(0x71, b"hello")),
    "an opcode that is none": (1002, frame(3, b"hello")),
    "a ping of 200 bytes": (1002, frame(9, bytes(200))),
    "a ping in pieces": (1002, frame(9, b"x", fin=False)),
    "a piece of nothing": (1002, frame(0, b"x")),
    "a text within a text": (1002, frame(1, b"x", fin=False) + frame(1, b"y")),
    "text that is no UTF-8": (1007, frame(1, b"a\xff")),
    "a message of 1 GiB": (1009, frame(1, b"x" * 100, length=1 << 30)),
    "a message of 2 to the 63": (1009, frame(1, b"x" * 100, length=(1 << 63) - 1)),
    "a message over the limit": (1009, frame(1, b"x" * 5000)),
    "1 GiB in pieces": (1009, frame(1, b"x" * 1000, fin=False) + frame(0, b"x" * 1000, fin=False) * 6),
    "pieces of no length": (1009, frame(1, b"", fin=False) + frame(0, b"", fin=False) * 200),
    "a flood of pings": (1008, frame(9, b"x" * 100) * 1000),
    "a close of one byte": (1002, frame(8, b"x")),
    "a close with a code that is none": (1002, frame(8, b"\x00\x05")),
}


@pytest.mark.parametrize(("code", "data"), BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_web_socket_frames_that_mean_harm(server, code, data):
    client = talking(server)
    with suppress(ConnectionError):
        client.sendall(data)
    # What we close while it still sends, the kernel may reset before it is read.
    assert close_code(everything(client)) in ((code, None) if code == 1008 else (code,))


def test_a_web_socket_that_pings_and_does_not_read_costs_no_memory(server, monkeypatch):
    monkeypatch.setattr(wire, "STALL_S", 0.3)
    monkeypatch.setattr(wire, "SOCKET_BYTES_A_SECOND", 1 << 30)
    client = talking(server)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(2)
    with pytest.raises(OSError):
        flood(client)
    client.close()


def flood(client):
    for _ in range(100_000):
        client.sendall(frame(9, b"x" * 100) * 1000)


@pytest.mark.parametrize(
    "head",
    [b"Sec-WebSocket-Version: 99", b"Sec-WebSocket-Key: x", b"Origin: http://evil.example", b"Content-Length: 5",
     b"Transfer-Encoding: chunked", b"X: " + b"a" * 9000, b"\r\n".join([b"X: y"] * 150)],
    ids=lambda head: head[:25],
)  # fmt: skip
def test_web_socket_hellos_that_are_none(server, head):
    hello = HELLO.replace(head.split(b" ")[0], b"X-Was:").replace(b"\r\n\r\n", b"\r\n" + head + b"\r\n\r\n")
    assert status(everything(server.connect(hello))) in (400, 403, 426)


def test_mutated_requests(server, monkeypatch):
    monkeypatch.setattr(wire, "HEADER_S", 0.3)
    monkeypatch.setattr(wire, "BODY_S", 0.3)
    rng = random.Random(150)
    for number in range(150):
        data = mutated(rng)
        client, received = server.connect(), b""
        with suppress(ConnectionError):
            client.sendall(data)
            if rng.random() < 0.3:
                client.shutdown(socket.SHUT_WR)
            client.settimeout(60)
            received = client.recv(65_536) if rng.random() < 0.9 else b""
        client.close()
        found = status(received)
        assert found is None or found == 101 or 200 <= found < 500 or found == 503, (number, data, received)
    until(lambda: len(server.server.server_state.connections) == 0)
    assert server.answerer.counts["failed"] == 0
