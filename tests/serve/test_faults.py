"""Faults injected into a running service: kills by the thousand, standstills, hangs. `make test-faults` runs all."""

import os
import random
import signal
import statistics
import time

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from kills import kill, kill_in_turn, left_behind
from running import Service


@pytest.fixture
def service(tmp_path, model_files):
    """Function that starts a service on the tiny detector and waits until it is ready."""
    started = []

    def start(camera="synthetic:240x160@100", **options):
        started.append(Service(tmp_path, model_files / "cells.bin", "--camera", camera, **options))
        return started[-1].until_ready()

    yield start
    for one in started:
        one.close()


def check_kills(service, count):
    running = service()
    kill(running, "worker"), kill(running, "camera")
    before = left_behind(running)
    found = kill_in_turn(running, count, random.Random(0))
    assert left_behind(running) == before
    assert running.stop()[0] == 0
    return found


def test_a_few_kills_leave_nothing_behind(service):
    found = check_kills(service, 4)
    assert [len(seconds) for seconds in found.values()] == [2, 2]


@pytest.mark.faults
def test_a_thousand_kills_leave_nothing_behind(service):
    count = int(os.environ.get("EDGERT_KILLS", "1000"))
    found = check_kills(service, count)
    print(f"{count - sum(map(len, found.values()))} times left out: the machine stood still")
    for part, seconds in found.items():
        seconds.sort()
        p99 = seconds[int(0.99 * (len(seconds) - 1))]
        print(f"{part}: {len(seconds)} kills, back after {statistics.median(seconds):.3f} s, p99 {p99:.3f} s, "
              f"longest {seconds[-1]:.3f} s")  # fmt: skip
        assert p99 <= 2.0


@pytest.mark.faults
def test_a_part_that_stands_still_is_noticed_and_replaced(service):
    running = service()
    worker, camera = (kill(running, part, signal.SIGSTOP) for part in ("worker", "camera"))
    print(f"SIGSTOP: worker replaced after {worker:.1f} s, camera after {camera:.1f} s")
    assert worker < 13  # ten seconds of silence, and its start
    assert camera < 10
    assert running.stop()[0] == 0


@pytest.mark.faults
def test_a_supervisor_that_stands_still_no_longer_feeds_the_watchdog(service):
    running = service()
    os.kill(running.pid, signal.SIGSTOP)
    time.sleep(0.2)
    running.listen().clear()
    time.sleep(1.5)
    assert running.listen() == []
    os.kill(running.pid, signal.SIGCONT)
    running.until(lambda: "WATCHDOG=1" in running.listen())
    assert running.health()["worker_restarts"] == 0  # its own standstill is nobody's fault
    assert running.stop()[0] == 0


@pytest.mark.faults
@pytest.mark.parametrize("fault", ["hang", "unplug", "corrupt"])
def test_a_camera_that_fails_answers_again_without_a_human(service, fault):
    running = service(f"synthetic:240x160@100,fault={fault}@150")
    running.until(lambda: running.health().get("camera", {}).get("reopened", 0) == 1, 20)
    failed = time.monotonic()
    running.until(lambda: (running.health().get("seconds_since_answer") or 99) < 0.5, 20)
    print(f"{fault}: opened again, answers {time.monotonic() - failed:.2f} s later")
    assert time.monotonic() - failed < 7  # and three seconds until a hang is noticed
    assert running.health()["worker_restarts"] == 0
    assert running.stop()[0] == 0


@pytest.mark.faults
@pytest.mark.parametrize(("fault", "says"), [("frozen", "camera: frozen"), ("black", "camera: black")])
def test_a_camera_that_shows_nothing_new_is_reported(service, fault, says):
    running = service(f"synthetic:240x160@100,fault={fault}@50")
    health = running.until(lambda: running.health() if says in str(running.health().get("reasons")) else None)
    assert health["status"] == "degraded"
    assert running.stop()[0] == 0


@pytest.mark.faults
def test_a_camera_that_changes_its_size_goes_on(service):
    running = service("synthetic:240x160@100,fault=resize@50")
    running.until(lambda: running.health().get("answers", 0) > 80)
    assert running.health()["reasons"] == []
    assert running.stop()[0] == 0


@pytest.mark.faults
def test_a_camera_faster_than_the_model_loses_frames_and_no_time(service):
    running = service("synthetic:640x480@900")
    time.sleep(3)
    import json

    state = json.loads(running.ask("/state")[1])
    assert state["ms"]["total"][0] < 100
    assert running.stop()[0] == 0
