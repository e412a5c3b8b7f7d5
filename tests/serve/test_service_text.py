"""Prompts through `edgert serve`: alone, beside a camera, over a unix socket, behind a token."""

import http.client
import json
import os
import signal
import socket
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from running import Service
from text_server import receive

SHAKESPEARE = Path(__file__).resolve().parents[2] / "models" / "shakespeare" / "shakespeare_int4.bin"
TOKEN = "a-token-of-sixteen-letters"


@pytest.fixture
def service(tmp_path):
    started = []

    def start(*words):
        started.append(Service(tmp_path, SHAKESPEARE, *words))
        return started[-1].until_ready()

    yield start
    for one in started:
        one.close()


def complete(running, headers=None, **fields):
    body = json.dumps({"prompt": "ROMEO:", "max_tokens": 8, "temperature": 0, **fields})
    status, content = running.ask("/v1/completions", "POST", body, headers)
    return status, json.loads(content)


def test_prompts_are_answered_and_go_on_after_the_worker_was_killed(service):
    running = service()
    status, answer = complete(running)
    assert (status, answer["usage"]["completion_tokens"]) == (200, 8)
    assert set(running.parts()) == {"worker"}
    health = running.health()
    assert (health["status"], health["models"][0]["task"]) == ("ok", "generate")
    assert running.ask("/")[0] == 200
    before = running.parts()["worker"]
    os.kill(before, signal.SIGKILL)
    running.until(lambda: running.parts().get("worker", before) != before)
    assert running.until(lambda: running.ask("/health"))[0] == 200
    assert complete(running)[1]["choices"][0]["text"] == answer["choices"][0]["text"]
    assert running.stop()[0] == 0


def test_a_camera_and_prompts_share_a_service(service, model_files):
    running = service(model_files / "cells.bin", "--camera", "synthetic:240x160@50")
    assert complete(running)[0] == 200
    health = running.health()
    assert [model["task"] for model in health["models"]] == ["generate", "detect"]
    assert health["camera"]["state"] == "ok"
    assert running.ask("/prompt")[0] == 200
    assert b"stream.mjpg" in running.ask("/")[1]
    metrics = running.ask("/metrics")
    assert metrics[0] in (200, 501)
    if metrics[0] == 200:
        assert b"edgert_frame_rate" in metrics[1]


def test_a_token_is_asked_for_and_not_over_the_unix_socket(service, tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    running = service("--token-file", tmp_path / "token", "--unix", tmp_path / "socket")
    assert complete(running)[0] == 401
    assert complete(running, {"Authorization": f"Bearer {TOKEN}"})[0] == 200
    client = http.client.HTTPConnection("localhost")
    client.sock = socket.socket(socket.AF_UNIX)
    client.sock.connect(str(tmp_path / "socket"))
    client.request("GET", "/health")
    assert client.getresponse().status == 200
    client.close()
    assert running.stop()[0] == 0
    assert not (tmp_path / "socket").exists()


def test_an_answer_under_way_is_finished_or_ended_within_the_time_of_a_stop(service):
    running = service()
    client = socket.create_connection(("127.0.0.1", running.port), 5)
    body = json.dumps({"prompt": "ROMEO:", "stream": True, "max_tokens": 30_000})
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall((head + body).encode())
    receive(client, b"data:")
    code, seconds = running.stop()
    assert code == 0
    assert seconds < 6
    client.close()


def test_what_a_prompt_does_to_the_log_is_escaped(service):
    running = service()
    complete(running, prompt="\x1b[31mred\nedgert: all is lost", max_tokens=-1)
    running.ask("/v1/completions\x1b[31m".replace("\x1b", "%1b"), "POST", "{")
    assert "\x1b" not in running.said()
    assert "all is lost" not in running.said()
