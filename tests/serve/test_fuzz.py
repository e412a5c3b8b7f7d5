"""Hostile requests by the thousand against `edgert serve` as it is run: camera, prompts, pages, API. `make fuzz`."""

import asyncio
import os
import random
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")

from hostile import mutated, status
from kills import Standstills
from running import Service

SHAKESPEARE = Path(__file__).resolve().parents[2] / "models" / "shakespeare" / "shakespeare_int4.bin"
AT_ONCE = 24
PATIENCE_S = 1.0  # of a client; what it is never answered it leaves behind half open
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATHS = (b"/", b"/prompt", b"/state", b"/metrics", b"/resources", b"/snapshot.jpg", b"/stream.mjpg", b"/events")
SEEDS = [HEALTH, *[HEALTH.replace(b"/health", path) for path in PATHS],
         b"POST /settings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n\r\n{\"score\": 0.25}"]  # fmt: skip


@pytest.mark.parametrize(
    "count", [150, pytest.param(int(os.environ.get("EDGERT_FUZZ", "20000")), marks=pytest.mark.faults)]
)
def test_a_service_outlives_hostile_requests(tmp_path, model_files, count):
    words = (SHAKESPEARE, "--camera", "synthetic:240x160@20", "--log-resources", tmp_path / "log.jsonl")
    service = Service(tmp_path, model_files / "cells.bin", *words).until_ready()
    try:
        worker = psutil.Process(service.parts()["worker"])
        asyncio.run(attack(service.port, 100, random.Random(1)))  # what every path loads
        before = worker.memory_info().rss, worker.num_fds()
        answers, slowest_s = asyncio.run(attack(service.port, count, random.Random(count)))
        service.until(lambda: worker.num_fds() <= before[1] + 2, 60)
        grown = worker.memory_info().rss - before[0]
        print(f"{count} requests: {dict(sorted(answers.items(), key=str))}; resident memory {grown / 2**20:+.1f} MiB; "
              f"/health meanwhile within {1000 * slowest_s:.0f} ms")  # fmt: skip
        health = service.until(service.health)
        assert (health["status"], health["worker_restarts"], health["prompts"]["failed"]) == ("ok", 0, 0)
        assert service.parts()["worker"] == worker.pid
        assert all(code is None or code == 101 or 200 <= code < 500 or code == 503 for code in answers)
        assert grown < 16 << 20
        assert slowest_s < 5
        assert "Traceback" not in service.said()
        assert all(letter.isprintable() or letter == "\n" for letter in service.said())
        assert service.stop()[0] == 0
    finally:
        service.close()


async def attack(port, count, rng):
    """Send `count` damaged requests, AT_ONCE at a time, and ask how it is meanwhile.

    Returns: {status of the answer, None for none: how often}, and the longest that /health took, in seconds.
    """
    answers, left, done = {}, iter(range(count)), asyncio.Event()

    async def client():
        for _ in left:
            found = status(await exchange(port, mutated(rng, SEEDS), rng.random()))
            answers[found] = answers.get(found, 0) + 1

    async def watch():
        slowest_s, loop = 0.0, asyncio.get_running_loop()
        with Standstills() as standstills:
            while not done.is_set():
                started, before = loop.time(), standstills.count
                assert status(await exchange(port, HEALTH, 1, 20)) == 200
                if standstills.count == before:
                    slowest_s = max(slowest_s, loop.time() - started)
                await asyncio.sleep(0.05)
        return slowest_s

    watching = asyncio.create_task(watch())
    await asyncio.gather(*[client() for _ in range(AT_ONCE)])
    done.set()
    return answers, await watching


async def exchange(port, data, manner, patience_s=PATIENCE_S):
    """Send `data`; what is answered first. manner: below 0.3 it ends its side then, below 0.1 it reads nothing."""
    received = b""
    with suppress(OSError, TimeoutError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            await writer.drain()
            if manner < 0.3:
                writer.write_eof()
            if manner >= 0.1:
                received = await asyncio.wait_for(reader.read(65_536), patience_s)
        finally:
            writer.transport.abort()
    return received
