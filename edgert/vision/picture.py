"""Reading a picture that a stranger may have made: a file, encoded bytes, a PIL image or an array of pixels.

Pillow's plugins are used directly and only those named here: `Image.open` would import five to forty of them, and some
start other programs.
"""

import os
from stat import S_ISREG

from edgert.errors import InputError
from edgert.optional import require

MAX_PIXELS = 2**25  # 33 megapixels: 134 MB as Pillow keeps them, and one copy more while it converts
MAX_FILE_BYTES = 2**28
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".ppm", ".pgm")

# First bytes -> Pillow plugin and its class.
_FORMATS = (
    (b"\xff\xd8\xff", "JpegImagePlugin", "JpegImageFile"),
    (b"\x89PNG\r\n\x1a\n", "PngImagePlugin", "PngImageFile"),
    (b"RIFF", "WebPImagePlugin", "WebPImageFile"),
    (b"BM", "BmpImagePlugin", "BmpImageFile"),
    (b"GIF8", "GifImagePlugin", "GifImageFile"),
    (b"P5", "PpmImagePlugin", "PpmImageFile"),
    (b"P6", "PpmImagePlugin", "PpmImageFile"),
)
_ORIENTATION = 0x0112  # EXIF tag
_UPRIGHT = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # its value -> PIL.Image.Transpose that undoes it
_SIDEWAYS = (2, 4, 5, 6)  # those that swap width and height


def open_picture(source, name, mode, at_least):
    """Decode `source` (path, encoded bytes or PIL image) to an upright PIL image of `mode` ("RGB" or "L").

    at_least: pixels that each side must keep. A larger JPEG is decoded at 1/2, 1/4 or 1/8 of its size, which is both
    several times faster and what keeps a 12-megapixel photo from filling a small Pi's memory.
    Raises: InputError if it is no picture, a damaged one, or claims more than MAX_PIXELS.
    """
    return open_sized(source, name, mode, at_least)[0]


def open_sized(source, name, mode, at_least):
    """As `open_picture`, with the (width, height) that the upright picture has in the file, however it was decoded."""
    image_module = require("PIL.Image", "reading pictures")
    if isinstance(source, image_module.Image):
        return _decoded(source, name, mode, source.size)
    with _open_file(source, name) as file:
        picture = _identify(file, name)
        size = picture.size
        if picture.format == "JPEG":
            picture.draft(picture.mode, (at_least, at_least))
        return _decoded(picture, name, mode, size)


def _open_file(source, name):
    if isinstance(source, (bytes, bytearray, memoryview)):
        from io import BytesIO

        return BytesIO(source)
    try:
        status = os.stat(os.fspath(source))
        if not S_ISREG(status.st_mode):
            raise InputError(f"{name}: not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise InputError(f"{name}: {status.st_size:,} bytes; pictures may have {MAX_FILE_BYTES:,}")
        return open(source, "rb")
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: neither a path, encoded bytes, a PIL image nor an array of pixels") from error


def _identify(file, name):
    """The plugin's lazy image: header read, size checked, nothing decoded yet."""
    start = file.read(16)
    file.seek(0)
    if not start:
        raise InputError(f"{name}: empty, 0 bytes")
    known = [(module, class_name) for magic, module, class_name in _FORMATS if start.startswith(magic)]
    if not known:
        raise InputError(f"{name}: not a picture that edgert reads (it begins with {start[:8].hex(' ')})")
    [(module, class_name)] = known
    plugin = require(f"PIL.{module}", "reading pictures")
    try:
        picture = getattr(plugin, class_name)(file, name)
    except Exception as error:  # a decoder fed with noise fails in any way it likes
        raise InputError(f"{name}: damaged picture header ({_reason(error)})") from error
    _check_size(picture, name)
    return picture


def _check_size(picture, name):
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise InputError(f"{name}: {width:,} x {height:,} pixels; pictures may have {MAX_PIXELS:,} in all")


def _decoded(picture, name, mode, size):
    _check_size(picture, name)
    try:
        picture.load()
        turn = _UPRIGHT.get(_orientation(picture.info.get("exif", b"")))
        picture = _with_mode(picture, name, mode)
        if turn is None:
            return picture, size
        return picture.transpose(turn), (size[::-1] if turn in _SIDEWAYS else size)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{name}: damaged picture ({_reason(error)})") from error


def _orientation(exif):
    """The orientation in a picture's EXIF block, 0 if it has none. Pillow's own reader would import its TIFF plugin.

    Source: CIPA DC-008 (Exif 2.32) section 4.6: a TIFF header, then directory entries of 12 bytes.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "little", b"MM": "big"}.get(exif[:2])

    def number(offset, size):
        return int.from_bytes(exif[offset : offset + size], order)  # past the end: 0

    if order is None:
        return 0
    directory = number(4, 4)
    for entry in range(directory + 2, directory + 2 + 12 * number(directory, 2), 12):
        if number(entry, 2) == _ORIENTATION:
            return number(entry + 8, 2)
    return 0


def _with_mode(picture, name, mode):
    """Like Image.convert, but 16-bit greys are scaled to 8 bits (Pillow clips them) and palettes do not warn."""
    if picture.mode == mode:
        return picture
    if picture.mode.startswith("I"):
        picture = picture.convert("I").point([value >> 8 for value in range(65536)], "L")
    elif picture.mode == "F":
        raise InputError(f"{name}: its pixels are floating-point numbers of no agreed range; convert them to 8 bits")
    elif picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.convert(mode)


def _reason(error):
    return str(error) or type(error).__name__
