"""From a picture to the bytes of an input tensor, without NumPy.

A pixel has only 256 values, so scaling, normalising and quantising it are one table per channel, and applying a table
to bytes is what `bytes.translate` does at memory speed.
"""

from struct import pack, unpack

from edgert.errors import InputError, ModelFormatError
from edgert.vision.detect import Place

_INTEGER_RANGES = {"int8": (-128, 127, "b"), "uint8": (0, 255, "B"), "int16": (-32768, 32767, "h")}
_BILINEAR = 2  # PIL.Image.Resampling.BILINEAR: averages over the whole source area when it shrinks
_LETTERBOX_GREY = 114  # the border that YOLO-family detectors are trained with


class Preprocessor:
    """Makes one model's input tensor from any picture; built once, it keeps its tables.

    tensor: the graph's input, shape (1, H, W, C) or (H, W, C), dtype int8, uint8, int16 or float32.
    rule: a graph.Preprocess, or None: the tensor must then be 8-bit and its words are the pixels themselves.
    Raises: InputError if the tensor does not take pictures, ModelFormatError if the rule does not fit it.
    """

    def __init__(self, tensor, rule):
        shape = tensor.shape[1:] if len(tensor.shape) == 4 and tensor.shape[0] == 1 else tensor.shape
        if len(shape) != 3 or shape[2] not in (1, 3) or not all(isinstance(dim, int) for dim in shape):
            raise InputError(f"input {tensor.name!r} of shape {tensor.shape} does not take a picture")
        self.height, self.width, self.channels = shape
        self.mode = "L" if self.channels == 1 else "RGB"
        self.resize = rule.resize if rule else "stretch"
        if self.resize not in ("stretch", "crop", "letterbox"):
            raise ModelFormatError(f"input {tensor.name!r} is to be resized by {self.resize!r}, which is unknown")
        self.order = _channel_order(tensor, rule, self.channels)
        self._word_bytes, self._planes = _planes(tensor, rule, self.channels)

    def __call__(self, image, name=None):
        """The input tensor's bytes for `image`: a path, encoded bytes, a PIL image or pixels (H, W, 3) uint8, RGB.

        name: what errors call it; a path's own name if not given.
        Raises: InputError.
        """
        return self.placed(image, name)[0]

    def placed(self, image, name=None):
        """The same bytes, and the Place of the picture in them: what leads from the model's boxes back to it."""
        if name is None:
            name = str(image) if isinstance(image, str) or hasattr(image, "__fspath__") else "picture"
        pixels, place = self._pixels(image, name)
        return self.words(pixels), place

    def table(self, channel):
        """The 256 words that pixels become in a channel of an 8-bit input, as bytes."""
        return self._planes[channel][0]

    def words(self, pixels):
        """Turn pixels (H, W, C) uint8 of exactly the input's size into the tensor's words."""
        if self._is_one_table():
            return pixels.translate(self._planes[0][0])
        step = self.channels * self._word_bytes
        out = bytearray(len(pixels) * self._word_bytes)
        for channel, planes in enumerate(self._planes):
            plane_pixels = pixels[self.order[channel] :: self.channels]
            for byte, plane in enumerate(planes):
                out[channel * self._word_bytes + byte :: step] = plane_pixels.translate(plane)
        return out

    def _is_one_table(self):
        in_order = self.order == tuple(range(self.channels))
        return self._word_bytes == 1 and in_order and all(planes == self._planes[0] for planes in self._planes)

    def _pixels(self, image, name):
        if not _is_pixel_array(image):
            return self._from_picture(image, name)
        pixels, (height, width, channels) = _array_pixels(image, name)
        if (height, width, channels) == (self.height, self.width, self.channels):
            whole = (0, 0, width, height)
            return pixels, Place(((width, height), whole, whole))
        return self._from_picture(_picture_of(pixels, height, width, channels), name)

    def _from_picture(self, source, name):
        from edgert.vision.picture import open_sized

        # Twice the size that is needed, so that the resize below still has something to average.
        picture, size = open_sized(source, name, self.mode, at_least=2 * max(self.height, self.width))
        source, target = placement(picture.size, (self.width, self.height), self.resize)
        pixels = _fit(picture, self.width, self.height, source, target).tobytes()
        larger = (size[0] / picture.width, size[1] / picture.height)  # a JPEG may have been decoded smaller
        return pixels, Place((size, tuple([side * larger[i % 2] for i, side in enumerate(source)]), target))


def placement(size, target, resize):
    """Where a picture of `size` (width, height) goes in `target` (width, height).

    Returns: (the box of the source that is used, the box of the target that it fills), each (left, top, right, bottom).
    """
    (width, height), (to_width, to_height) = size, target
    if resize == "crop":
        used_width = min(width, max(1, round(height * to_width / to_height)))
        used_height = min(height, max(1, round(width * to_height / to_width)))
        left, top = (width - used_width) // 2, (height - used_height) // 2
        return (left, top, left + used_width, top + used_height), (0, 0, to_width, to_height)
    if resize == "letterbox":
        scale = min(to_width / width, to_height / height)
        filled_width = min(to_width, max(1, round(width * scale)))
        filled_height = min(to_height, max(1, round(height * scale)))
        left, top = (to_width - filled_width) // 2, (to_height - filled_height) // 2
        return (0, 0, width, height), (left, top, left + filled_width, top + filled_height)
    return (0, 0, width, height), (0, 0, to_width, to_height)


def _fit(picture, width, height, source, target):
    filled = (target[2] - target[0], target[3] - target[1])
    if picture.size != filled or source != (0, 0, *picture.size):
        picture = picture.resize(filled, _BILINEAR, box=source)
    if filled == (width, height):
        return picture
    from PIL import Image

    canvas = Image.new(picture.mode, (width, height), (_LETTERBOX_GREY,) * len(picture.getbands()))
    canvas.paste(picture, target[:2])
    return canvas


def _is_pixel_array(image):
    """Arrays are told from encoded pictures by their dimensions."""
    try:
        return memoryview(image).ndim > 1
    except (TypeError, ValueError):
        return hasattr(image, "__array_interface__") and not hasattr(image, "getbands")


def _array_pixels(image, name):
    try:
        view = memoryview(image)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: an array of pixels must be uint8 ({error})") from error
    shape = (*view.shape, 1) if view.ndim == 2 else view.shape
    if view.format != "B" or len(shape) != 3 or shape[2] not in (1, 3) or not view.nbytes:
        raise InputError(
            f"{name}: an array of pixels must be uint8 of shape (H, W, 3), (H, W, 1) or (H, W), "
            f"not format {view.format!r} of shape {view.shape}"
        )
    return view.tobytes(), shape


def _picture_of(pixels, height, width, channels):
    from edgert.optional import require

    image_module = require("PIL.Image", "resizing pictures")
    return image_module.frombuffer("L" if channels == 1 else "RGB", (width, height), pixels)


def _channel_order(tensor, rule, channels):
    """For each channel of the tensor, which channel of the picture (R, G, B or grey) it takes."""
    wanted = rule.channels if rule else {1: "GRAY", 3: "RGB"}[channels]
    if (wanted == "GRAY") != (channels == 1) or wanted not in ("RGB", "BGR", "GRAY"):
        raise ModelFormatError(f"input {tensor.name!r} has {channels} channels but is to be filled with {wanted!r}")
    return {"RGB": (0, 1, 2), "BGR": (2, 1, 0), "GRAY": (0,)}[wanted]


def _planes(tensor, rule, channels):
    """(bytes per word, for each channel one 256-byte table per byte of the word)."""
    if tensor.dtype not in _INTEGER_RANGES and tensor.dtype != "float32":
        raise InputError(f"input {tensor.name!r} of type {tensor.dtype} does not take a picture")
    if rule is None:
        words = [_pixel_words(tensor)] * channels
    else:
        mean, std = (_per_channel(tensor, values, channels) for values in (rule.mean, rule.std))
        words = [_normalised_words(tensor, mean[c], std[c]) for c in range(channels)]
    word_bytes = len(words[0]) // 256
    return word_bytes, [[table[byte::word_bytes] for byte in range(word_bytes)] for table in words]


def _pixel_words(tensor):
    if tensor.dtype == "uint8":
        return bytes(range(256))
    if tensor.dtype == "int8":
        return bytes((pixel - 128) & 255 for pixel in range(256))
    raise InputError(
        f"the model does not say how pixels become the {tensor.dtype} numbers of input {tensor.name!r}; "
        "convert it again with mean and std"
    )


def _per_channel(tensor, values, channels):
    if len(values) not in (1, channels):
        raise ModelFormatError(f"input {tensor.name!r} has {channels} channels but {len(values)} means or deviations")
    return tuple(values) * (channels // len(values))


def _normalised_words(tensor, mean, std):
    """The tensor's 256 words for pixels 0..255, as `quantize((float32(pixel) - mean) / std)` gives them."""
    mean, std = _float32(mean), _float32(std)
    if not 0 < abs(std) < float("inf") or not abs(mean) < float("inf"):
        raise ModelFormatError(f"input {tensor.name!r} is normalised with mean {mean} and std {std}")
    real = [_float32(_float32(pixel - mean) / std) for pixel in range(256)]
    if tensor.dtype == "float32":
        return pack("<256f", *real)
    if tensor.quant is None:
        raise ModelFormatError(f"input {tensor.name!r} is {tensor.dtype} without a scale")
    low, high, code = _INTEGER_RANGES[tensor.dtype]
    scale, zero_point = _float32(tensor.quant.scale[0]), tensor.quant.zero_point
    steps = (min(max(_float32(value / scale), low - zero_point), high - zero_point) for value in real)
    return pack(f"<256{code}", *(round(step) + zero_point for step in steps))  # round() is half to even


def _float32(value):
    """Rounded to the nearest float32; a double's quotient or difference of two float32 rounds to the same."""
    try:
        return unpack("<f", pack("<f", value))[0]
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
