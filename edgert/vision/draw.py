"""Boxes, names and figures drawn into a picture, readable on light and on dark."""

from edgert.optional import require

# Distinct in hue and in lightness; the class's number picks one, so that a class keeps its colour.
COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#800000", "#808000", "#000075")
_SKELETON = (
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12), (11, 13),
    (13, 15), (12, 14), (14, 16),
)  # fmt: skip
_SURE = 0.3  # below it a joint is not drawn


def picture_of(frame):
    """A PIL image (RGB) of a Frame in any format."""
    image_module = require("PIL.Image", "drawing")
    size = (frame.width, frame.height)
    if frame.format in ("RGB", "BGR", "RGBX", "BGRX"):
        return image_module.frombuffer("RGB", size, frame.data, "raw", frame.format, 0, 1)
    if frame.format == "GRAY":
        return image_module.frombuffer("L", size, frame.data).convert("RGB")
    return _from_yuv(frame)


def _from_yuv(frame):
    from edgert.graph import Preprocess, Quant, Tensor
    from edgert.vision.frames import FramePreprocessor

    tensor = Tensor("picture", "uint8", (1, frame.height, frame.width, 3), Quant((1.0,), 0))
    pixels, _ = FramePreprocessor(tensor, Preprocess("RGB", "stretch", (0.0,), (1.0,)))(frame)
    return require("PIL.Image", "drawing").frombuffer("RGB", (frame.width, frame.height), bytes(pixels))


def draw_detections(picture, detections):
    """Draw Detection objects into a PIL image, in place."""
    draw, font = _tools(picture)
    width = max(2, round(min(picture.size) / 200))
    for item in reversed(detections):  # the surest on top
        colour = COLOURS[item.index % len(COLOURS)]
        # A dark and a light edge around the colour: one of them stands out from whatever is behind.
        draw.rectangle(_grown(item.box, width / 2 + 1), outline="black", width=width + 2)
        draw.rectangle(_grown(item.box, width / 2), outline=colour, width=width)
        _label(draw, font, item.box[0], item.box[1], f"{item.label} {item.score:.2f}", colour, picture.size)


def draw_classes(picture, classes):
    """Write the likeliest classes (Class objects) at the top left, one a line."""
    draw, font = _tools(picture)
    y = 4
    for item in classes:
        y = _label(draw, font, 4, y, f"{item.label} {item.score:.2f}", "#222222", picture.size, below=True)


def draw_pose(picture, joints, place):
    """Draw a person's skeleton.

    joints: 17 of (y, x, score), y and x as fractions of the model's input. place: the Place of the picture in it.
    """
    draw, _ = _tools(picture)
    width = max(2, round(min(picture.size) / 150))
    side_x, side_y = _input_size(place[2])
    points = [(*place.to_picture(x * side_x, y * side_y, x * side_x, y * side_y)[:2], score) for y, x, score in joints]
    for a, b in _SKELETON:
        if min(points[a][2], points[b][2]) >= _SURE:
            line = (*points[a][:2], *points[b][:2])
            draw.line(line, fill="black", width=width + 2)
            draw.line(line, fill="#3cb44b", width=width)
    for x, y, score in points:
        if score >= _SURE:
            draw.ellipse((x - width, y - width, x + width, y + width), fill="#f58231", outline="black")


def draw_status(picture, text):
    """Write one line of figures at the bottom left."""
    draw, font = _tools(picture)
    _label(draw, font, 4, picture.height - 4, text, "#222222", picture.size)


def _input_size(target):
    """Width and height of the input that a letterbox fills in its middle."""
    return target[2] + target[0], target[3] + target[1]


def _grown(box, by):
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _label(draw, font, x, y, text, colour, size, below=False):
    """White text on a plate of `colour`, above (x, y) if there is room; returns where the plate ends."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    wide, high = right - left + 6, bottom - top + 6
    x = max(0, min(x, size[0] - wide))
    y = y if below or y - high < 0 else y - high
    draw.rectangle((x, y, x + wide, y + high), fill=colour)
    draw.text((x + 3 - left, y + 3 - top), text, fill="white", font=font)
    return y + high


def _tools(picture):
    image_draw, image_font = require("PIL.ImageDraw", "drawing"), require("PIL.ImageFont", "drawing")
    size = max(11, min(picture.size) // 32)
    try:
        font = image_font.load_default(size)
    except (TypeError, OSError):  # Pillow before 10.1, or one without FreeType
        font = image_font.load_default()
    return image_draw.Draw(picture), font
