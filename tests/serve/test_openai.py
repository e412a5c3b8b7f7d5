"""OpenAI's API over the shipped language model, asked by OpenAI's own client, and by clients that ask nonsense."""

import http.client
import json
import socket
import threading
from base64 import b64encode

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from text_server import TextServer, receive, until

from edgert.serve.web import openai_request

PLAY = {"model": "shakespeare", "prompt": "ROMEO:", "seed": 4, "max_tokens": 40}


@pytest.fixture(scope="module")
def server():
    running = TextServer()
    yield running
    running.close()


@pytest.fixture
def client(server):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0) as made:
        yield made


def expected(server, prompt="ROMEO:", **settings):
    return server.language.generate(prompt, **{"max_tokens": 40, "temperature": 1.0, "seed": 4, **settings})


def test_the_client_completes_a_prompt(server, client):
    answer = client.completions.create(**PLAY)
    wanted = expected(server)
    assert answer.choices[0].text == wanted.text()
    assert (answer.object, answer.model) == ("text_completion", "shakespeare")
    assert answer.choices[0].finish_reason == "length"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (6, 40, 46)


def test_the_client_streams_the_same_text_in_pieces(server, client):
    whole = client.completions.create(**PLAY).choices[0].text
    server.gate.seconds = 0.002
    chunks = list(client.completions.create(**PLAY, stream=True, stream_options={"include_usage": True}))
    server.gate.seconds = 0
    texts = [choice.text for chunk in chunks for choice in chunk.choices]
    assert "".join(texts) == whole
    assert len(texts) > 10
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage.completion_tokens == 40
    assert chunks[-2].choices[0].finish_reason == "length"


def test_the_client_chats(server, client):
    messages = [{"role": "system", "content": "A play."}, {"role": "user", "content": "Who comes?"}]
    asked = {"model": "shakespeare", "messages": messages, "seed": 1, "max_tokens": 30}
    answer = client.chat.completions.create(**asked)
    prompt = "A play.\n\nUser: Who comes?\n\nAssistant:"
    assert answer.choices[0].message.content == expected(server, prompt, seed=1, max_tokens=30).text()
    assert answer.choices[0].message.role == "assistant"
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == answer.choices[0].message.content
    assert [chunk.choices[0].delta.role for chunk in chunks][:2] == ["assistant", None]
    assert chunks[-1].choices[0].finish_reason == "length"


def test_without_a_limit_a_chat_fills_the_context(server, client):
    answer = client.chat.completions.create(model="shakespeare", messages=[{"role": "user", "content": "Hi"}], seed=2)
    assert answer.usage.total_tokens <= 256
    assert answer.choices[0].finish_reason == ("length" if answer.usage.total_tokens == 256 else "stop")


def test_models_are_listed(client):
    import openai

    assert [model.id for model in client.models.list()] == ["shakespeare"]
    assert client.models.retrieve("shakespeare").owned_by == "edgert"
    with pytest.raises(openai.NotFoundError, match="this service has 'shakespeare'"):
        client.models.retrieve("gpt-4")
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="gpt-4", prompt="x")


def test_stop_strings_echo_and_token_ids(server, client):
    told = client.completions.create(**{**PLAY, "max_tokens": 200}, stop=["\n\n"])
    assert told.choices[0].finish_reason == "stop"
    assert "\n\n" not in told.choices[0].text
    echoed = client.completions.create(**PLAY, echo=True)
    assert echoed.choices[0].text == "ROMEO:" + client.completions.create(**PLAY).choices[0].text
    ids = server.language.prompt_ids("ROMEO:")
    assert client.completions.create(**{**PLAY, "prompt": ids}).choices[0].text == echoed.choices[0].text[6:]
    assert client.completions.create(**{**PLAY, "prompt": ["ROMEO:"]}).choices[0].text == echoed.choices[0].text[6:]


def test_what_a_client_gets_wrong_reaches_it_as_a_bad_request(client):
    import openai

    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="shakespeare", prompt="x", temperature=9)
    assert caught.value.param == "temperature"
    assert caught.value.type == "invalid_request_error"


HUGE = 10**400
BAD = [
    ("prompt", {"prompt": ""}),
    ("prompt", {}),
    ("prompt", {"prompt": "x" * 300}),
    ("prompt", {"prompt": "é"}),
    ("prompt", {"prompt": "\x00\x1b[2J"}),
    ("prompt", {"prompt": "\ud800"}),
    ("prompt", {"prompt": 5}),
    ("prompt", {"prompt": ["a", "b"]}),
    ("prompt", {"prompt": []}),
    ("prompt[1]", {"prompt": [1, -1]}),
    ("prompt[0]", {"prompt": [HUGE]}),
    ("prompt[0]", {"prompt": [0.5]}),
    ("prompt[0]", {"prompt": [True, 1]}),
    ("max_tokens", {"max_tokens": 0}),
    ("max_tokens", {"max_tokens": -1}),
    ("max_tokens", {"max_tokens": HUGE}),
    ("max_tokens", {"max_tokens": 1.5}),
    ("max_tokens", {"max_tokens": "7"}),
    ("max_tokens", {"max_tokens": True}),
    ("temperature", {"temperature": -0.1}),
    ("temperature", {"temperature": HUGE}),
    ("temperature", {"temperature": "hot"}),
    ("temperature", {"temperature": [1]}),
    ("top_p", {"top_p": 1.5}),
    ("top_k", {"top_k": 0}),
    ("min_p", {"min_p": 2}),
    ("repetition_penalty", {"repetition_penalty": 0}),
    ("n", {"n": 2}),
    ("n", {"n": True}),
    ("best_of", {"best_of": 3}),
    ("logprobs", {"logprobs": 5}),
    ("logit_bias", {"logit_bias": {"5": 1}}),
    ("presence_penalty", {"presence_penalty": 1}),
    ("suffix", {"suffix": "end"}),
    ("seed", {"seed": HUGE}),
    ("seed", {"seed": 1.5}),
    ("stop", {"stop": 3}),
    ("stop", {"stop": [""]}),
    ("stop", {"stop": ["x"] * 40}),
    ("stop", {"stop": "x" * 5000}),
    ("stream", {"stream": "yes"}),
    ("stream_options", {"stream_options": {"include_usage": True}}),
    ("echo", {"echo": 1}),
    ("model", {"model": 3}),
    ("max_token", {"max_token": 3}),
    ("??2J", {"\x1b[2J": 3}),
    ("messages", {"messages": []}),
]


@pytest.mark.parametrize(("field", "change"), BAD, ids=lambda value: repr(value)[:40])
def test_a_field_that_is_wrong_is_named(server, field, change):
    fields = change if field == "prompt" or "prompt" in change else {"prompt": "x", **change}
    answer, content = server.ask("/v1/completions", fields)
    error = json.loads(content)["error"]
    assert (answer.status, error["param"], error["type"]) == (400, field, "invalid_request_error")
    assert error["message"].startswith(field)
    assert error["message"].isascii() or "é" in error["message"]
    assert all(letter.isprintable() for letter in error["message"])


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("messages", {}),
        ("messages", {"messages": "hello"}),
        ("messages[0].role", {"messages": [{"role": "wizard", "content": "x"}]}),
        ("messages[0].content", {"messages": [{"role": "user", "content": 3}]}),
        ("messages", {"messages": [{"role": "user", "content": "x" * 400}]}),
        ("messages", {"messages": [{"role": "user", "content": "é"}]}),
        ("tools", {"tools": [{"type": "function"}]}),
        ("response_format", {"response_format": {"type": "json_object"}}),
        ("max_completion_tokens", {"max_completion_tokens": -5}),
        ("logprobs", {"logprobs": True}),
        ("prompt", {"prompt": "x"}),
    ],
)
def test_a_field_of_a_chat_that_is_wrong_is_named(server, field, change):
    talk = {"messages": [{"role": "user", "content": "x"}]} if field != "messages" or change else {}
    fields = {**talk, **change}
    answer, content = server.ask("/v1/chat/completions", fields)
    error = json.loads(content)["error"]
    assert (answer.status, error["param"]) == (400, field)


ABSURD = [HUGE, -HUGE, 1e308, -1e308, 2**63, -1, 0.5, "", "x" * 2000, "\x00\x1b[2J\n", "\ud800", True, [], {}, [[[]]],
          {"a": {}}, [HUGE], [None], "NaN"]  # fmt: skip
FIELDS = {
    "/v1/completions": {"prompt": "KING:", "max_tokens": 1},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "KING:"}], "max_tokens": 1},
}


@pytest.mark.parametrize("share", [5, pytest.param(1, marks=pytest.mark.faults)])
@pytest.mark.parametrize("path", FIELDS)
def test_absurd_values_in_every_field_are_answered_or_named(server, path, share):
    """One connection for all of them: none of it may break the connection either. share: one of so many is tried."""
    names = {*openai_request._COMMON, *openai_request._ONLY, *openai_request._IGNORED, *FIELDS[path], "echo"}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    for at, name in enumerate(sorted(names)):
        for value in ABSURD[at % share :: share]:
            connection.request("POST", path, json.dumps({**FIELDS[path], name: value}))
            answer = connection.getresponse()
            content = answer.read()
            if name == "stream" and value is True:
                assert content.endswith(b"data: [DONE]\n\n")
                continue
            found = json.loads(content)
            assert answer.status in (200, 400, 404), (name, value)
            if answer.status == 400:
                assert found["error"]["param"].partition(".")[0].partition("[")[0] == name, (name, value)
            elif answer.status == 404:
                assert name == "model"
    connection.close()


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("body", b""),
        ("body", b"["),
        ("body", b"null"),
        ("prompt", b'{"model": "m", "prompt": "a\xff"}'),
        ("prompt", b'{"prompt": "a\x01"}'),
        ("temperature", b'{"prompt": "x", "temperature": }'),
        ("body", b'{"prompt": "x", "temperature": NaN}'),
        ("body", b'{"prompt": "x", "seed": ' + b"9" * 5000 + b"}"),
        ("body", b"[" * 50_000),
        ("prompt", b'{"prompt": "' + b"a" * 10_000_000 + b'"}'),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_body_that_is_no_request_is_refused(server, field, body):
    answer, content = server.ask("/v1/completions", body)
    assert (answer.status, json.loads(content)["error"]["param"]) == (400, field)


def test_all_of_it_left_the_service_as_it_was(server):
    assert server.ask("/v1/completions", PLAY)[0].status == 200
    assert server.answerer.state()["running"] == server.answerer.state()["waiting"] == 0


def test_a_client_that_leaves_stops_its_answer_within_a_token(server):
    server.gate.seconds = 0.01
    client = server.begin(max_tokens=10_000)
    client.recv(100)
    cancelled = server.answerer.counts["cancelled"]
    client.close()
    before = server.gate.steps
    until(lambda: server.answerer.counts["cancelled"] > cancelled)
    assert server.gate.steps <= before + 2
    server.gate.seconds = 0


def test_a_client_that_leaves_before_its_turn_is_forgotten(server):
    server.gate.held.clear()
    running, waiting = server.begin(max_tokens=5), None
    until(lambda: server.answerer.state()["running"])
    waiting = server.begin(max_tokens=5, stream=False)
    until(lambda: server.answerer.state()["waiting"] == 1)
    waiting.close()
    until(lambda: server.answerer.state()["waiting"] == 0)
    server.gate.held.set()
    receive(running, b"data: ")
    running.close()
    until(lambda: not server.answerer.state()["running"])


def test_more_than_may_wait_are_told_to_come_again(server):
    server.gate.held.clear()
    admitted = [server.begin(max_tokens=2)]
    until(lambda: server.answerer.state()["running"])
    admitted += [server.begin(max_tokens=2) for _ in range(8)]
    until(lambda: server.answerer.state()["waiting"] == 8)
    answer, content = server.ask("/v1/completions", PLAY)
    assert (answer.status, json.loads(content)["error"]["code"]) == (429, "queue_full")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    server.gate.held.set()
    for client in admitted:
        received = b""
        while not received.endswith(b"[DONE]\n\n\r\n0\r\n\r\n"):
            received += client.recv(65_536)
        client.close()


def test_a_hundred_clients_at_once(server):
    server.gate.seconds = 0.001
    found = []

    def one():
        answer, content = server.ask("/v1/completions", {"prompt": "KING:", "max_tokens": 20})
        found.append((answer.status, answer.headers["Retry-After"], content))

    threads = [threading.Thread(target=one) for _ in range(100)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert server.ask("/v1/models")[0].status == 200
    server.gate.seconds = 0
    statuses = [status for status, _, _ in found]
    assert statuses.count(200) >= 9
    assert statuses.count(200) + statuses.count(429) == 100
    assert all(retry for status, retry, _ in found if status == 429)
    assert all(json.loads(content)["usage"]["completion_tokens"] == 20 for status, _, content in found if status == 200)


def test_a_failure_in_the_model_is_an_error_and_not_the_end(server, capsys):
    step, server.language.cache._step = server.language.cache._step, lambda ids, at: 1 / 0
    try:
        answer, content = server.ask("/v1/completions", PLAY)
        assert (answer.status, json.loads(content)["error"]["type"]) == (500, "server_error")
    finally:
        server.language.cache._step = step
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert server.ask("/v1/completions", PLAY)[0].status == 200


def test_a_token_is_asked_for_but_not_over_the_unix_socket(tmp_path):
    path = tmp_path / "edgert.sock"
    server = TextServer(token="s3cret-s3cret-s3cret", unix=path)
    try:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic !"}, {"Authorization": "x"}):
            answer, content = server.ask("/v1/models", headers=headers)
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic")
            assert json.loads(content)["error"]["type"] == "authentication_error"
        assert server.ask("/v1/models", headers={"Authorization": "Bearer s3cret-s3cret-s3cret"})[0].status == 200
        basic = b64encode(b"me:s3cret-s3cret-s3cret").decode()
        assert server.ask("/v1/models", headers={"Authorization": f"Basic {basic}"})[0].status == 200
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /v1/models HTTP/1.1\r\nHost: edgert\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
    finally:
        server.close()


def test_stopping_ends_the_running_answer_and_refuses_the_others():
    server = TextServer()
    try:
        server.gate.seconds = 0.01
        client = server.begin(max_tokens=30_000)
        client.recv(10)
        server.answerer.close(0.1)
        received = b""
        while b"stopping" not in received:
            received += client.recv(4096)
        assert server.ask("/v1/completions", PLAY)[0].status == 503
    finally:
        server.close()
