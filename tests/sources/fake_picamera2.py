"""picamera2 as far as sources/picamera.py uses it, with its habits: padded rows, four buffers, BGR called RGB888."""

import numpy as np


class Request:
    def __init__(self, camera):
        self.camera, self.released = camera, False
        camera.lent += 1
        if camera.lent > 4:
            raise AssertionError("a fifth buffer was asked for: the camera would stop here")

    def make_buffer(self, name):
        stream = self.camera.configuration[name]
        width, height = stream["size"]
        if name == "lores":
            planes = [(width, stream["stride"], height, 76)] + [(width // 2, stream["stride"] // 2, height // 2, v)
                                                                for v in (85, 255)]  # fmt: skip
            return np.concatenate([self.plane(*plane) for plane in planes])
        row = bytes((0, 0, 255)) * width
        return np.frombuffer(row.ljust(stream["stride"], b"\7") * height, np.uint8)

    def plane(self, width, stride, height, value):
        rows = np.full((height, stride), 7, np.uint8)
        rows[:, :width] = value
        return rows.reshape(-1)

    def get_metadata(self):
        return {"SensorTimestamp": 1_000_000 * self.camera.lent}

    def release(self):
        assert not self.released
        self.released = True
        self.camera.lent -= 1


class Picamera2:
    broken = None  # an exception that capture_request raises
    made = []

    def __init__(self, number=0):
        if number > 1:
            raise IndexError("list index out of range")
        self.lent, self.state = 0, "open"
        Picamera2.made.append(self)

    def create_video_configuration(self, **streams):
        return streams

    def configure(self, streams):
        self.asked = streams
        self.configuration = {
            name: {**streams[name], "stride": _stride(name, streams[name])}
            for name in ("main", "lores")
            if name in streams
        }

    def camera_configuration(self):
        return self.configuration

    def start(self):
        self.state = "running"

    def capture_request(self):
        if Picamera2.broken:
            raise Picamera2.broken
        return Request(self)

    def stop(self):
        self.state = "stopped"

    def close(self):
        self.state = "closed"


def _stride(name, stream):
    width = stream["size"][0] * (3 if name == "main" else 1)
    return -(-width // 64) * 64
