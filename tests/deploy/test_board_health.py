"""What the board makes of a service's /health, asked over a unix socket as a deployment asks it."""

import http.server
import json
import socketserver
import threading

import pytest

from edgert.deploy.board.health import health

MODEL = "/opt/edgert/current/model.bin"


@pytest.fixture
def said(tmp_path):
    """Function from a service's answer to what the board makes of it."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(self.server.status)
            self.end_headers()
            self.wfile.write(self.server.body)

        def address_string(self):
            return "here"

        def log_message(self, *_):
            pass

    with socketserver.UnixStreamServer(str(tmp_path / "socket"), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def ask(status, body):
            server.status, server.body = status, body if isinstance(body, bytes) else json.dumps(body).encode()
            return health(server.server_address, MODEL, 0.2)

        yield ask
        server.shutdown()
        thread.join()


def test_a_service_that_answers_with_the_releases_model_is_well(said):
    answer = {"status": "ok", "frames": {"answers": 9, "fps": 29.9}, "models": [{"file": MODEL}]}
    assert said(200, answer) == (True, "status ok, 29.9 frames a second")


def test_a_service_that_is_degraded_is_well_and_its_reasons_are_shown(said):
    answer = {"status": "degraded", "reasons": ["camera: black"], "models": [{"file": MODEL}]}
    assert said(200, answer) == (True, "status degraded, camera: black")


def test_a_service_that_went_on_with_the_last_good_model_is_not(said):
    why = "model: it was refused, the last good one serves: it died of signal 9"
    answer = {"status": "degraded", "reasons": [why], "models": [{"file": "/var/lib/edgert-camera/good0.bin"}]}
    assert said(200, answer) == (False, why)


def test_a_service_that_gives_no_answers_is_not(said):
    assert said(503, {"status": "no answers", "models": [{"file": MODEL}]}) == (False, "status no answers")


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", {"models": ["odd"]}, {}])
def test_an_answer_that_names_no_model_is_not_well(said, body):
    assert said(200, body) == (False, f"{MODEL} does not answer")


def test_a_service_without_a_socket_is_not_well(tmp_path):
    well, why = health(str(tmp_path / "none"), MODEL, 0.2)
    assert not well
    assert "No such file" in why
