"""Every source against what it films: the synthetic camera's truth, a fake picamera2, a fake V4L2 device, a folder."""

import errno
import struct
import sys
import types

import fake_picamera2
import numpy as np
import pytest
from PIL import Image

from edgert.errors import CameraError, EdgertError, InputError
from edgert.sources import opener, v4l2
from edgert.sources.frame import Frame, without_padding
from edgert.sources.synthetic import Synthetic


def open_and_take(text, n=2, **options):
    source = opener(text, **options)[0]()
    frames = []
    for frame in source.frames():
        frames.append(frame)
        if len(frames) == n:
            break
    source.close()
    return frames


def test_the_synthetic_camera_shows_what_its_truth_says():
    for frame in open_and_take("synthetic:320x240@1000000", 40):
        pixels = np.frombuffer(frame.data, np.uint8).reshape(240, 320, 3)
        label, (left, top, right, bottom) = frame.truth[-1]  # the shape on top
        assert label == "blue"
        assert (pixels[top:bottom, left:right] == (0, 0, 255)).all()
        assert (pixels == (0, 0, 255)).all(axis=2).sum() == (right - left) * (bottom - top)
    again = open_and_take("synthetic:320x240@1000000", 40)[-1]
    assert again.data == frame.data


def test_the_synthetic_cameras_faults():
    black = open_and_take("synthetic:64x48@1000000,fault=black@1")
    assert set(black[1].data) == {0}
    frozen = open_and_take("synthetic:64x48@1000000,fault=frozen@1", 3)
    assert frozen[1].data == frozen[2].data != frozen[0].data
    resized = open_and_take("synthetic:64x48@1000000,fault=resize@1")
    assert [(f.width, f.height, len(f.data)) for f in resized] == [(64, 48, 9216), (32, 24, 2304)]
    for fault, kind in (("unplug", CameraError), ("corrupt", InputError)):
        with pytest.raises(kind):
            open_and_take(f"synthetic:64x48@1000000,fault={fault}@1")
    with pytest.raises(EdgertError):
        open_and_take("synthetic:64x48@1000000,fault=unplug@0")
    assert len(open_and_take("synthetic:64x48@1000000,frames=3", 9)) == 3


@pytest.mark.parametrize(
    "text", ["1x1@30", "640@30", "640x480@x", "fault=fire", "fault=hang@x", "frames=", "a=1", "640x480@-1"]
)
def test_a_synthetic_camera_that_is_badly_described_is_refused(text):
    with pytest.raises(InputError, match="is not like"):
        opener(f"synthetic:{text}")


def test_what_names_no_source_is_refused():
    for text in ("/no/such/file", "camera:x", ""):
        with pytest.raises(InputError, match="source"):
            opener(text)


def test_a_folder_gives_its_pictures_by_name_and_names_damaged_ones(tmp_path, capsys):
    for name, colour in (("b.png", (0, 255, 0)), ("a.png", (255, 0, 0))):
        Image.new("RGB", (8, 6), colour).save(tmp_path / name)
    (tmp_path / "aa.jpg").write_bytes(b"no picture")
    first, second = open_and_take(str(tmp_path), 9)
    assert (first.name, bytes(first.data[:3]), first.width, first.height) == ("a.png", b"\xff\0\0", 8, 6)
    assert (second.name, second.number) == ("b.png", 2)
    assert "aa.jpg" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        open_and_take(str(tmp_path / "empty"))


def test_rows_without_padding():
    assert without_padding(b"abc.def.", 3, 4, 2) == b"abcdef"
    assert without_padding(b"abcdef", 3, 3, 2) == b"abcdef"


@pytest.fixture
def picamera2(monkeypatch):
    monkeypatch.setitem(sys.modules, "picamera2", types.SimpleNamespace(Picamera2=fake_picamera2.Picamera2))
    fake_picamera2.Picamera2.made.clear()
    yield fake_picamera2.Picamera2
    fake_picamera2.Picamera2.broken = None


def test_a_pi_camera_gives_bgr_without_padding_and_releases_its_buffers(picamera2):
    frames = open_and_take("camera", 10, size=(50, 20), fps=25)
    assert {(f.format, f.width, f.height) for f in frames} == {("BGR", 50, 20)}
    assert all(bytes(f.data) == bytes((0, 0, 255)) * 1000 for f in frames)  # red
    [camera] = picamera2.made
    assert camera.asked["main"]["format"] == "RGB888"
    assert camera.asked["controls"] == {"FrameRate": 25.0}
    assert camera.state == "closed"
    assert frames[0].timestamp_ns == 1_000_000


def test_a_pi_cameras_second_stream_comes_with_each_frame(picamera2):
    [frame] = open_and_take("camera:1", 1, size=(640, 480), lores=(80, 60))
    small = frame.small
    assert (small.format, small.width, small.height, len(small.data)) == ("YUV420", 80, 60, 7200)
    assert set(small.data[:4800]) == {76}
    assert set(small.data[4800:6000]) == {85}
    assert set(small.data[6000:]) == {255}


def test_a_pi_camera_that_is_missing_or_stops_is_a_camera_error(picamera2):
    with pytest.raises(CameraError, match=r"camera 7: .*list-cameras"):
        open_and_take("camera:7")
    picamera2.broken = RuntimeError("Camera frontend has timed out!")
    with pytest.raises(CameraError, match="timed out"):
        open_and_take("camera")


def test_without_picamera2_the_error_names_the_package_and_the_environment(monkeypatch):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(CameraError, match=r"apt install python3-picamera2.*--system-site-packages"):
        open_and_take("camera")


class FakeDevice:
    """A V4L2 driver in Python: answers each ioctl as the kernel's would."""

    def __init__(self, width=16, height=4, stride=40, fourcc=b"YUYV", fault=None):
        self.size, self.stride, self.fourcc, self.fault = (width, height), stride, fourcc, fault
        self.queued, self.number, self.streaming = [], 0, False
        self.areas = [bytearray(stride * height) for _ in range(4)]

    def ioctl(self, fd, request, data):
        if request == v4l2.QUERYCAP:
            return data[:84] + struct.pack("<II", 0 if self.fault == "no camera" else 0x04000001, 0) + data[92:]
        if request == v4l2.S_FMT:
            if self.fault == "busy":
                raise OSError(errno.EBUSY, "Device or resource busy")
            return data[:8] + struct.pack("<II4sIII", *self.size, self.fourcc, 1, self.stride, 0) + data[32:]
        if request == v4l2.REQBUFS:
            return data
        index = struct.unpack_from("<I", data)[0]
        if request == v4l2.QUERYBUF:
            return data[:64] + struct.pack("<QI", index * 4096, len(self.areas[0])) + data[76:]
        if request == v4l2.QBUF:
            self.queued.append(index)
        if request == v4l2.DQBUF:
            return self.dequeue(data)
        return data

    def dequeue(self, data):
        if self.fault == "unplug" and self.number == 2:
            raise OSError(errno.ENODEV, "No such device")
        index = self.queued.pop(0)
        used = len(self.areas[0]) - (16 if self.fault == "short" and self.number == 1 else 0)
        self.areas[index][:] = bytes((self.number,)) * len(self.areas[0])
        self.number += 1
        start = struct.pack("<5I", 99 if self.fault == "bad index" else index, 1, used, 0, 1)
        return start + data[20:56] + struct.pack("<I", self.number + 4) + data[60:]

    def map(self, length, offset):
        return self.areas[offset // 4096]


@pytest.fixture
def device(monkeypatch, tmp_path):
    def plug(**options):
        fake = FakeDevice(**options)
        monkeypatch.setattr(v4l2.fcntl, "ioctl", fake.ioctl)
        monkeypatch.setattr(v4l2.V4l2Camera, "_map", lambda camera, length, offset: fake.map(length, offset))
        monkeypatch.setattr(v4l2.V4l2Camera, "close", lambda camera: None)
        monkeypatch.setattr(v4l2.select, "select", lambda *_: (fake.fault != "hang" and [1], [], []))
        path = tmp_path / "video0"
        path.touch()
        return v4l2.V4l2Camera(str(path), (16, 4))

    return plug


def take(camera, n):
    frames = camera.frames()
    return [next(frames) for _ in range(n)]


def test_a_v4l2_camera_gives_its_frames_in_order_without_padding(device):
    frames = take(device(), 6)
    assert [frame.number for frame in frames] == [0, 1, 2, 3, 4, 5]
    assert all(frame.format == "YUYV" and bytes(frame.data) == bytes((frame.number,)) * 128 for frame in frames)


def test_a_short_frame_is_left_out(device):
    assert [frame.number for frame in take(device(fault="short"), 3)] == [0, 2, 3]


def test_damaged_jpegs_are_left_out(device, monkeypatch):
    camera = device(fourcc=b"MJPG", stride=0)
    assert camera.format == "MJPG"
    assert camera._decoded(b"\xff\xd8\xff\xe0 and then noise", 0) is None
    file = __import__("io").BytesIO()
    Image.new("RGB", (16, 4), (255, 0, 0)).save(file, "JPEG")
    frame = camera._decoded(file.getvalue(), 3)
    assert (frame.format, frame.width, frame.height, frame.number) == ("RGB", 16, 4, 3)


@pytest.mark.parametrize(("fault", "words"), [("busy", "in use"), ("no camera", "does not capture video")])
def test_a_v4l2_device_that_cannot_be_used_says_why(device, fault, words):
    with pytest.raises(CameraError, match=words):
        device(fault=fault)


@pytest.mark.parametrize(
    ("fault", "words"), [("unplug", "unplugged"), ("hang", "no frame for"), ("bad index", "buffer 99")]
)
def test_a_v4l2_camera_that_breaks_says_why(device, fault, words):
    with pytest.raises(CameraError, match=words):
        take(device(fault=fault), 9)


def test_the_holder_of_a_device_is_named(tmp_path):
    path = tmp_path / "held"
    with open(path, "w"):
        assert v4l2._by(str(path)).startswith(" by process ")
    assert v4l2._by(str(tmp_path / "free")) == ""


def test_a_device_that_is_not_there_is_a_camera_error():
    with pytest.raises(CameraError, match="No such file"):
        opener("/dev/video99")[0]()


def test_a_video_needs_pyav_or_is_read(tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"no video")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(EdgertError, match=r"needs av: "):
        opener(str(path))[0]()


def test_a_package_that_does_not_load_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "av.py").write_text("raise ImportError('libx264.so.164: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "av", raising=False)
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    with pytest.raises(EdgertError, match=r"needs av, which is installed but does not load: libx264\.so"):
        opener(str(tmp_path / "clip.mp4"))[0]()


def test_frames_know_their_age():
    assert Frame(b"", "RGB", 1, 1, 0, timestamp_ns=0).age_ms() > 0
    assert next(iter(Synthetic(fps=1e6, frames=1).frames())).age_ms() < 5000
