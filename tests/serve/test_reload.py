"""A new model or new settings while a service runs: better ones take over, bad ones are refused, answers never stop."""

import os
import signal
import time

import numpy as np
import pytest
import tiny

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from running import Service

from edgert.errors import ModelFormatError
from edgert.format import writer
from edgert.graph import Metadata, Preprocess
from edgert.model import load
from edgert.serve import trial

CAMERA = "synthetic:240x160@100"


def detector(**head):
    return tiny.colour_detector(**head)


def with_golden(graph, outputs):
    fields = {name: getattr(graph.metadata, name) for name in Metadata.__slots__}
    zeros = bytes(16 * 24 * 3)
    return graph.replace(metadata=Metadata(**fields | {"golden": (((zeros,), (outputs,)),)}))


@pytest.fixture
def running(tmp_path):
    """A service on tmp_path/model.bin (least score 0.5) and tmp_path/edgert.conf."""
    writer.write(detector(), tmp_path / "model.bin")
    config = tmp_path / "edgert.conf"
    config.write_text(f"model = {tmp_path / 'model.bin'}\ncamera = {CAMERA}\nfps = 50\n")
    service = Service(tmp_path, "--config", config, watchdog_s=15)
    service.config, service.model = config, tmp_path / "model.bin"
    yield service.until_ready()
    assert service.stop()[0] == 0
    service.close()


def score(service):
    import json

    answer = service.ask("/state")
    return json.loads(answer[1])["score"] if answer else None


def reload(service):
    service.process.send_signal(signal.SIGHUP)


def test_a_new_model_takes_over_and_the_camera_goes_on(running):
    before = running.parts()
    writer.write(detector(score_threshold=0.25), running.model)
    reload(running)
    running.until(lambda: score(running) == 0.25)
    after = running.parts()
    assert after["worker"] != before["worker"]
    assert after["camera"] == before["camera"]
    health = running.until(running.health)
    assert (health["reasons"], health["worker_restarts"]) == ([], 0)
    told = [line for line in running.listen() if line.startswith("WATCHDOG_USEC")]
    assert told == ["WATCHDOG_USEC=120000000", "WATCHDOG_USEC=15000000"]  # a large model is read for longer than that


def test_a_damaged_or_wrong_model_is_refused_and_the_old_one_never_stops(running):
    before = running.parts()
    whole = running.model.read_bytes()
    running.model.write_bytes(whole[:-64])
    reload(running)
    running.until(lambda: "model.bin was refused" in str(running.health().get("reasons")))
    running.model.unlink()
    writer.write(with_golden(detector(), bytes(168)), running.model)
    reload(running)
    running.until(lambda: "golden answer 0 does not come out" in str(running.health().get("reasons")))
    assert running.parts() == before
    assert running.health()["status"] == "degraded"
    running.model.write_bytes(whole)
    reload(running)
    running.until(lambda: running.health().get("reasons") == [])


def test_a_model_that_is_cut_short_while_it_serves_harms_nobody(running):
    before = running.parts()
    with open(running.model, "r+b") as file:
        file.truncate(100)
    frames = running.until(running.health)["answers"]
    running.until(lambda: running.health()["answers"] > frames + 10)
    assert running.parts() == before
    os.kill(before["worker"], signal.SIGKILL)
    running.until(lambda: running.parts().get("worker", before["worker"]) != before["worker"])
    running.until(lambda: (running.health().get("seconds_since_answer") or 9) < 0.5)


def large_classifier():
    """Picture (1, 64, 64, 3) int8 -> linear -> 1,400 scores: 17 MB of weights, too many for a copy in memory."""
    b = tiny.GraphBuilder("large")
    weight = np.random.default_rng(0).integers(-8, 8, (1400, 64 * 64 * 3)).astype(np.int8)
    b.tensor("image", "int8", (1, 64, 64, 3), 1 / 255, -128)
    b.tensor("flat", "int8", (1, 64 * 64 * 3), 1 / 255, -128)
    b.tensor("weight", "int8", weight.shape, [1 / 64] * 1400, data=weight, axis=0)
    b.tensor("logits", "int8", (1, 1400), 1.0, 0)
    b.tensor("scores", "int8", (1, 1400), 1 / 256, -128)
    b.node("reshape", "image", "flat")
    b.node("linear", ["flat", "weight"], "logits")
    b.node("softmax", "logits", "scores", beta=1.0)
    labels, preprocess = tuple(map(str, range(1400))), Preprocess("RGB", "stretch", (0.0,), (255.0,))
    return b.graph(["image"], ["scores"], Metadata("classify", labels, preprocess))


@pytest.mark.parametrize("tier", ["reference", pytest.param(None, marks=pytest.mark.faults)])
def test_a_large_model_that_is_cut_short_while_it_serves_goes_on_from_its_copy(tmp_path, monkeypatch, tier):
    """The reference has its weights in the mapped file, so that the kernel ends it; the others have packed them."""
    if tier:
        monkeypatch.setenv("EDGERT_TIER", tier)
    model = tmp_path / "large.bin"
    writer.write(large_classifier(), model)
    service = Service(tmp_path, model, "--camera", CAMERA, "--state", tmp_path / "state").until_ready()
    kept = tmp_path / "state" / "good0.bin"
    service.until(kept.exists, 90)  # after ten seconds it is good; others may keep the disk busy
    before = service.until(service.health)
    with open(model, "r+b") as file:
        file.truncate(1 << 20)
    cut = time.monotonic()
    health = service.until(lambda: served_from(service, kept))
    print(f"answers again {time.monotonic() - cut:.2f} s after the file was cut short")
    assert time.monotonic() - cut < 4
    assert health["status"] == "degraded"
    assert "large.bin was changed while it served" in str(health["reasons"])
    assert health["worker_restarts"] >= 1
    assert ("died of signal 7" in service.said()) == (tier == "reference")
    assert health["models"][0]["sha256"] == before["models"][0]["sha256"]
    assert service.stop()[0] == 0
    service.close()


def served_from(service, path):
    health = service.health()
    answered = health and (health["seconds_since_answer"] or 9) < 0.5
    return health if answered and health["models"][0]["file"] == str(path) else None


def test_settings_that_are_wrong_leave_all_as_it_was(running):
    before, text = running.parts(), running.config.read_text()
    running.config.write_text(text + "score = 0.")
    reload(running)
    running.until(lambda: "line 4 does not end" in str(running.health().get("reasons")))
    running.config.write_text(text + "colour = red\n")
    reload(running)
    running.until(lambda: "'colour' is no setting" in str(running.health().get("reasons")))
    assert running.parts() == before
    running.config.write_text(text.replace(CAMERA, "camera") + "score = 0.75\n")
    reload(running)
    running.until(lambda: score(running) == 0.75)
    assert "camera: will change when the service is started again" in running.said()


def test_the_promised_frame_rate_is_held_and_not_exceeded(running):
    running.config.write_text(running.config.read_text().replace("fps = 50", "fps = 10"))
    reload(running)
    running.until(lambda: 9 < running.health().get("frames", {}).get("fps", 0) < 11)


def test_a_trial_proves_answers_speed_and_size(tmp_path, monkeypatch):
    model = load(writer.to_bytes(detector()))
    good = load(writer.to_bytes(with_golden(detector(), bytes(model.run_buffers([bytes(16 * 24 * 3)])[0]))))
    trial.check_answers(good, "good")
    with pytest.raises(ModelFormatError, match="bad: golden answer 0"):
        trial.check_answers(load(writer.to_bytes(with_golden(detector(), bytes(168)))), "bad")
    trial.check_speed(lambda: None, "fast", 1000)
    monkeypatch.setattr(trial, "SLOWEST_S", 0.0)
    with pytest.raises(trial.NotNow, match="slow: too slow: an answer takes 0 ms"):
        trial.check_speed(lambda: None, "slow")
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(trial.NotNow, match="large: too big: 4,398,046,511,104 bytes, and"):
        trial.check_size(path, "large")
