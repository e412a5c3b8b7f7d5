"""HTTP: the page, its stream of pictures, events, a WebSocket, a snapshot, and one setting.

Slow or hostile clients meet the limits of `wire`, and 1 KiB of body. A client that does not read gets no newer pictures
and costs one in memory.
"""

import asyncio
import json
import threading
from importlib.resources import files

from edgert.errors import InputError
from edgert.optional import require
from edgert.serve.web import listening, wire
from edgert.serve.web.board import Board
from edgert.serve.web.guard import guarded

MAX_BODY_BYTES = 1024
POLL_S = 0.02  # how often a viewer looks for something new
STALL_S = 30.0  # a viewer that took nothing for so long is sent away
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
}
_FILES = {
    "/": ("page.html", "text/html"), "/page.css": ("page.css", "text/css"), "/page.js": ("page.js", "text/javascript"),
}  # fmt: skip


def application(board):
    """The ASGI application over a Board, for this machine's programs and browsers."""
    require("starlette", "the live page")
    from starlette.applications import Starlette

    return guarded(Starlette(routes=routes(board)))


def routes(board):
    """The page's starlette routes over a Board."""
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route, WebSocketRoute

    def static(name, kind):
        content = (files("edgert.serve.web") / name).read_bytes()

        async def give(request):
            return Response(content, media_type=kind, headers=_HEADERS)

        return give

    async def nothing(request):
        return Response(status_code=204)

    async def stream(request):
        return StreamingResponse(
            _pictures(board), headers=_HEADERS, media_type="multipart/x-mixed-replace; boundary=frame"
        )

    async def events(request):
        return StreamingResponse(_events(board), headers=_HEADERS, media_type="text/event-stream")

    async def snapshot(request):
        picture = await asyncio.to_thread(board.picture)
        if picture is None:
            return JSONResponse({"error": "no frame yet"}, 503, headers=_HEADERS)
        return Response(picture, media_type="image/jpeg", headers=_HEADERS)

    async def state(request):
        return JSONResponse(board.state(), headers=_HEADERS)

    async def settings(request):
        if not _same_origin(request.headers):
            return JSONResponse({"error": "from another site"}, 403, headers=_HEADERS)
        try:
            board.watcher.score = _score(await _body(request))
        except InputError as error:
            return JSONResponse({"error": str(error)}, 400, headers=_HEADERS)
        return JSONResponse(board.state(), headers=_HEADERS)

    async def socket(websocket):
        if not _same_origin(websocket.headers):
            await websocket.close(1008)
            return
        await websocket.accept()
        await _talk(websocket, board)

    return [
        *[Route(path, static(*what)) for path, what in _FILES.items()],
        Route("/stream.mjpg", stream),
        Route("/events", events),
        Route("/snapshot.jpg", snapshot),
        Route("/state", state),
        Route("/favicon.ico", nothing),
        Route("/settings", settings, methods=["POST"]),
        WebSocketRoute("/ws", socket),
    ]


async def _pictures(board):
    """Parts of a multipart stream, always the newest picture; the pace is the reader's."""
    last = None
    board.look(True)
    try:
        while not board.leaving():
            newest = board.jpeg
            if newest is None or newest is last:
                await asyncio.sleep(POLL_S)
                continue
            last = newest
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(newest[1])}\r\n\r\n"
            yield head.encode() + newest[1] + b"\r\n"
    finally:
        board.look(False)


async def _answers(board):
    """(answer, state) each time there is a newer answer, at most 20 times a second; once a second without one."""
    last, waited = -1, 0.0
    while not board.leaving():
        number, found = board.answer()
        if number != last or waited >= 1:
            last, waited = number, 0.0
            yield {"seen": found, "state": board.state()}
        await asyncio.sleep(0.05)
        waited += 0.05


async def _events(board):
    async for answer in _answers(board):
        yield f"data: {json.dumps(answer)}\n\n".encode()


async def _talk(websocket, board):
    """Answers out; a threshold may come in. Anything else ends the connection."""
    from starlette.websockets import WebSocketDisconnect

    async def listen():
        while True:
            board.watcher.score = _score((await websocket.receive_text()).encode())

    listener = asyncio.create_task(listen())
    try:
        async for answer in _answers(board):
            if listener.done():
                break
            await asyncio.wait_for(websocket.send_text(json.dumps(answer)), STALL_S)
        failure = listener.exception()
        if isinstance(failure, (InputError, KeyError)):
            await websocket.close(1007)
    except (WebSocketDisconnect, RuntimeError, TimeoutError):
        pass  # the viewer left
    finally:
        listener.cancel()


def _same_origin(headers):
    """Whether a browser sent this from our own page: another site's script may not change a setting here."""
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")


async def _body(request):
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise InputError(f"a body of more than {MAX_BODY_BYTES} bytes")
    return body


def _score(body):
    """The threshold in {"score": 0.4}."""
    try:
        value = json.loads(body)["score"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError('the body is not {"score": 0.4}') from None
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise InputError("score is not a number from 0 to 1")
    return float(value)


def address(text):
    """(host, port) of "127.0.0.1:8080", ":8080" or "8080"."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise InputError(f"--serve {text!r} is not HOST:PORT")
    return host, int(port)


def serve(loop, board, where, say):
    """Serve a Board while `loop`, a function, runs in a thread of its own; returns when it ends or Ctrl-C comes.

    say: is told the address. Raises: what the loop raised, EdgertError if the address is taken.
    """
    uvicorn = require("uvicorn", "the live page")
    server = uvicorn.Server(wire.config(application(board), timeout_graceful_shutdown=1))
    [socket] = listening.bind(*address(where))
    board.leaving = lambda: server.should_exit
    failures = []

    def run():
        try:
            loop()
        except BaseException as error:
            failures.append(error)
        finally:
            server.should_exit = True

    say(listening.address(socket))
    threading.Thread(target=run, daemon=True, name="edgert-loop").start()
    try:
        server.run(sockets=[socket])
    finally:
        board.close()
    if failures:
        raise failures[0]


def new_board(watcher, timings, source, camera, governor):
    """A Board; here so that who serves imports one module."""
    return Board(watcher, timings, source, camera, governor)
