"""The live page over a real socket: what it shows, viewers that stall, and clients that mean harm."""

import http.client
import json
import socket
import threading
import time

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")

import edgert
from edgert.cli.main import main
from edgert.errors import InputError
from edgert.serve.web import page
from edgert.serve.web.board import Board
from edgert.sources.synthetic import Synthetic
from edgert.stream import Timings, Watcher


class Server:
    """A page over a synthetic camera, on a free port, for as long as the test runs."""

    def __init__(self, model):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.watcher = Watcher(edgert.load(model, threads=1))
        self.timings = Timings()
        self.board = Board(self.watcher, self.timings, "synthetic")
        self.stop = threading.Event()
        arguments = (self.loop, self.board, f"127.0.0.1:{self.port}", lambda text: None)
        # Signals belong to the main thread: uvicorn leaves them alone elsewhere.
        self.thread = threading.Thread(target=page.serve, args=arguments, daemon=True)
        self.thread.start()
        self.until(lambda: self.reached() and self.board.number)

    def loop(self):
        for frame in Synthetic(240, 160, 200).frames():
            seen = self.watcher(frame)
            self.board.put(seen)
            self.timings.add(seen.ms)
            if self.stop.is_set():
                return

    def reached(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def until(self, condition, seconds=5):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.01)
        raise AssertionError("it did not happen")

    def ask(self, path, method="GET", body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    def raw(self, data, wait=3.0):
        """The status line that bytes sent as they are get; "" if the connection is just closed."""
        with socket.create_connection(("127.0.0.1", self.port), wait) as client:
            client.settimeout(wait)
            try:
                client.sendall(data)
                return client.recv(4096).partition(b"\r\n")[0].decode("latin-1")
            except OSError:
                return ""


@pytest.fixture(scope="module")
def server(model_files):
    running = Server(model_files / "cells.bin")
    yield running
    running.stop.set()
    running.thread.join(5)
    assert not running.thread.is_alive()


def test_the_page_and_its_files_are_there(server):
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
        answer, content = server.ask(path)
        assert (answer.status, answer.headers.get_content_type()) == (200, kind)
        assert len(content) > 500
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


def test_state_and_snapshot(server):
    answer, content = server.ask("/state")
    state = json.loads(content)
    assert (answer.status, state["camera"], state["kind"], state["score"]) == (200, "ok", "detect", 0.5)
    assert set(state["ms"]) == {"capture", "preprocess", "inference", "postprocess", "draw", "total"}
    answer, content = server.ask("/snapshot.jpg")
    assert (answer.status, content[:3], content[-2:]) == (200, b"\xff\xd8\xff", b"\xff\xd9")


def test_the_stream_gives_one_picture_after_the_other(server):
    with socket.create_connection(("127.0.0.1", server.port), 5) as client:
        client.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while received.count(b"--frame\r\nContent-Type: image/jpeg") < 3:
            received += client.recv(65536)
    server.until(lambda: server.board.viewers == 0)


def test_events_are_json(server):
    with socket.create_connection(("127.0.0.1", server.port), 5) as client:
        client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while received.count(b"\n\n") < 2:
            received += client.recv(65536)
    event = received[received.index(b"data: ") + 6 :].partition(b"\n\n")[0]
    assert json.loads(event)["seen"]["detections"] is not None


def read_on(client):
    for _ in range(200):
        client.recv(timeout=5)


def test_a_web_socket_gives_answers_and_takes_a_threshold(server):
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{server.port}/ws") as client:
        assert "state" in json.loads(client.recv(timeout=5))
        client.send('{"score": 0.75}')
        server.until(lambda: server.watcher.score == 0.75)
        client.send("junk")
        with pytest.raises(ConnectionClosed, match="1007"):
            read_on(client)
    server.watcher.score = None


def test_the_threshold_can_be_set_from_our_own_page_only(server):
    own, other = f"http://127.0.0.1:{server.port}", "http://evil.example"
    answer, content = server.ask("/settings", "POST", '{"score": 0.25}', {"Origin": own})
    assert (answer.status, json.loads(content)["score"]) == (200, 0.25)
    assert server.ask("/settings", "POST", '{"score": 0.9}', {"Origin": other})[0].status == 403
    assert server.watcher.score == 0.25
    server.watcher.score = None


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "null", '{"score": "a"}', '{"score": 2}', '{"score": NaN}', '{"score": true}', "x" * 5000,
             "[" * 900]
)  # fmt: skip
def test_a_bad_setting_is_refused(server, body):
    answer, content = server.ask("/settings", "POST", body)
    assert answer.status == 400
    assert "error" in json.loads(content)
    assert server.watcher.score is None


PATHS = ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page.py", "//", "/stream.mjpg/../x", "/\x7f%00"]


@pytest.mark.parametrize("path", [*PATHS, "/" + "a" * 9000])
def test_paths_that_are_not_there(server, path):
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert server.raw(request.encode()).split()[1] in ("404", "400")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50),
        b"DELETE /settings HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /settings HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n"
        b"Sec-WebSocket-Version: 99\r\n\r\n",
    ],
)
def test_requests_that_are_none_get_an_error_and_nobody_else_notices(server, data):
    status = server.raw(data)
    assert status == "" or status.split()[1].startswith("4")
    assert server.ask("/state")[0].status == 200


def test_viewers_that_do_not_read_slow_nobody(server):
    stalled = []
    for _ in range(4):
        client = socket.create_connection(("127.0.0.1", server.port), 5)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stalled.append(client)
    server.until(lambda: server.board.viewers == 4)
    before = server.board.number
    server.until(lambda: server.board.number > before + 20)
    assert server.ask("/state")[0].status == 200
    for client in stalled:
        client.close()
    server.until(lambda: server.board.viewers == 0, 10)


def test_addresses():
    assert page.address("8080") == page.address(":8080") == ("127.0.0.1", 8080)
    assert page.address("0.0.0.0:80") == ("0.0.0.0", 80)
    assert page.address("[::1]:80") == ("::1", 80)
    for text in ("", "host", "host:", "host:x", "host:70000", "host:-1"):
        with pytest.raises(InputError):
            page.address(text)


def test_a_live_page_on_a_port_that_is_taken_is_refused(edgert, model_files):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        words = ("--source", "synthetic:64x64@30", "--frames", "3", "--serve", where)
        code, _, err = edgert("run", model_files / "colours.bin", *words)
    assert code == 1
    assert "Address already in use (another program has it; choose another port)" in err


def test_serving_ends_with_the_source_and_tells_the_address(model_files, capsys):
    source = "synthetic:240x160@1000000,frames=20"
    assert main(["run", str(model_files / "cells.bin"), "--source", source, "--serve", "127.0.0.1:0"]) == 0
    err = capsys.readouterr().err
    assert "http://127.0.0.1:" in err
    assert "20 frames" in err


def test_a_failing_camera_ends_serving_with_code_4_when_asked(model_files, capsys):
    source = "synthetic:64x48@200,fault=unplug@2"
    command = ["run", str(model_files / "cells.bin"), "--source", source, "--serve", "127.0.0.1:0", "--stop-on-failure"]
    assert main(command) == 4
    assert "unplugged" in capsys.readouterr().err
