"""A camera that needs no device: shapes of known colours and boxes move over a background, and it breaks on demand."""

from time import monotonic_ns, sleep

from edgert.errors import CameraError, InputError
from edgert.sources.frame import Frame

FAULTS = ("hang", "unplug", "corrupt", "frozen", "black", "resize")
# name, colour (R, G, B), size as a fraction of the frame, speed in pixels a frame across and down
SHAPES = (
    ("red", (255, 0, 0), 0.25, 3, 2),
    ("green", (0, 255, 0), 0.2, -2, 3),
    ("blue", (0, 0, 255), 0.15, 4, -1),
)
_GREY = 96
UNPACED_FPS = 100_000


def parse(text, size=None, fps=None):
    """Arguments of Synthetic from "640x480@30,fault=unplug@100,frames=500"; what is left out has its default."""
    options = {"width": (size or (640, 480))[0], "height": (size or (640, 480))[1], "fps": 30.0 if fps is None else fps}
    try:
        for part in filter(None, text.split(",")):
            key, equals, value = part.partition("=")
            if not equals:
                sides, at, rate = part.partition("@")
                options["width"], options["height"] = (int(side) for side in sides.split("x"))
                options["fps"] = float(rate) if at else options["fps"]
            elif key == "fault":
                options["fault"], at, number = value.partition("@")
                options["fault_at"] = int(number) if at else 50
            elif key == "frames":
                options["frames"] = int(value)
            else:
                raise ValueError
        return check(**options)
    except (ValueError, TypeError):
        raise InputError(f"synthetic:{text} is not like synthetic:640x480@30,fault=unplug@100,frames=500") from None


def check(width, height, fps, **others):
    if not (16 <= width <= 8192 and 16 <= height <= 8192 and 0 <= fps <= 1e6):
        raise ValueError
    if others.get("fault", FAULTS[0]) not in FAULTS:
        raise ValueError
    return {"width": width, "height": height, "fps": fps, **others}


class Synthetic:
    """Frames of RGB with the truth in them.

    fps: frames a second; 0: none ever comes; from UNPACED_FPS on: each as soon as the last was taken. fault: one of
    FAULTS, from frame `fault_at` on. frames: how many there are (None: endless). Frame n looks the same in every run.
    """

    live = True

    def __init__(self, width=640, height=480, fps=30.0, fault=None, fault_at=50, frames=None):
        self.width, self.height, self.fps, self.frames_left = width, height, fps, frames
        self.fault, self.fault_at = fault, fault_at
        self.closed = False
        rows = [bytes((_GREY + 64 * y // height,)) * (3 * width) for y in range(height)]
        self.background = b"".join(rows)

    def frames(self):
        start, number = monotonic_ns(), 0
        while not self.closed and number != self.frames_left:
            if not self.fps or (self.fault == "hang" and number >= self.fault_at):
                sleep(0.02)
                continue
            if self.fps < UNPACED_FPS:
                due = start + int(number * 1e9 / self.fps)
                sleep(max(0.0, (due - monotonic_ns()) / 1e9))
            yield self._frame(number)
            number += 1

    def close(self):
        self.closed = True

    def _frame(self, number):
        broken = self.fault if number >= self.fault_at else None
        if broken == "unplug":
            raise CameraError("synthetic camera: unplugged")
        if broken == "corrupt":
            raise InputError("synthetic camera: damaged picture")
        if broken == "black":
            return Frame(bytes(len(self.background)), "RGB", self.width, self.height, number)
        if broken == "resize":
            small = Synthetic(max(16, self.width // 2), max(16, self.height // 2))
            return small._frame(number)
        truth = self.truth(self.fault_at if broken == "frozen" else number)
        pixels = bytearray(self.background)
        for (_, colour, _, _, _), (_, (left, top, right, bottom)) in zip(SHAPES, truth):
            row = bytes(colour) * (right - left)
            for at in range(3 * (top * self.width + left), 3 * (bottom * self.width + left), 3 * self.width):
                pixels[at : at + len(row)] = row
        return Frame(pixels, "RGB", self.width, self.height, number, truth=truth)

    def truth(self, number):
        """(label, (left, top, right, bottom)) of each shape in frame `number`; later shapes cover earlier ones."""
        found = []
        for i, (name, _, part, across, down) in enumerate(SHAPES):
            side = max(4, int(part * min(self.width, self.height)))
            left = _bounce(i * self.width // 3 + across * number, self.width - side)
            top = _bounce(i * self.height // 4 + down * number, self.height - side)
            found.append((name, (left, top, left + side, top + side)))
        return tuple(found)


def _bounce(place, room):
    """A place on a way of length `room` that is walked to and fro."""
    place %= max(1, 2 * room)
    return place if place <= room else 2 * room - place
