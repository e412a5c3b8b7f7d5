"""`edgert serve` as a whole: it becomes ready, its parts are killed, it ends."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from processes import runs
from running import Service

CAMERA = "synthetic:240x160@100"


@pytest.fixture
def service(tmp_path, model_files):
    """Function that starts a service on the tiny detector and waits until it is ready."""
    started = []

    def start(*words, camera=CAMERA, mqtt=None, ready=True, **options):
        words = words or (model_files / "cells.bin",)
        words += ("--mqtt", mqtt) if mqtt else ()
        started.append(Service(tmp_path, *words, *(("--camera", camera) if camera else ()), **options))
        return started[-1].until_ready() if ready else started[-1]

    yield start
    for one in started:
        one.close()


def test_a_service_is_ready_with_its_first_answer_and_ends_in_order(service):
    running = service()
    assert running.told.count("READY=1") == 1
    health = running.until(lambda: running.health())
    assert (health["status"], health["reasons"]) == ("ok", [])
    assert health["answers"] > 0
    status, content = running.ask("/snapshot.jpg")
    assert (status, content[:3]) == (200, b"\xff\xd8\xff")
    parts = running.parts()
    assert set(parts) == {"worker", "camera"}
    code, seconds = running.stop()
    assert code == 0
    assert seconds < 5
    assert "STOPPING=1" in running.listen()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in parts.values())


@pytest.mark.parametrize("part", ["worker", "camera"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_part_that_is_killed_or_crashes_starts_again_alone(service, part, number):
    running = service()
    before = running.parts()
    os.kill(before[part], number)
    running.until(lambda: running.parts().get(part, before[part]) != before[part])
    running.until(lambda: (running.health().get("seconds_since_answer") or 9) < 0.5)
    other = "camera" if part == "worker" else "worker"
    assert running.parts()[other] == before[other]
    health = running.until(lambda: running.health())
    assert health["worker_restarts"] == int(part == "worker")
    assert f"died of signal {number}" in running.said()
    assert running.stop()[0] == 0


def test_the_watchdog_is_fed_by_results_only(service):
    running = service()
    os.kill(running.parts()["worker"], signal.SIGSTOP)
    time.sleep(0.3)
    running.listen().clear()
    time.sleep(0.7)
    assert "WATCHDOG=1" not in running.listen()


def test_parts_end_with_a_supervisor_that_is_killed(service):
    running = service()
    parts = running.parts()
    running.process.kill()
    running.process.wait()
    running.until(lambda: not any(runs(pid) for pid in parts.values()))


def test_without_a_camera_it_is_up_and_says_so(service):
    running = service(camera="/dev/video77", ready=False)
    health = running.until(lambda: running.health())
    assert running.ask("/health")[0] == 503
    assert "no such file" in str(running.until(lambda: running.health()["reasons"])).lower()
    assert health["status"] == "no answers"
    assert running.ask("/")[0] == 200
    running.until(lambda: any(line.startswith("EXTEND_TIMEOUT_USEC") for line in running.listen()))
    assert "READY=1" not in running.told
    assert running.stop()[0] == 0


def test_a_model_that_cannot_be_served_ends_it_with_its_reason(service, model_files, tmp_path, edgert):
    code, _, err = edgert("serve", tmp_path / "none.bin")
    assert (code, err.count("\n")) == (3, 1)
    broken = tmp_path / "broken.bin"
    broken.write_bytes((model_files / "cells.bin").read_bytes()[:-100])
    assert edgert("serve", broken)[0] == 3
    running = service(model_files / "two_heads.bin", ready=False)
    assert running.process.wait(10) == 1
    assert "edgert: " in running.said()
    assert "Traceback" not in running.said()


def test_a_port_that_is_taken_is_named(service):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        running = service(port=taken.getsockname()[1], ready=False)
        assert running.process.wait(10) == 1
    assert f"127.0.0.1 port {running.port}: Address already in use" in running.said()


def test_health_is_json(service):
    running = service()
    status, content = running.until(lambda: running.ask("/health"))
    assert status in (200, 503)
    assert json.loads(content)["camera"]["state"] in ("ok", "starting")


def test_the_records_of_the_last_minutes_are_lines_that_plot_reads(service, tmp_path):
    from edgert.monitor import read_log

    running = service()
    log = tmp_path / "log.jsonl"
    log.write_bytes(running.until(lambda: (running.ask("/resources") or (0, b""))[1]))
    [record, *_] = read_log(log)
    assert record["rss_mb"] > 20  # of all processes
    assert record["threads"] >= 3


def test_a_disk_that_is_full_takes_no_records_and_answers_go_on(service, model_files, tmp_path):
    log = tmp_path / "log.jsonl"
    log.symlink_to("/dev/full")
    running = service(model_files / "cells.bin", "--log-resources", log)
    health = running.until(lambda: running.health() if "resource log" in str(running.health().get("reasons")) else None)
    assert health["status"] == "degraded"
    assert f"{log}: No space left on device" in health["reasons"][0]
    log.unlink()
    log.symlink_to("/proc/none/log.jsonl")  # not even a worker that starts needs it
    before = running.parts()["worker"]
    os.kill(before, signal.SIGKILL)
    running.until(lambda: running.parts().get("worker", before) != before)
    health = running.until(lambda: running.health() if "No such file" in str(running.health().get("reasons")) else None)
    running.until(lambda: (running.health().get("seconds_since_answer") or 9) < 0.5)
    assert running.said().count("No space left") == 1
    assert running.stop()[0] == 0


def test_messages_that_cannot_be_written_stop_nothing(service):
    running = service(log=Path("/dev/full"))
    before = running.parts()["worker"]
    os.kill(before, signal.SIGKILL)
    running.until(lambda: running.parts().get("worker", before) != before)
    running.until(lambda: (running.health().get("seconds_since_answer") or 9) < 0.5)
    assert running.stop()[0] == 0


def test_the_log_of_a_worker_goes_on_behind_that_of_the_one_before(service, model_files, tmp_path):
    from edgert.monitor import read_log

    log = tmp_path / "log.csv"
    running = service(model_files / "cells.bin", "--log-resources", log)
    running.until(lambda: log.exists() and log.read_bytes().count(b"\n") > 1)
    os.kill(running.parts()["worker"], signal.SIGKILL)
    count = log.read_bytes().count(b"\n")
    running.until(lambda: log.read_bytes().count(b"\n") > count + 1)
    times = [record["time_s"] for record in read_log(log)]
    assert times == sorted(times)
    assert len(times) == log.read_bytes().count(b"\n") - 1


def test_a_broker_that_is_away_is_told_and_costs_nothing(service):
    pytest.importorskip("paho.mqtt")
    running = service(mqtt="mqtt://127.0.0.1:1/edgert")
    health = running.until(lambda: running.health() if "mqtt: " in str(running.health().get("reasons")) else None)
    assert health["status"] == "degraded"
    assert running.stop()[0] == 0


def test_a_broker_whose_address_is_wrong_is_refused(service):
    pytest.importorskip("paho.mqtt")
    refused = service(mqtt="http://broker", ready=False)
    assert refused.process.wait(20) == 1
    assert "--mqtt: it does not begin with mqtt://" in refused.said()
