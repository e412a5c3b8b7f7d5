"""A camera's frame -> the words of an input tensor, compiled for one camera and one model.

The same contract as kernels/reference/pixels.py, which defines the result. Sizes, layout and colours are constants of
the code; places of samples are tables that it reads.
"""

import ctypes

import numpy as np
from numba import carray

from edgert.kernels.jit.compiler import compiled

FUNCTION = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p, ctypes.c_int, ctypes.c_int
)


def make_pixels(planes, components, colours, order, size, filled, frame_bytes):
    """planes: (offset, bytes of a row, where its blended row begins in scratch). components: (plane, first byte)."""
    (width, height), (left, top, right, bottom) = size, filled
    n, rows, channels, count = right - left, bottom - top, len(order), len(components)
    blended_size = planes[-1][1] + planes[-1][2]

    def pixels(params, tensors, scratch, thread, n_threads):
        frame = carray(tensors[0], frame_bytes, np.uint8)
        out = carray(tensors[1], (height, width, channels), np.uint8)
        tables, border = carray(tensors[2], (channels, 256), np.uint8), carray(tensors[3], channels, np.uint8)
        down = carray(tensors[4], (len(planes), rows, 3), np.int32)
        across = carray(tensors[5], (count, 3, n), np.uint32)
        blended, lines = carray(tensors[6], blended_size, np.uint16), carray(tensors[7], (3, n), np.uint8)
        for y in range(height):
            inside = top <= y < bottom
            for x in range(left if inside else width):
                for c in range(channels):
                    out[y, x, c] = border[c]
            if not inside:
                continue
            for x in range(right, width):
                for c in range(channels):
                    out[y, x, c] = border[c]
            for p in range(len(planes)):
                offset, row_bytes, start = planes[p]
                upper, lower, weight = down[p, y - top, 0], down[p, y - top, 1], np.uint16(down[p, y - top, 2])
                rest, row = np.uint16(128 - weight), blended[start : start + row_bytes]
                above, below = frame[offset + upper :][:row_bytes], frame[offset + lower :][:row_bytes]
                for i in range(row_bytes):  # at most 255 * 128
                    row[i] = np.uint16(above[i] * rest + below[i] * weight)
            for k in range(count):
                plane, first = components[k]
                row, taps, line = blended[planes[plane][2] + first :], across[k], lines[k]
                for i in range(n):
                    near, far, weight = row[taps[0, i]], row[taps[1, i]], taps[2, i]
                    mean = np.uint32(near) * np.uint32(128 - weight) + np.uint32(far) * weight
                    line[i] = np.uint32(mean + np.uint32(8192)) >> np.uint32(14)
            a, b, c = lines[0], lines[1], lines[2]
            if colours == "yuv":
                for i in range(n):
                    luma, u, v = 298 * (np.int32(a[i]) - 16) + 128, np.int32(b[i]) - 128, np.int32(c[i]) - 128
                    a[i] = min(max((luma + 409 * v) >> 8, 0), 255)
                    b[i] = min(max((luma - 100 * u - 208 * v) >> 8, 0), 255)
                    c[i] = min(max((luma + 516 * u) >> 8, 0), 255)
            elif colours == "grey":
                for i in range(n):
                    a[i] = (19595 * np.int32(a[i]) + 38470 * np.int32(b[i]) + 7471 * np.int32(c[i]) + 32768) >> 16
            words = out[y, left:right]
            for k in range(channels):
                line, table = lines[order[k]], tables[k]
                for i in range(n):
                    words[i, k] = table[line[i]]

    return pixels


class PixelScaler:
    """As kernels/native/pixels.pyx, whose parameters these are."""

    def __init__(self, *, planes, components, colours, order, tables, border, size, filled, frame_bytes):
        starts = np.cumsum([0, *[row_bytes for _, row_bytes, _ in planes]]).tolist()
        settings = {
            "planes": tuple([(plane[0], plane[1], start) for plane, start in zip(planes, starts)]),
            "components": tuple([component[:2] for component in components]),
            "colours": colours,
            "order": tuple(order),
            "size": tuple(size),
            "filled": tuple(filled),
            "frame_bytes": frame_bytes,
        }
        self._kernel = compiled(make_pixels, settings)  # owns the code that _run calls
        self._run = FUNCTION(self._kernel.address)
        self.frame_bytes, self.size, self.channels = frame_bytes, tuple(size), len(tables)
        self._constants = (
            np.frombuffer(b"".join(tables), np.uint8),
            np.frombuffer(border, np.uint8),
            np.ascontiguousarray([plane[2] for plane in planes], np.int32),
            np.ascontiguousarray(np.transpose([component[2] for component in components], (0, 2, 1)), np.uint32),
            np.empty(starts[-1], np.uint16),
            np.empty((3, filled[2] - filled[0]), np.uint8),
        )

    def __call__(self, frame, out):
        frame, out = np.frombuffer(frame, np.uint8), np.frombuffer(out, np.uint8)
        width, height = self.size
        if frame.size != self.frame_bytes:
            raise ValueError(f"a frame of {frame.size} bytes instead of {self.frame_bytes}")
        if out.size != width * height * self.channels:
            raise ValueError(f"a tensor of {out.size} bytes for {width} x {height} x {self.channels}")
        arrays = (frame, out, *self._constants)
        self._run(None, (ctypes.c_void_p * len(arrays))(*[array.ctypes.data for array in arrays]), None, 0, 1)
