"""The picture path against a plain NumPy + Pillow reference, and against pictures that are none."""

import os
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from edgert.errors import InputError, ModelFormatError
from edgert.graph import Preprocess, Quant, Tensor
from edgert.vision import picture
from edgert.vision.preprocess import Preprocessor, placement


def tensor(shape=(1, 6, 8, 3), dtype="int8", scale=0.02, zero_point=-3):
    quant = None if dtype == "float32" else Quant((float(np.float32(scale)),), zero_point)
    return Tensor("image", dtype, shape, quant)


def photo(width=37, height=23, mode="RGB"):
    rng = np.random.default_rng(0)
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = rng.integers(0, 256, (height, width, bands), np.uint8)
    return Image.fromarray(pixels.squeeze(), mode) if bands > 1 else Image.fromarray(pixels[..., 0])


def encoded(image, format="PNG", **options):
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def reference(image, spec, rule):
    """Straight from the definitions: Pillow resizes, NumPy float32 normalises and quantises."""
    height, width, channels = spec.shape[-3:]
    source, target = placement(image.size, (width, height), rule.resize)
    filled = (target[2] - target[0], target[3] - target[1])
    image = image.convert("L" if channels == 1 else "RGB")
    pixels = np.full((height, width, channels), 114, np.uint8)
    part = np.asarray(image.resize(filled, Image.Resampling.BILINEAR, box=source))
    pixels[target[1] : target[3], target[0] : target[2]] = part.reshape(filled[1], filled[0], channels)
    if rule.channels == "BGR":
        pixels = pixels[..., ::-1]
    real = (pixels.astype(np.float32) - np.array(rule.mean, np.float32)) / np.array(rule.std, np.float32)
    if spec.dtype == "float32":
        return real
    limits = np.iinfo(spec.dtype)
    words = np.rint(real / np.float32(spec.quant.scale[0])) + spec.quant.zero_point
    return np.clip(words, limits.min, limits.max).astype(spec.dtype)


RULES = [
    Preprocess("RGB", "stretch", (0.0,), (255.0,)),
    Preprocess("BGR", "crop", (127.5,), (127.5,)),
    Preprocess("RGB", "letterbox", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    Preprocess("BGR", "letterbox", (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)),
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "float32"])
@pytest.mark.parametrize("size", [(37, 23), (23, 37), (8, 6), (5, 4), (640, 3)])
def test_preprocess_equals_the_float_reference_bit_for_bit(rule, dtype, size):
    spec = tensor(dtype=dtype, zero_point=100 if dtype == "uint8" else -3)
    image = photo(*size)
    got = np.frombuffer(Preprocessor(spec, rule)(image), spec.dtype).reshape(spec.shape[1:])
    np.testing.assert_array_equal(got, reference(image, spec, rule))


def test_grey_input_takes_luminance():
    spec, rule = tensor((1, 6, 8, 1)), Preprocess("GRAY", "stretch", (0.0,), (255.0,))
    got = np.frombuffer(Preprocessor(spec, rule)(photo()), np.int8).reshape(6, 8, 1)
    np.testing.assert_array_equal(got, reference(photo(), spec, rule))


def test_every_way_to_give_the_same_picture_gives_the_same_bytes(tmp_path):
    prepare = Preprocessor(tensor(), RULES[2])
    image = photo()
    path = tmp_path / "photo.png"
    image.save(path)
    expected = bytes(prepare(image))
    pixels = np.asarray(image)
    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), pixels, pixels[::-1][::-1]):
        assert bytes(prepare(source)) == expected


def test_pixels_of_the_right_size_need_no_pillow(monkeypatch):
    pixels = np.asarray(photo(8, 6))
    expected = bytes(Preprocessor(tensor(), RULES[1])(photo(8, 6)))
    monkeypatch.setattr(picture, "require", None)
    assert bytes(Preprocessor(tensor(), RULES[1])(pixels)) == expected


@pytest.mark.parametrize(("channels", "full"), [("RGB", 0), ("BGR", 2)])
def test_a_red_picture_shows_the_channel_order(channels, full):
    spec = tensor((1, 4, 4, 3), scale=1.0, zero_point=-128)
    words = Preprocessor(spec, Preprocess(channels))(Image.new("RGB", (4, 4), (255, 0, 0)))
    pixels = np.frombuffer(words, np.int8).reshape(16, 3)
    assert (pixels[:, full] == 127).all()
    assert (np.delete(pixels, full, axis=1) == -128).all()


@pytest.mark.parametrize(("dtype", "first"), [("int8", -128), ("uint8", 0)])
def test_without_a_rule_the_words_are_the_pixels(dtype, first):
    pixels = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    words = np.frombuffer(Preprocessor(tensor(dtype=dtype), None)(pixels), dtype)
    np.testing.assert_array_equal(words.astype(int), np.arange(144) + first)


def test_without_a_rule_a_float_input_is_refused():
    with pytest.raises(InputError, match="does not say how pixels become"):
        Preprocessor(tensor(dtype="float32"), None)


@pytest.mark.parametrize("shape", [(1, 10), (2, 6, 8, 3), (1, 6, 8, 4), (6,), (1, "tokens", 8, 3)])
def test_an_input_that_is_no_picture_is_refused(shape):
    with pytest.raises(InputError, match="does not take a picture"):
        Preprocessor(tensor(shape), RULES[0])


@pytest.mark.parametrize(
    "rule",
    [
        Preprocess("GRAY"),
        Preprocess("HSV"),
        Preprocess(resize="zoom"),
        Preprocess(std=(0.0,)),
        Preprocess(std=(float("nan"),)),
        Preprocess(mean=(float("inf"),)),
        Preprocess(mean=(1.0, 2.0)),
    ],
)
def test_a_rule_that_does_not_fit_is_refused(rule):
    with pytest.raises(ModelFormatError, match="image"):
        Preprocessor(tensor(), rule)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("format", "order"), [("PNG", "<"), ("PNG", ">"), ("WEBP", "<")])
def test_exif_orientation_is_undone(orientation, format, order):
    from PIL import ImageOps

    exif = Image.Exif()
    exif.endian = order
    exif[0x010E] = "a description comes first"
    exif[0x0112] = orientation
    data = encoded(photo(16, 8), format, exif=exif, lossless=True)
    spec = tensor((1, 6, 6, 3))
    expected = reference(ImageOps.exif_transpose(Image.open(BytesIO(data))), spec, RULES[0])
    got = np.frombuffer(Preprocessor(spec, RULES[0])(data), np.int8).reshape(6, 6, 3)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_common_pixel_mode_is_read(mode):
    if mode == "I;16":
        image = Image.fromarray((np.arange(48, dtype=np.uint16) * 1365).reshape(6, 8))
        grey = (np.arange(48) * 1365 >> 8).astype(np.uint8).reshape(6, 8)
        expected = np.repeat(grey[..., None], 3, axis=2)
    else:
        image = photo(8, 6).convert(mode)
        expected = np.asarray(image.convert("RGB"))
    data = image if mode == "CMYK" else encoded(image)
    got = np.frombuffer(Preprocessor(tensor(scale=1.0, zero_point=-128), Preprocess())(data), np.int8)
    np.testing.assert_array_equal(got.reshape(6, 8, 3).astype(int) + 128, expected)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM"])
def test_every_listed_format_is_read(format):
    data = encoded(Image.new("RGB", (20, 10), (200, 40, 90)), format)
    got = np.frombuffer(Preprocessor(tensor(scale=1.0, zero_point=-128), Preprocess())(data), np.int8)
    assert np.abs(got.reshape(-1, 3).astype(int) + 128 - (200, 40, 90)).max() <= 3


def test_a_large_jpeg_is_decoded_smaller_but_never_below_what_is_needed():
    image = Image.linear_gradient("L").resize((800, 600)).convert("RGB")
    data = encoded(image, "JPEG", quality=95)
    small = picture.open_picture(data, "photo", "RGB", at_least=150)
    assert small.size == (200, 150)
    assert picture.open_picture(data, "photo", "RGB", at_least=301).size == (800, 600)


def bomb_png(width=60_000, height=60_000):
    """A PNG of a few bytes that claims 3.6 gigapixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


NOT_PICTURES = {
    "empty": b"",
    "text": b"this is not a picture at all",
    "png signature only": b"\x89PNG\r\n\x1a\n",
    "jpeg start only": b"\xff\xd8\xff\xe0",
    "sound": b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 40,
    "truncated jpeg": encoded(photo(64, 64), "JPEG")[:900],
    "truncated png": encoded(photo(64, 64))[:900],
    "huge dimensions": bomb_png(),
    "noise": np.random.default_rng(0).bytes(2000),
}


@pytest.mark.parametrize("what", NOT_PICTURES)
def test_what_is_not_a_picture_is_an_input_error_with_its_name(tmp_path, what):
    prepare = Preprocessor(tensor(), RULES[0])
    path = tmp_path / "suspect.jpg"
    path.write_bytes(NOT_PICTURES[what])
    with pytest.raises(InputError, match=r"suspect\.jpg: "):
        prepare(path)
    with pytest.raises(InputError, match="picture: "):
        prepare(NOT_PICTURES[what])


def test_a_decompression_bomb_is_refused_with_its_numbers():
    with pytest.raises(InputError, match=r"60,000 x 60,000 pixels"):
        Preprocessor(tensor(), RULES[0])(bomb_png())


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP"])
def test_any_byte_flipped_is_refused_or_decoded_never_anything_else(format):
    prepare = Preprocessor(tensor(), RULES[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(photo(8, 8), format, **({} if format == "GIF" else {"exif": exif}))
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0xFF
        try:
            prepare(damaged)
        except InputError:
            continue


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_truncation_at_every_length_is_refused_or_decoded_never_anything_else(format):
    prepare = Preprocessor(tensor(), RULES[0])
    data = encoded(photo(16, 16), format)
    for length in range(len(data)):
        try:
            prepare(data[:length])
        except InputError:
            continue


def test_paths_that_are_no_files_are_refused(tmp_path):
    prepare = Preprocessor(tensor(), RULES[0])
    fifo = tmp_path / "fifo.png"
    os.mkfifo(fifo)
    for path in (fifo, tmp_path, tmp_path / "absent.png", "/dev/zero", "nul\0byte.png"):
        with pytest.raises(InputError):
            prepare(path)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((6, 8, 3), np.float32),
        np.zeros((6, 8, 4), np.uint8),
        np.zeros((1, 6, 8, 3), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((2, 3), object),
        np.zeros(10, np.uint8),
        None,
        42,
        3.5,
    ],
)
def test_objects_that_are_no_picture_are_refused(image):
    with pytest.raises(InputError):
        Preprocessor(tensor(), RULES[0])(image)
