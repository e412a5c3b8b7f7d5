"""The newest frame only, and what happens when a camera breaks: no wait longer than a tenth of a second in here."""

import threading
import time

import pytest

from edgert.errors import CameraError
from edgert.sources.frame import Frame
from edgert.sources.newest import SAME_FRAMES, Newest


class Script:
    """A source that plays a list of frames, exceptions and "hang"."""

    live = True

    def __init__(self, steps):
        self.steps, self.closed = steps, threading.Event()

    def frames(self):
        for step in self.steps:
            if step == "hang":
                self.closed.wait(5)
                return
            if isinstance(step, Exception):
                raise step
            yield step

    def close(self):
        self.closed.set()


def frame(number, fill=100):
    data = bytes((fill + number) % 256 for _ in range(48))
    return Frame(data, "RGB", 4, 4, number)


def newest(*scripts, **options):
    """A Newest over these scripts, one after each reopening; what it said; the sources it opened."""
    sources, said = [Script(steps) for steps in scripts], []
    rest = iter(sources)

    def open_next():
        source = next(rest, None)
        if source is None:
            raise CameraError("gone")
        return source

    options = {"first_pause_s": 0.01, "hung_s": 0.05, "say": said.append} | options
    return Newest(open_next, **options), said, sources


def until(condition):
    deadline = time.monotonic() + 3
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert condition()


def test_only_the_newest_frame_is_given_and_the_others_are_counted():
    camera, _, _ = newest([frame(n) for n in range(5)])
    until(lambda: camera._ended)
    assert camera.get(0.1).number == 4
    assert camera.dropped == 4
    assert camera.get(0.1) is None
    assert camera.ended


def test_a_camera_that_fails_is_reopened():
    camera, said, sources = newest([frame(0), CameraError("unplugged")], [frame(7), "hang"])
    until(lambda: camera.captured == 2)
    assert camera.get(0.1).number == 7
    assert (camera.reopened, camera.state) == (1, "ok")
    assert said == ["camera: waiting 0.01 s to reopen: unplugged", "camera: ok"]
    assert sources[0].closed.is_set()
    camera.close()


def test_the_pauses_between_attempts_grow():
    camera, said, _ = newest([frame(0), CameraError("unplugged")])
    until(lambda: camera.reopened >= 4)
    camera.close()
    pauses = [float(line.split()[2]) for line in said]
    assert pauses[:3] == [0.01, 0.02, 0.04]


def test_a_camera_that_hangs_is_left_alone_and_another_begins():
    # Long enough that a busy machine's second camera is not taken for dead before it began.
    camera, said, sources = newest([frame(0), "hang"], [frame(3), "hang"], hung_s=0.4)
    until(lambda: camera.captured == 1)
    assert camera.get(0.1).number == 0
    found = None
    for _ in range(20):
        found = found or camera.get(0.5)
    assert found.number == 3
    assert "camera: hung: no frame for 0.4 s" in said
    assert sources[0].closed.is_set()
    camera.close()


def test_asked_to_stop_on_failure_it_raises_the_cameras_error():
    camera, _, _ = newest([frame(0), CameraError("unplugged")], stop_on_failure=True)
    until(lambda: camera._ended)
    assert camera.get(0.1).number == 0
    with pytest.raises(CameraError, match="unplugged"):
        camera.get(0.1)
    camera, _, _ = newest([frame(0), "hang"], stop_on_failure=True)
    until(lambda: camera.captured == 1)
    assert camera.get(0.1).number == 0
    with pytest.raises(CameraError, match="hangs"):
        camera.get(0.3)


def test_black_and_frozen_cameras_are_noticed():
    camera, _, _ = newest([frame(0), Frame(bytes(48), "RGB", 4, 4, 1), "hang"], hung_s=5)
    until(lambda: camera.captured == 2)
    assert camera.state == "black"
    camera.close()
    camera, said, _ = newest([frame(0)] * (SAME_FRAMES + 1) + ["hang"], hung_s=5)
    until(lambda: camera.state == "frozen")
    assert said == ["camera: frozen"]
    camera.close()


def test_a_source_that_never_gives_a_frame_does_not_block():
    camera, _, _ = newest(["hang"])
    assert camera.get(0.02) is None
    camera.close()
    assert camera.ended
