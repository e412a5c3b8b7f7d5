"""OpenAI's API over one language model: /v1/models, /v1/completions, /v1/chat/completions, streamed or whole.

    Answerer -> Answer.batches() -> one JSON object, or Server-Sent Events

Source: https://platform.openai.com/docs/api-reference (completions, chat, models, errors).
"""

import asyncio
import json
import time
from contextlib import suppress
from os import urandom

from edgert.errors import EdgertError, InputError
from edgert.optional import require
from edgert.serve.web.answers import Busy, Stopping
from edgert.serve.web.openai_request import Request, field_of, parse

BODY_S = 20.0  # how long a client may take to send its request
_DRAINED_BYTES = 1 << 24  # of a body that is too long: read, so that the client sees the answer, and thrown away
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_FINISH = {"eos": "stop", "stop": "stop", "length": "length"}


def routes(answerer):
    """The starlette routes over an Answerer."""
    require("starlette", "the text service")
    from starlette.routing import Route

    started = int(time.time())

    def model():
        return {"id": answerer.name, "object": "model", "created": started, "owned_by": "edgert"}

    async def models(request):
        return _json({"object": "list", "data": [model()]})

    async def one_model(request):
        name = request.path_params["name"]
        return _json(model()) if name == answerer.name else _no_model(name, answerer)

    async def completions(request):
        return await _answer(request, answerer, chat=False)

    async def chat(request):
        return await _answer(request, answerer, chat=True)

    return [
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", one_model),
        Route("/v1/completions", completions, methods=["POST"]),
        Route("/v1/chat/completions", chat, methods=["POST"]),
    ]


async def _answer(request, answerer, chat):
    try:
        body = await _body(request, answerer.language, "messages" if chat else "prompt")
        asked = Request(parse(body), chat)
        if asked.model not in (None, answerer.name):
            return _no_model(asked.model, answerer)
        answer = answerer.submit(asked.begin)
    except TimeoutError:
        return error_response(408, f"the request took more than {BODY_S:g} s to arrive")
    except EdgertError as error:
        return _refusal(error)
    reply = _Reply(asked, answer, answerer.name)
    texts = answer.batches()
    try:
        if asked.stream:
            first = await _unless_gone(request, anext(texts, ""))
        else:
            first = await _unless_gone(request, _joined(texts))
    except EdgertError as error:
        return _refusal(error)
    finally:
        if not asked.stream:
            answerer.leave(answer)
    if first is None:
        answerer.leave(answer)
        return error_response(499, "the client left")  # nobody reads it
    if not asked.stream:
        return _json(reply.whole(first))
    return _streamed(_events(reply, answerer, first, texts))


def _streamed(events):
    from starlette.responses import StreamingResponse

    return StreamingResponse(events, headers=_HEADERS, media_type="text/event-stream")


async def _events(reply, answerer, first, texts):
    """Server-Sent Events; the answer is cancelled when the client leaves, as starlette ends this generator then."""
    try:
        yield _event(reply.chunk(reply.opening(first)))
        async for text in texts:
            yield _event(reply.chunk(text))
        yield _event(reply.chunk("", reply.finish_reason()))
        if reply.asked.usage:
            yield _event(reply.usage_chunk())
        yield b"data: [DONE]\n\n"
    except EdgertError as error:
        yield _event(_error(str(error), "server_error"))
    finally:
        answerer.leave(reply.answer)


def _event(content):
    return b"data: " + json.dumps(content).encode() + b"\n\n"


async def _joined(texts):
    return "".join([text async for text in texts])


async def _unless_gone(request, coming):
    """What `coming` gives; None if the client leaves before."""
    gone, work = asyncio.ensure_future(_gone(request)), asyncio.ensure_future(coming)
    try:
        await asyncio.wait((gone, work), return_when=asyncio.FIRST_COMPLETED)
        return await work if work.done() else None
    finally:
        for task in (gone, work):
            task.cancel()
            with suppress(BaseException):
                await task


async def _gone(request):
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Reply:
    """The objects that OpenAI's API answers with."""

    def __init__(self, asked, answer, model):
        self.asked, self.answer = asked, answer
        kind = "chat.completion" if asked.chat else "text_completion"
        self._kind = kind + ".chunk" * (asked.chat and asked.stream)
        self._head = {"id": ("chatcmpl-" if asked.chat else "cmpl-") + urandom(12).hex(), "created": int(time.time())}
        self._head |= {"object": self._kind, "model": model}
        self._begun = False

    def opening(self, text):
        """The first text, after the prompt where it was asked for."""
        return self.asked.prompt + text if self.asked.echo else text

    def finish_reason(self):
        return _FINISH[self.answer.generation.finish_reason]

    def whole(self, text):
        if self.asked.chat:
            content = {"message": {"role": "assistant", "content": text}}
        else:
            content = {"text": self.opening(text)}
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": self.finish_reason()}
        return {**self._head, "choices": [choice], **self._counts()}

    def chunk(self, text, finish_reason=None):
        choice = {"index": 0, **self._content(text), "logprobs": None, "finish_reason": finish_reason}
        return {**self._head, "choices": [choice], **({"usage": None} if self.asked.usage else {})}

    def usage_chunk(self):
        return {**self._head, "choices": [], **self._counts()}

    def _content(self, text):
        if not self.asked.chat:
            return {"text": text}
        delta = {"content": text} if text or not self._begun else {}
        if not self._begun:
            self._begun, delta["role"] = True, "assistant"
        return {"delta": delta}

    def _counts(self):
        """OpenAI's usage, and beside it the times that the tokens took."""
        made = self.answer.generation
        given = len(made.tokens)
        usage = {
            "prompt_tokens": made.prompt_tokens,
            "completion_tokens": given,
            "total_tokens": made.prompt_tokens + given,
            "prompt_tokens_details": {"cached_tokens": made.reused_tokens},
        }
        timings = {"prefill_ms": round(made.prefill_ns / 1e6, 3), "decode_ms": round(made.decode_ns / 1e6, 3)}
        return {"usage": usage, "timings": timings}


async def _body(request, language, field):
    """The request's body. What is longer than any prompt of this model is refused without being kept.

    Raises: InputError naming `field`; TimeoutError.
    """
    most = min(65_536 + 64 * language.cache.context, 1 << 22)
    body, length = bytearray(), 0
    async with asyncio.timeout(BODY_S):
        async for part in request.stream():
            length += len(part)
            if length > _DRAINED_BYTES:
                break
            if length <= most:
                body += part
    if length > most:
        raise InputError(f"{field} is too long: the body has more than {most:,} bytes, and so no prompt for this model")
    return bytes(body)


def _json(content, status=200, headers=None):
    from starlette.responses import Response

    # ASCII: half a surrogate pair that came in goes out as it came.
    return Response(json.dumps(content), status, {**_HEADERS, **(headers or {})}, "application/json")


def _error(message, kind="invalid_request_error", param=None, code=None):
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_response(status, message, **fields):
    """An error as OpenAI's clients expect it. fields: kind, param, code."""
    return _json(_error(message, **fields), status)


def _no_model(name, answerer):
    message = f"model {name!r:.80} is not here; this service has {answerer.name!r}"
    return error_response(404, message, param="model", code="model_not_found")


def _refusal(error):
    if isinstance(error, Busy):
        content = _error(str(error), "rate_limit_error", code="queue_full")
        return _json(content, 429, {"Retry-After": str(error.retry_after_s)})
    if isinstance(error, InputError):
        return error_response(400, str(error), param=field_of(str(error)))
    return error_response(503 if isinstance(error, Stopping) else 500, str(error), kind="server_error")
