"""A language model behind HTTP on a free port, for as long as a test runs."""

import http.client
import json
import socket
import threading
import time
from pathlib import Path

import edgert
from edgert.serve.web import guard, openai, wire
from edgert.serve.web.answers import Answerer

SHAKESPEARE = Path(__file__).resolve().parents[2] / "models" / "shakespeare" / "shakespeare_int4.bin"


def until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def receive(client, words, seconds=10):
    """What a client is sent up to these words, in however many pieces."""
    client.settimeout(seconds)
    received = b""
    while words not in received:
        part = client.recv(65_536)
        assert part, f"the connection ended after {received!r}"
        received += part
    return received


class Slow:
    """A gate whose steps take as long as a test says; while `held`, none is made."""

    def __init__(self):
        self.seconds, self.held, self.steps = 0.0, threading.Event(), 0
        self.held.set()

    def __enter__(self):
        self.held.wait(10)
        self.steps += 1

    def __exit__(self, *error):
        if self.seconds:
            time.sleep(self.seconds)


class TextServer:
    """routes: function from the Answerer to more routes. Reached at `port`; over the socket at the path `unix`."""

    def __init__(self, routes=lambda answerer: [], token=None, unix=None, waiting=8, model=SHAKESPEARE):
        import uvicorn
        from starlette.applications import Starlette

        self.gate = Slow()
        self.language = edgert.load(model, threads=1).language
        self.answerer = Answerer(self.language, "shakespeare", self.gate, waiting)
        app = Starlette(routes=[*openai.routes(self.answerer), *routes(self.answerer)])
        self.sockets = [socket.create_server(("127.0.0.1", 0), backlog=512)]
        self.port = self.sockets[0].getsockname()[1]
        if unix:
            self.sockets.append(socket.socket(socket.AF_UNIX))
            self.sockets[1].bind(str(unix))
        self.server = uvicorn.Server(wire.config(guard.guarded(app, token), timeout_graceful_shutdown=1))
        self.thread = threading.Thread(target=self.server.run, args=(self.sockets,), daemon=True)
        self.thread.start()
        until(lambda: self.server.started)

    def close(self):
        self.answerer.close(2)
        self.server.should_exit = True
        self.thread.join(5)
        assert not self.thread.is_alive()
        for listening in self.sockets:
            listening.close()

    def ask(self, path, body=None, headers=None, method=None):
        """(response, content) of one request; `body` is sent as JSON unless it is bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method or ("GET" if body is None else "POST"), path, data, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    def connect(self, data=b""):
        client = socket.create_connection(("127.0.0.1", self.port), 10)
        client.sendall(data)
        return client

    def begin(self, **fields):
        """A socket on which a streamed completion was asked for."""
        body = json.dumps({"prompt": "ROMEO:", "stream": True, **fields}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        return self.connect(head.encode() + body)
