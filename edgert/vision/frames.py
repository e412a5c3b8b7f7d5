"""From a camera's frame to a model's input in one native pass, planned once for a camera and a model.

Bilinear with the four samples around each place, as cameras' and networks' own resizing has it; `preprocess.py`, for
pictures, averages over the whole source area. Where the two shrink by no more than two they hardly differ.
"""

from edgert.errors import InputError
from edgert.kernels import tiers
from edgert.vision.detect import Place
from edgert.vision.preprocess import Preprocessor, placement

GREY = 114  # the border of a letterbox

# Format -> for each component: (plane, first byte of a pixel, bytes a pixel, samples across and down per 2 pixels).
_PACKED = {
    "RGB": ((0, 0, 3, 2, 2), (0, 1, 3, 2, 2), (0, 2, 3, 2, 2)),
    "BGR": ((0, 2, 3, 2, 2), (0, 1, 3, 2, 2), (0, 0, 3, 2, 2)),
    "RGBX": ((0, 0, 4, 2, 2), (0, 1, 4, 2, 2), (0, 2, 4, 2, 2)),
    "BGRX": ((0, 2, 4, 2, 2), (0, 1, 4, 2, 2), (0, 0, 4, 2, 2)),
    "GRAY": ((0, 0, 1, 2, 2),),
    "YUYV": ((0, 0, 2, 2, 2), (0, 1, 4, 1, 2), (0, 3, 4, 1, 2)),
    "NV12": ((0, 0, 1, 2, 2), (1, 0, 2, 1, 1), (1, 1, 2, 1, 1)),
    "YUV420": ((0, 0, 1, 2, 2), (1, 0, 1, 1, 1), (2, 0, 1, 1, 1)),
}
FORMATS = tuple(_PACKED)
_YUV = ("YUYV", "NV12", "YUV420")


def frame_bytes(format, width, height):
    """Bytes of a frame without padding at the end of its rows."""
    return sum(_plane_bytes(format, width, height, plane) for plane in range(_planes(format)))


def _planes(format):
    return {"NV12": 2, "YUV420": 3}.get(format, 1)


def _row_bytes(format, width, plane):
    if format == "YUV420":
        return width if plane == 0 else width // 2
    return width * {"RGB": 3, "BGR": 3, "RGBX": 4, "BGRX": 4, "YUYV": 2}.get(format, 1)


def _plane_bytes(format, width, height, plane):
    return _row_bytes(format, width, plane) * (height if plane == 0 else height // 2)


class FramePreprocessor:
    """Makes one model's input of frames; plans anew when their size or format changes.

    tensor: the graph's input, int8 or uint8; rule: its graph.Preprocess or None.
    Raises: InputError if the tensor does not take pictures in 8 bits.
    """

    def __init__(self, tensor, rule):
        self.words = Preprocessor(tensor, rule)
        if tensor.dtype not in ("int8", "uint8"):
            raise InputError(f"input {tensor.name!r} is {tensor.dtype}; frames become int8 (convert with --calibrate)")
        self._known = self._scaler = self._place = None

    def __call__(self, frame, out=None):
        """(the tensor's bytes, Place of the frame in them). frame: has data, format, width and height."""
        key = (frame.format, frame.width, frame.height)
        if key != self._known:
            self._plan(*key)
        if out is None:
            out = bytearray(self.words.width * self.words.height * self.words.channels)
        self._scaler(frame.data, out)
        return out, self._place

    def _plan(self, format, width, height):
        if format not in _PACKED:
            raise InputError(f"frames of format {format!r}; known are {', '.join(FORMATS)}")
        if width < 1 or height < 1 or (format in _YUV and (width % 2 or height % 2)):
            raise InputError(f"frames of {width} x {height} pixels in format {format}")
        size = (self.words.width, self.words.height)
        source, filled = placement((width, height), size, self.words.resize)
        self._place = Place(((width, height), source, filled))
        planes, components = _parts(format, width, height, source, filled, self.words.channels)
        self._scaler = _implementation()(
            planes=planes,
            components=components,
            colours=_colours(format, self.words.channels),
            size=size,
            filled=filled,
            frame_bytes=frame_bytes(format, width, height),
            **self._channels(format),
        )
        self._known = (format, width, height)

    def _channels(self, format):
        channels = range(self.words.channels)
        tables = tuple([bytes(self.words.table(c)) for c in channels])
        single = format == "GRAY" or self.words.channels == 1
        border = bytes([table[GREY] for table in tables])
        if format in _YUV and single:  # Y alone: its limited range is widened in the table
            widened = [min(max((298 * (y - 16) + 128) >> 8, 0), 255) for y in range(256)]
            tables = tuple([bytes([table[y] for y in widened]) for table in tables])
        return {
            "order": (0,) * len(channels) if single else self.words.order,
            "tables": tables,
            "border": border,
        }


def _implementation():
    """The compiled pass; one that Numba compiles where EDGERT_TIER says jit or nothing is compiled; else NumPy's."""
    from importlib import import_module

    for tier in tiers.resolve():
        place = tier if tier in ("jit", "reference") else "native"
        try:
            return import_module(f"edgert.kernels.{place}.pixels").PixelScaler
        except ImportError:
            if place == "reference":
                raise


def _colours(format, channels):
    if format in _YUV:
        return "yuv" if channels == 3 else ""
    return "grey" if channels == 1 and format != "GRAY" else ""


def _parts(format, width, height, source, filled, channels):
    """(planes, components) as the kernels take them."""
    known = _PACKED[format][:1] if channels == 1 and format in _YUV else _PACKED[format]
    planes, start = [], 0
    for plane in range(max(part[0] for part in known) + 1):
        row_bytes = _row_bytes(format, width, plane)
        down = next(down for at, _, _, _, down in known if at == plane)
        planes.append((start, row_bytes, _taps(source[1], source[3], filled[3] - filled[1], height, down, row_bytes)))
        start += _plane_bytes(format, width, height, plane)
    components = [
        (plane, first, _taps(source[0], source[2], filled[2] - filled[0], width, across, step))
        for plane, first, step, across, _ in known
    ]
    return tuple(planes), tuple(components)


def _taps(begin, end, count, side, per_two, step):
    """For each of `count` pixels that cover samples begin..end: (offset, next one's offset, its weight in 128ths).

    per_two: samples per 2 pixels of the frame: 2, or 1 for colour at half the resolution.
    """
    samples = side * per_two // 2
    begin, end = begin * per_two / 2, end * per_two / 2
    taps = []
    for i in range(count):
        place = begin + (i + 0.5) * (end - begin) / count - 0.5  # centres of pixels meet centres of pixels
        place = min(max(place, 0.0), samples - 1.0)
        first = int(place)
        second = min(first + 1, samples - 1)
        taps.append((first * step, second * step, round((place - first) * 128)))
    return taps
