"""A camera's frame in each format: the native pass against the reference, colours and places against the scene."""

import numpy as np
import pytest

from edgert.errors import InputError
from edgert.graph import Preprocess, Quant, Tensor
from edgert.kernels.reference import pixels as reference
from edgert.vision import frames
from edgert.vision.frames import FORMATS, FramePreprocessor, frame_bytes

RULE = Preprocess("RGB", "stretch", (0.0,), (1.0,))


class Frame:
    def __init__(self, data, format, width, height):
        self.data, self.format, self.width, self.height = data, format, width, height


def tensor(height=12, width=16, channels=3, dtype="int8"):
    return Tensor("image", dtype, (1, height, width, channels), Quant((1.0,), -128 if dtype == "int8" else 0))


def noise(format, width, height):
    rng = np.random.default_rng(0)
    return Frame(rng.integers(0, 256, frame_bytes(format, width, height), np.uint8).tobytes(), format, width, height)


def filmed(colour, format, width=32, height=24):
    """A frame of one colour (R, G, B)."""
    r, g, b = colour
    y = round(16 + 0.257 * r + 0.504 * g + 0.098 * b)
    u, v = round(128 - 0.148 * r - 0.291 * g + 0.439 * b), round(128 + 0.439 * r - 0.368 * g - 0.071 * b)
    n = width * height
    data = {
        "RGB": bytes((r, g, b)) * n, "BGR": bytes((b, g, r)) * n, "RGBX": bytes((r, g, b, 7)) * n,
        "BGRX": bytes((b, g, r, 7)) * n, "GRAY": bytes((round(0.299 * r + 0.587 * g + 0.114 * b),)) * n,
        "YUYV": bytes((y, u, y, v)) * (n // 2), "NV12": bytes((y,)) * n + bytes((u, v)) * (n // 4),
        "YUV420": bytes((y,)) * n + bytes((u,)) * (n // 4) + bytes((v,)) * (n // 4),
    }[format]  # fmt: skip
    return Frame(data, format, width, height)


@pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_native_pass_equals_the_reference(monkeypatch, format, resize, channels):
    native = pytest.importorskip("edgert.kernels.native.pixels")
    _same_words(monkeypatch, native, format, resize, channels, ((64, 36), (6, 40), (2, 2), (34, 26)))


@pytest.mark.parametrize(
    ("format", "resize", "channels"),
    [("BGR", "letterbox", 3), ("RGBX", "crop", 1), ("GRAY", "stretch", 3), ("YUYV", "crop", 3),
     ("NV12", "letterbox", 1), ("YUV420", "letterbox", 3)],
)  # fmt: skip
def test_the_jitted_pass_equals_the_reference(monkeypatch, format, resize, channels):
    jit = pytest.importorskip("edgert.kernels.jit.pixels", reason="Numba is not installed")
    _same_words(monkeypatch, jit, format, resize, channels, ((34, 26),))


def test_a_pass_refuses_buffers_of_other_sizes(monkeypatch):
    jit = pytest.importorskip("edgert.kernels.jit.pixels", reason="Numba is not installed")
    monkeypatch.setattr(frames, "_implementation", lambda: jit.PixelScaler)
    prepare = FramePreprocessor(tensor(), RULE)
    frame = noise("RGB", 20, 10)
    prepare(frame)
    with pytest.raises(ValueError, match="599 bytes instead of 600"):
        prepare(Frame(frame.data[:-1], "RGB", 20, 10))
    with pytest.raises(ValueError, match="a tensor of 5 bytes"):
        prepare(frame, bytearray(5))


@pytest.mark.parametrize(("tier", "place"), [("jit", "jit"), ("reference", "reference"), ("scalar", "native")])
def test_the_tier_that_is_asked_for_prepares_frames(monkeypatch, tier, place):
    pytest.importorskip(f"edgert.kernels.{place}.pixels")
    monkeypatch.setenv("EDGERT_TIER", tier)
    assert frames._implementation().__module__ == f"edgert.kernels.{place}.pixels"


def _same_words(monkeypatch, module, format, resize, channels, sizes):
    """The module's scaler and the reference's, on noise."""
    rule = Preprocess("BGR" if channels == 3 else "GRAY", resize, (123.675, 116.28, 103.53)[:channels], (58.4,))
    spec = Tensor("image", "int8", (1, 13, 17, channels), Quant((0.02,), -3))
    for width, height in sizes:
        frame = noise(format, width, height)
        words = []
        for implementation in (module.PixelScaler, reference.PixelScaler):
            monkeypatch.setattr(frames, "_implementation", lambda chosen=implementation: chosen)
            words.append(bytes(FramePreprocessor(spec, rule)(frame)[0]))
        assert words[0] == words[1]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40)])
def test_a_colour_stays_that_colour(format, colour):
    words, _ = FramePreprocessor(tensor(), RULE)(filmed(colour, format))
    seen = np.frombuffer(words, np.int8).reshape(-1, 3).astype(int) + 128
    wanted = (round(np.dot(colour, (0.299, 0.587, 0.114))),) * 3 if format == "GRAY" else colour
    assert np.abs(seen - wanted).max() <= 3  # YUV has 8 bits too


@pytest.mark.parametrize("format", FORMATS)
def test_a_grey_model_takes_luminance_from_every_format(format):
    rule = Preprocess("GRAY", "stretch", (0.0,), (1.0,))
    words, _ = FramePreprocessor(tensor(channels=1), rule)(filmed((200, 120, 40), format))
    assert np.abs(np.frombuffer(words, np.int8).astype(int) + 128 - 135).max() <= 2


@pytest.mark.parametrize("format", ["RGB", "BGR"])
@pytest.mark.parametrize(("channels", "full"), [("RGB", 0), ("BGR", 2)])
def test_a_red_frame_shows_the_channel_order(format, channels, full):
    words, _ = FramePreprocessor(tensor(), Preprocess(channels, "stretch", (0.0,), (1.0,)))(filmed((255, 0, 0), format))
    seen = np.frombuffer(words, np.int8).reshape(-1, 3)
    assert (seen[:, full] == 127).all()
    assert (np.delete(seen, full, axis=1) == -128).all()


def test_interpolation_is_bilinear_between_centres():
    ramp = np.tile(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], (24, 1, 3))
    words, _ = FramePreprocessor(tensor(12, 24), RULE)(Frame(ramp.tobytes(), "RGB", 32, 24))
    seen = np.frombuffer(words, np.int8).reshape(12, 24, 3)[0, :, 0].astype(int) + 128
    wanted = [8 * min(max((i + 0.5) * 32 / 24 - 0.5, 0), 31) for i in range(24)]
    assert np.abs(seen - wanted).max() <= 0.6


def test_a_letterbox_keeps_the_shape_and_leads_back():
    rule = Preprocess("RGB", "letterbox", (0.0,), (1.0,))
    words, place = FramePreprocessor(tensor(16, 16), rule)(filmed((255, 255, 255), "RGB", 32, 16))
    seen = np.frombuffer(words, np.int8).reshape(16, 16, 3).astype(int) + 128
    assert (seen[:4] == 114).all()
    assert (seen[4:12] == 255).all()
    assert (seen[12:] == 114).all()
    assert place.to_picture(0, 4, 16, 12) == (0, 0, 32, 16)


def test_where_nothing_is_scaled_frames_and_pictures_become_the_same_words():
    from PIL import Image

    from edgert.vision.preprocess import Preprocessor

    spec = Tensor("image", "int8", (1, 24, 32, 3), Quant((0.02,), 5))
    rule = Preprocess("BGR", "stretch", (9.0,), (60.0,))
    frame = noise("RGB", 32, 24)
    picture = Image.frombytes("RGB", (32, 24), frame.data)
    assert FramePreprocessor(spec, rule)(frame)[0] == Preprocessor(spec, rule)(picture)


def test_a_change_of_size_is_followed():
    prepare = FramePreprocessor(tensor(), RULE)
    for size in ((32, 24), (64, 48), (32, 24)):
        words, place = prepare(filmed((255, 0, 0), "NV12", *size))
        assert place[0] == size
        assert len(words) == 12 * 16 * 3


def test_frames_that_do_not_fit_are_refused():
    prepare = FramePreprocessor(tensor(), RULE)
    with pytest.raises(InputError, match="format 'HSV'"):
        prepare(Frame(b"", "HSV", 4, 4))
    with pytest.raises(InputError, match="0 x 4"):
        prepare(Frame(b"", "RGB", 0, 4))
    with pytest.raises(InputError, match="5 x 4"):
        prepare(Frame(bytes(30), "NV12", 5, 4))
    with pytest.raises(ValueError, match="a frame of 47 bytes instead of 48"):
        prepare(Frame(bytes(47), "RGB", 4, 4))
    with pytest.raises(InputError, match="float32"):
        FramePreprocessor(Tensor("image", "float32", (1, 12, 16, 3)), RULE)


def test_the_output_may_be_a_buffer_of_the_callers():
    out = bytearray(12 * 16 * 3)
    words, _ = FramePreprocessor(tensor(), RULE)(filmed((255, 0, 0), "RGB"), out)
    assert words is out
    with pytest.raises(ValueError, match="a tensor of 5 bytes"):
        FramePreprocessor(tensor(), RULE)(filmed((255, 0, 0), "RGB"), bytearray(5))
