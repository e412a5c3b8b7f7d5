"""A camera's frame -> the words of an input tensor: the definition.

A component (R, G, B, Y, U, V or grey) at an output pixel is the bilinear mean of the four samples around it, with
weights of 128ths across and down: `(top_left * (128 - x) * (128 - y) + ... + 8192) >> 14`. Y, U and V become R, G and B
by ITU-R BT.601 in limited range with 8 fractional bits; R, G and B become grey by its luma with 16. Then a table per
channel gives the word.
"""

import numpy as np


class PixelScaler:
    """As kernels/native/pixels.pyx, whose parameters these are."""

    def __init__(self, *, planes, components, colours, order, tables, border, size, filled, frame_bytes):
        self.components = [
            (planes[plane][0] + first, np.array(across), np.array(planes[plane][2]))
            for plane, first, across in components
        ]
        self.colours, self.order, self.size, self.filled = colours, order, size, filled
        self.tables = [np.frombuffer(table, np.uint8) for table in tables]
        self.border, self.frame_bytes = np.frombuffer(border, np.uint8), frame_bytes

    def __call__(self, frame, out):
        frame, out = np.frombuffer(frame, np.uint8), np.frombuffer(out, np.uint8)
        if frame.size != self.frame_bytes:
            raise ValueError(f"a frame of {frame.size} bytes instead of {self.frame_bytes}")
        width, height = self.size
        if out.size != width * height * len(self.tables):
            raise ValueError(f"a tensor of {out.size} bytes for {width} x {height} x {len(self.tables)}")
        left, top, right, bottom = self.filled
        tensor = out.reshape(height, width, len(self.tables))
        tensor[:] = self.border
        planes = [_interpolated(frame, *component) for component in self.components]
        if self.colours:
            planes = _rgb(*planes) if self.colours == "yuv" else [_grey(*planes)]
        for channel, table in enumerate(self.tables):
            tensor[top:bottom, left:right, channel] = table[planes[self.order[channel]]]


def _interpolated(frame, offset, across, down):
    x, y = across[:, 2], down[:, 2, None]
    top, bottom = ([frame[offset + rows + across[:, i]].astype(np.int32) for i in (0, 1)] for rows in _rows(down))
    left = top[0] * (128 - y) + bottom[0] * y
    right = top[1] * (128 - y) + bottom[1] * y
    return (left * (128 - x) + right * x + 8192) >> 14


def _rows(down):
    return down[:, 0, None], down[:, 1, None]


def _rgb(y, u, v):
    y, u, v = 298 * (y - 16) + 128, u - 128, v - 128
    return [np.clip(c >> 8, 0, 255) for c in (y + 409 * v, y - 100 * u - 208 * v, y + 516 * u)]


def _grey(r, g, b):
    return (19595 * r + 38470 * g + 7471 * b + 32768) >> 16
