"""A running service against limits that are real: memory, disk, cores, connections, time. `make test-faults`."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from kills import Standstills
from running import Service
from system import CutNetwork, control_group, fill, small_disk

from edgert.monitor import read_log

pytestmark = pytest.mark.faults
TOKEN = "a-token-of-sixteen-letters"
CAMERA = "synthetic:240x160@100"


@pytest.fixture
def service(tmp_path, model_files):
    """Function that starts a service on the tiny detector; it is ready unless `ready` is False."""
    started = []

    def start(*words, camera=CAMERA, ready=True, **options):
        started.append(Service(tmp_path, model_files / "cells.bin", "--camera", camera, *words, **options))
        return started[-1].until_ready() if ready else started[-1]

    yield start
    for one in started:
        one.close()


def until_replaced(running, part, before, seconds=10):
    """Wait until another process does this part and answers."""
    running.until(lambda: running.parts().get(part, before) != before, seconds, every=0.01)
    running.until(lambda: (running.health().get("seconds_since_answer") or 9) < 0.5, seconds, every=0.01)


def test_a_worker_that_hits_a_memory_limit_is_ended_by_the_kernel_and_another_one_answers(service):
    running = service()
    before = running.parts()["worker"]
    with control_group("memory", memory_max=1 << 20) as put:
        put(before)  # what it has is another group's; what it takes from now on is not
        started = time.monotonic()
        for _ in range(20):
            running.ask("/snapshot.jpg", timeout=1)
            if running.parts().get("worker") != before:
                break
        until_replaced(running, "worker", before)
        seconds = time.monotonic() - started
    print(f"another worker answers {seconds:.2f} s after the limit was set")
    assert "died of signal 9" in running.said()
    assert seconds < 4  # it needs more memory a moment after that
    assert running.stop()[0] == 0


def test_a_limit_on_memory_that_no_model_fits_into_is_named(tmp_path, model_files):
    command = [sys.executable, "-m", "edgert", "serve", model_files / "cells.bin", "--port", "0"]
    with control_group("memory", memory_max=12 << 20) as put:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: put(os.getpid()))
        _, err = process.communicate(timeout=60)
    assert process.returncode in (1, 3, -signal.SIGKILL), err
    assert "Traceback" not in err


@pytest.fixture
def clock(tmp_path, monkeypatch):
    """Function that puts the wall clock of services that start in this test off by some seconds, from now on."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler for the clock that jumps")
    library, offset = tmp_path / "clock.so", tmp_path / "offset"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", library, Path(__file__).with_name("clock.c"), "-ldl"]
    subprocess.run(command, check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("EDGERT_CLOCK", str(offset))

    def set_off(seconds):
        offset.with_suffix(".new").write_text(str(seconds))
        offset.with_suffix(".new").rename(offset)

    return set_off


@pytest.mark.parametrize("seconds", [366 * 86_400, -366 * 86_400])
def test_a_clock_that_jumps_a_year_changes_nothing(service, tmp_path, clock, seconds):
    running = service()
    parts = running.parts()
    running.until(lambda: running.ask("/resources")[1])  # one from before
    clock(seconds)
    newest = running.until(lambda: jumped(running, tmp_path / "log.jsonl"))
    assert abs(newest - time.time() - seconds) < 60  # the jump was seen
    frames = running.health()["answers"]
    running.until(lambda: running.health()["answers"] > frames + 300)
    health = running.health()
    assert (health["status"], health["reasons"], health["worker_restarts"]) == ("ok", [], 0)
    assert health["camera"]["reopened"] == 0
    assert running.parts() == parts
    code, taken_s = running.stop()
    assert code == 0
    assert taken_s < 5


def jumped(running, path):
    """The time of the newest record once the records have jumped, else None."""
    status, content = running.ask("/resources")
    path.write_bytes(content)
    times = [record["time_s"] for record in read_log(path)] if status == 200 and content else []
    return times[-1] if len(times) > 1 and abs(times[-1] - times[0]) > 300 * 86_400 else None


def test_a_disk_that_fills_while_it_serves_costs_the_records_and_nothing_else(service, tmp_path):
    with small_disk(tmp_path / "disk", 256) as disk:
        running = service("--log-resources", disk / "log.jsonl", "--state", disk / "state")
        log = disk / "log.jsonl"
        running.until(lambda: log.exists() and log.stat().st_size)
        filler = fill(disk)
        health = running.until(lambda: reported(running, "resource log"), 60)
        assert health["status"] == "degraded"
        running.until(lambda: "good0.bin: No space left on device; serving goes on" in running.said(), 20)
        assert reported(running, "good0.bin: No space left")["status"] == "degraded"
        assert running.said().count("log.jsonl: No space left") == 1
        assert os.listdir(disk / "state") == []
        assert len(read_log(log)) > 0  # every line is whole
        before = running.parts()["worker"]
        os.kill(before, signal.SIGKILL)
        until_replaced(running, "worker", before)
        filler.unlink()
        assert running.stop()[0] == 0


def test_a_service_starts_on_a_disk_that_is_full(service, tmp_path):
    with small_disk(tmp_path / "disk", 64) as disk:
        fill(disk)
        running = service("--log-resources", disk / "log.csv", "--state", disk / "state")
        assert running.until(lambda: reported(running, "log.csv: No space left"))["status"] == "degraded"
        assert running.stop()[0] == 0


def reported(running, words):
    """What /health says once these words are among its reasons, else None."""
    health = running.health()
    return health if words in str(health.get("reasons")) else None


def test_threads_follow_the_cores_that_may_be_used():
    ask = "from edgert.threads import physical_cores; print(physical_cores())"
    cores = sorted(os.sched_getaffinity(0))
    one = run(ask, preexec_fn=lambda: os.sched_setaffinity(0, cores[:1]))
    assert one == "1"
    for quota, most in (("100000 100000", 1), ("50000 100000", 1), ("200000 100000", 2)):
        with control_group("cpu", cpu_max=quota) as put:
            assert int(run(ask, preexec_fn=lambda put=put: put(os.getpid()))) == min(int(run(ask)), most)


def run(code, **options):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, **options)
    return done.stdout.strip()


def test_a_camera_without_a_frame_is_opened_again_and_reported(service):
    running = service(camera="synthetic:240x160@0", ready=False)
    health = running.until(lambda: running.health() if running.health().get("camera", {}).get("reopened") else None, 20)
    assert health["status"] == "no answers"
    assert running.ask("/health")[0] == 503
    running.until(lambda: "camera: camera: " not in running.said() and "no frame for 10 s" in running.said())
    assert running.parts().get("worker")
    assert health["worker_restarts"] == 0
    assert running.stop()[0] == 0


def test_ten_thousand_idle_connections_keep_nobody_out(service):
    running = service()
    worker = psutil.Process(running.parts()["worker"])
    running.until(lambda: running.ask("/health"))
    before, idle, slowest_s = worker.memory_info().rss, [], 0.0
    for number in range(10_000):
        idle.append(socket.create_connection(("127.0.0.1", running.port), 10))
        if number % 500 == 0:
            started = time.monotonic()
            assert running.ask("/health")[0] == 200
            slowest_s = max(slowest_s, time.monotonic() - started)
    most = worker.memory_info().rss - before
    print(f"10,000 idle connections: resident memory {most / 2**20:+.1f} MiB, {worker.num_fds()} descriptors, /health "
          f"within {1000 * slowest_s:.0f} ms")  # fmt: skip
    running.until(lambda: worker.num_fds() < 350, 5)  # 256, and its own
    assert most < 16 << 20
    assert slowest_s < 2
    for client in idle:
        client.close()
    running.until(lambda: worker.num_fds() < 60)
    assert running.health()["worker_restarts"] == 0
    assert running.stop()[0] == 0


CLIENT = """
import socket, sys, time
client = socket.create_connection((sys.argv[1], int(sys.argv[2])))
client.sendall(sys.argv[3].encode().decode("unicode_escape").encode())
print(len(client.recv(100)), flush=True)
while client.recv(65_536):
    pass
"""


@pytest.mark.parametrize("path", ["/stream.mjpg", "/events"])
def test_a_client_whose_cable_was_cut_is_forgotten(service, tmp_path, path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    network = CutNetwork()
    try:
        running = service("--host", "0.0.0.0", "--token-file", tmp_path / "token")
        worker = psutil.Process(running.parts()["worker"])
        request = f"GET {path} HTTP/1.1\r\nHost: {network.address}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        client = network.run(sys.executable, "-c", CLIENT, network.address, running.port, request)
        assert int(client.stdout.readline()) > 0
        running.until(lambda: len(peers(worker)) == 1)
        with Standstills() as standstills:
            network.cut()
            cut = time.monotonic()
            running.until(lambda: not peers(worker), 120, every=0.2)
            seconds = time.monotonic() - cut
        print(f"{path}: forgotten {seconds:.0f} s after the cable was cut")
        assert seconds < 45 or standstills.count
        client.kill()
        assert running.stop()[0] == 0
    finally:
        network.close()


def peers(process):
    """Its connections to other machines."""
    open_ones = [one for one in process.net_connections("tcp") if one.status == "ESTABLISHED"]
    return [one for one in open_ones if one.raddr.ip != "127.0.0.1"]
