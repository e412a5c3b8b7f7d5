"""One frame of a camera, a video or a folder."""

from time import monotonic_ns


class Frame:
    """Pixels and when they were taken.

    data: bytes-like, rows without padding. format: one of vision.frames.FORMATS. timestamp_ns: of the capture, on the
    monotonic clock. number: of the frame in its source, from 0; gaps are frames that nobody took. truth: for synthetic
    frames, what is in them as (label, box). small: the same moment as a smaller Frame for the model, or None. name: of
    the file it came from, or "".
    """

    __slots__ = ("data", "format", "width", "height", "timestamp_ns", "number", "truth", "small", "name")

    def __init__(self, data, format, width, height, number, timestamp_ns=None, truth=(), small=None, name=""):
        self.data, self.format, self.width, self.height, self.number = data, format, width, height, number
        self.timestamp_ns = monotonic_ns() if timestamp_ns is None else timestamp_ns
        self.truth, self.small, self.name = truth, small, name

    def age_ms(self):
        """Milliseconds since the capture."""
        return (monotonic_ns() - self.timestamp_ns) / 1e6

    def __repr__(self):
        return f"<Frame {self.number}: {self.width} x {self.height} {self.format}>"


def without_padding(data, row_bytes, stride, rows):
    """The bytes of `rows` rows of `row_bytes` each, that lie `stride` bytes apart."""
    if stride == row_bytes:
        return data[: row_bytes * rows]
    return b"".join([bytes(data[at : at + row_bytes]) for at in range(0, stride * rows, stride)])
