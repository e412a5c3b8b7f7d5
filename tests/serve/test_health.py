"""/health and edgert_degraded: what is wrong is said, whoever notices it, and what is over is not."""

from time import monotonic
from types import SimpleNamespace

import pytest

from edgert.serve.resources import Resources
from edgert.serve.web import figures, health


@pytest.fixture
def worker():
    """A worker with prompts only, as /health sees it. worker.record: its newest record."""
    made = SimpleNamespace(parts=[], vision=None, text=None, events=None, asked={}, record={"trouble": ""})
    made.last_step, made.notes = monotonic(), SimpleNamespace(text="", store="", restarts=0)
    made.resources = Resources(made)
    made.resources._sampler = SimpleNamespace(log=None, records=[made.record])
    return made


def test_a_service_that_is_well_has_no_reasons(worker):
    code, found = health.health(worker)
    assert (code, found["status"], found["reasons"]) == (200, "ok", [])
    assert figures.state(worker)["degraded"] == 0


@pytest.mark.parametrize(
    ("trouble", "reasons"),
    [
        ("under-voltage", ["board: under-voltage"]),
        ("under-voltage; throttled; Arm clock capped since boot", ["board: under-voltage, throttled"]),
        ("under-voltage since boot", []),  # it is over
        (None, []),
    ],
)
def test_a_board_in_trouble_is_said_without_a_camera_too(worker, trouble, reasons):
    worker.record["trouble"] = trouble
    assert health.health(worker)[1]["reasons"] == reasons
    assert figures.state(worker)["degraded"] == len(reasons)


def test_what_the_supervisor_and_the_disk_say_comes_together(worker):
    worker.notes.text = "model: x.bin was refused"
    worker.resources._sampler.log = SimpleNamespace(trouble="log.csv: No space left on device")
    code, found = health.health(worker)
    assert (code, found["status"]) == (200, "degraded")
    assert found["reasons"] == ["resource log: log.csv: No space left on device", "model: x.bin was refused"]


def test_without_answers_it_is_not_well_whatever_else_is(worker):
    worker.last_step = monotonic() - 2 * health.SILENT_S
    assert health.health(worker)[0] == 503
    assert health.health(worker)[1]["status"] == "no answers"
