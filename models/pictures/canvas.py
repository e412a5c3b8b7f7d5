"""A small painter over Pillow: shapes with gradients, soft shadows and textures.

Coordinates are 0..100. All is drawn four times too large and reduced at the end. Points are a list of (x, y) or, for
constant shapes, text as in SVG: "10,20 30,40".
"""

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

SUPERSAMPLE = 4


class Canvas:
    """A square picture; (0, 0) is the top left corner, (100, 100) the bottom right one."""

    def __init__(self, size=256, seed=0):
        self.size = size
        self.pixels = size * SUPERSAMPLE
        self.unit = self.pixels / 100.0
        self.image = Image.new("RGB", (self.pixels, self.pixels))
        self.rng = np.random.default_rng(seed)

    def finished(self):
        """The picture at its real size."""
        return self.image.resize((self.size, self.size), Image.Resampling.BOX)

    # shapes: each returns a mask to paint through

    def polygon(self, points):
        return self._mask(lambda draw: draw.polygon(self._scaled(points), fill=255))

    def blob(self, points):
        """A smooth closed curve through the points."""
        return self.polygon(smooth(points, closed=True))

    def ellipse(self, x0, y0, x1, y1):
        return self._mask(lambda draw: draw.ellipse(self._scaled([(x0, y0), (x1, y1)]), fill=255))

    def box(self, x0, y0, x1, y1, radius=0.0):
        corners = self._scaled([(x0, y0), (x1, y1)])
        return self._mask(lambda draw: draw.rounded_rectangle(corners, radius * self.unit, fill=255))

    def line(self, points, width, curved=False):
        path = self._scaled(smooth(points, closed=False) if curved else points)
        pen = max(1, round(width * self.unit))
        return self._mask(lambda draw: draw.line(path, fill=255, width=pen, joint="curve"))

    def limb(self, points, start, end):
        """A curved stroke that goes from one width to another: a leg, a tail, a branch."""
        path = np.array(smooth(points, closed=False))
        along = np.gradient(path, axis=0)
        normal = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.linalg.norm(along, axis=1), 1e-6)[:, None]
        half = np.linspace(start, end, len(path))[:, None] / 2
        return self.polygon([*map(tuple, path + normal * half), *map(tuple, (path - normal * half)[::-1])])

    def everything(self):
        return Image.new("L", self.image.size, 255)

    # paint

    def fill(self, mask, color, to=None, horizontal=False, blur=0.0, alpha=1.0):
        """Paints through a mask: one colour, or a gradient over the mask's own height (or width) to a second one."""
        bounds = mask.getbbox()
        if bounds is None:
            return
        if blur or alpha < 1.0:
            mask = mask.filter(ImageFilter.GaussianBlur(blur * self.unit)).point(lambda v: round(v * alpha))
        self.image.paste(self._gradient(bounds, color, to or color, horizontal), (0, 0), mask)

    def shade(self, mask, inner, blur, dark=0.45):
        """Darkens what of `mask` is outside `inner`, softly: makes a flat shape round."""
        shadow = ImageChops.subtract(mask, inner).filter(ImageFilter.GaussianBlur(blur * self.unit))
        shadow = ImageChops.multiply(shadow, mask).point(lambda v: round(v * dark))
        self.image.paste(Image.new("RGB", self.image.size), (0, 0), shadow)

    def texture(self, mask, strength, grain=(1.0, 1.0)):
        """Multiplies by smooth noise through a mask; grain: its width and height."""
        columns, rows = (max(2, int(100 / g)) for g in grain)
        noise = self.rng.normal(0.0, strength, (rows, columns))
        field = Image.fromarray(noise.astype(np.float32)).resize(self.image.size, Image.Resampling.BICUBIC)
        textured = np.asarray(self.image, np.float32) * (1.0 + np.asarray(field)[:, :, None])
        self.image.paste(Image.fromarray(np.clip(textured, 0, 255).astype(np.uint8)), (0, 0), mask)

    def soften(self, blur):
        """Blurs all that is painted so far: a background out of focus."""
        self.image = self.image.filter(ImageFilter.GaussianBlur(blur * self.unit))

    def _mask(self, paint):
        mask = Image.new("L", self.image.size)
        paint(ImageDraw.Draw(mask))
        return mask

    def _scaled(self, points):
        return [(x * self.unit, y * self.unit) for x, y in as_points(points)]

    def _gradient(self, bounds, start, end, horizontal):
        low, high = (bounds[0], bounds[2]) if horizontal else (bounds[1], bounds[3])
        t = np.clip((np.arange(self.pixels) - low) / max(1, high - low), 0, 1)[:, None]
        ramp = (np.array(start) * (1 - t) + np.array(end) * t).astype(np.uint8)
        strip = Image.fromarray(ramp[None] if horizontal else ramp[:, None])
        return strip.resize(self.image.size, Image.Resampling.NEAREST)


def as_points(points):
    """ "10,20 30,40" -> [(10.0, 20.0), (30.0, 40.0)]; a list stays what it is."""
    if isinstance(points, str):
        return [tuple(map(float, pair.split(","))) for pair in points.split()]
    return points


def smooth(points, closed, steps=12):
    """Points of a Catmull-Rom curve through `points`."""
    p = np.array(as_points(points), float)
    p = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([p[:1], p, p[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    curve = []
    for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False):
        curve.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    ends = [] if closed else [p[-1:]]
    return [tuple(point) for point in np.concatenate([*curve, *ends])]
