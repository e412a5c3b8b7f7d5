"""The newest frame only, out of a process that may hang, crash or be killed."""

import os
import signal
import time

import pytest
from processes import runs

from edgert.errors import CameraError
from edgert.sources.frame import Frame
from edgert.sources.look import SAME_FRAMES, Look
from edgert.sources.newest import Newest


@pytest.fixture
def camera():
    """Function that opens a source, quick to notice and to reopen; what it said is in `said`."""
    opened = []

    def open_source(source, **options):
        said = []
        options = {"first_pause_s": 0.01, "hung_s": 0.4, "say": said.append} | options
        opened.append(Newest(source, **options))
        opened[-1].said = said
        return opened[-1]

    yield open_source
    for newest in opened:
        newest.close()


def take(newest, count=1, seconds=8):
    frames, deadline = [], time.monotonic() + seconds
    while len(frames) < count and time.monotonic() < deadline:
        if (frame := newest.get(0.1)) is not None:
            frames.append(frame)
    assert len(frames) == count
    return frames


def until(newest, condition, seconds=8):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        newest.get(0.05)
    assert condition()


def test_frames_come_from_another_process_with_their_time(camera):
    newest = camera("synthetic:64x48@200")
    first, second = take(newest, 2)
    assert (first.width, first.height, first.format, len(first.data)) == (64, 48, "RGB", 64 * 48 * 3)
    assert second.number > first.number
    assert 0 <= first.age_ms() < 5000
    assert newest.state == "ok"
    assert newest.said == []


def test_who_is_slow_gets_the_newest_frame_and_the_others_are_counted(camera):
    newest = camera("synthetic:64x48@400")
    [first] = take(newest)
    time.sleep(0.1)
    [later] = take(newest)
    assert later.number > first.number + 5
    assert newest.dropped >= later.number - first.number - 2


def test_a_source_that_ends_is_over(camera):
    newest = camera("synthetic:64x48@200,frames=4")
    until(newest, lambda: newest.ended)
    assert newest.captured == 4
    assert newest.get(0.1) is None


def test_a_camera_that_fails_is_reopened_by_another_process(camera):
    newest = camera("synthetic:64x48@200,fault=unplug@2")
    until(newest, lambda: newest.reopened >= 2)
    assert newest.said[0] == "camera: waiting 0.01 s to reopen: synthetic camera: unplugged"
    assert newest.said[1] == "camera: ok"


def test_the_pauses_before_a_camera_that_gives_no_frame_grow(camera):
    newest = camera("synthetic:64x48@200,fault=unplug@0", first_pause_s=0.001)
    until(newest, lambda: newest.reopened >= 3)
    pauses = [float(line.split()[2]) for line in newest.said]
    assert pauses[:3] == [0.001, 0.002, 0.004]
    assert newest.said[0].endswith("to reopen: synthetic camera: unplugged")
    assert newest.said[1].endswith("to reopen, as before")
    assert newest.state.endswith("to reopen: synthetic camera: unplugged")


@pytest.mark.parametrize(
    ("how", "said"), [(signal.SIGSTOP, "it hangs: no frame for 0.4 s"), (signal.SIGSEGV, "died of signal 11")]
)
def test_a_camera_process_that_stands_still_or_crashes_is_replaced(camera, how, said):
    newest = camera("synthetic:64x48@200")
    take(newest)
    first = newest._keeper.pid
    os.kill(first, how)
    until(newest, lambda: newest.reopened == 1 and newest.state == "ok")
    take(newest)
    assert said in newest.said[0]
    assert not os.path.exists(f"/proc/{first}")


def test_asked_to_stop_on_failure_it_raises_the_cameras_error(camera):
    for fault, message in (("unplug@2", "unplugged"), ("hang@2", "hangs: no frame for 0.4 s")):
        newest = camera(f"synthetic:64x48@200,fault={fault}", stop_on_failure=True)
        with pytest.raises(CameraError, match=message):
            take(newest, 1000)


def test_what_names_no_source_says_why(camera):
    newest = camera("/no/such/camera", stop_on_failure=True)
    with pytest.raises(CameraError, match="no such file"):
        take(newest)


def test_frames_of_another_size_come_through(camera):
    newest = camera("synthetic:64x48@200,fault=resize@3")
    until(newest, lambda: newest.captured > 6)
    frame = take(newest, 2)[1]
    assert (frame.width, frame.height, len(frame.data)) == (32, 24, 32 * 24 * 3)


def test_closing_leaves_no_process_and_no_descriptor(camera):
    before = sorted(os.listdir("/proc/self/fd"))
    newest = camera("synthetic:64x48@200")
    take(newest)
    pid = newest._keeper.pid
    newest.close()
    newest.close()
    assert not os.path.exists(f"/proc/{pid}")
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_the_child_of_a_killed_process_ends_too(tmp_path):
    import subprocess
    import sys

    script = """
from edgert.sources.newest import Newest
newest = Newest("synthetic:64x48@200,fault=hang@2")
newest.get(5)
print(newest._keeper.pid, flush=True)
input()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    assert os.path.exists(f"/proc/{child}")
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    while runs(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not runs(child)


def picture(fill, format="RGB"):
    return Frame(bytes(fill), format, 64, 48, 0)


def test_a_frozen_camera_is_told_by_all_bytes_of_its_frames():
    look = Look()
    same = [200] * (64 * 48 * 3)
    states = [look(picture(same)) for _ in range(SAME_FRAMES + 1)]
    assert states == ["ok"] * SAME_FRAMES + ["frozen"]
    assert look(picture([201] * (64 * 48 * 3))) == "ok"
    look = Look()
    for count in range(3 * SAME_FRAMES):  # one byte, between those that are compared first
        assert look(picture([200, count, *same[2:]])) == "ok"


def test_a_black_camera_is_told_in_every_format():
    grey = [128] * (64 * 48 // 2)
    for format, dark, light in (
        ("RGB", [3] * (64 * 48 * 3), [3] * (64 * 48 * 3 - 300) + [90] * 300),
        ("YUYV", [16, 128] * (64 * 48), [70, 128] * (64 * 48)),
        ("YUV420", [16] * (64 * 48) + grey, [70] * (64 * 48) + grey),
    ):
        assert Look()(picture(dark, format)) == "black"
        assert Look()(picture(light, format)) == "ok"
