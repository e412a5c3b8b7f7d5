"""The prompt page: its files, its figures, and a real browser that types a prompt, where Chromium is installed."""

import json
import re

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from browser import Browser
from text_server import TextServer, until

from edgert.serve.web import prompt


@pytest.fixture(scope="module")
def server():
    running = TextServer(lambda answerer: prompt.routes(answerer, "/"))
    yield running
    running.close()


def test_the_page_and_its_files_are_there_and_load_nothing_from_elsewhere(server):
    kinds = {"/": "text/html", "/prompt.css": "text/css", "/page.css": "text/css", "/prompt.js": "text/javascript"}
    for path, kind in kinds.items():
        answer, content = server.ask(path)
        assert (answer.status, answer.headers.get_content_type()) == (200, kind)
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert b"//" not in content.replace(b"http://www.w3.org", b"").replace(b"// ", b"")
    page, script = server.ask("/")[1].decode(), server.ask("/prompt.js")[1].decode()
    for name in re.findall(r'(?:at|text)\("([\w-]+)"', script):
        assert f'id="{name}"' in page


def test_the_figures(server):
    answer, content = server.ask("/prompt.json")
    state = json.loads(content)
    assert (answer.status, state["model"], state["waiting"], state["running"]) == (200, "shakespeare", 0, 0)


def test_a_browser_streams_an_answer_and_stops_one(server):
    with Browser(f"http://127.0.0.1:{server.port}/") as browser:

        def told(name):
            return browser.run(f"document.getElementById('{name}').textContent")

        def send(prompt, tokens):
            browser.run(f"document.getElementById('prompt').value = '{prompt}'")
            browser.run(f"document.getElementById('max').value = {tokens}")
            browser.run("document.getElementById('send').click()")

        until(lambda: told("state") == "ready", 30)
        send("ROMEO:", 30)
        until(lambda: "30 of answer" in told("answers"), 30)
        server.gate.seconds = 0.01
        send("JULIET:", 30_000)
        until(lambda: server.answerer.state()["running"], 30)
        browser.run("document.getElementById('stop').click()")
        until(lambda: not server.answerer.state()["running"], 30)
        server.gate.seconds = 0
        until(lambda: told("note") == "stopped", 30)
        send("é", 30)
        until(lambda: "characters that this model knows" in told("note"), 30)
