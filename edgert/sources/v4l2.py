"""USB and other cameras of Linux by their own interface: four mapped buffers, no library.

Source: the kernel's "Video for Linux API" (linux/videodev2.h); the layouts are those of 64-bit machines.
"""

import errno
import fcntl
import mmap
import os
import select
import struct
from contextlib import suppress
from time import monotonic_ns

from edgert.errors import CameraError
from edgert.sources.frame import Frame, without_padding

QUERYCAP, S_FMT, REQBUFS, QUERYBUF = 0x80685600, 0xC0D05605, 0xC0145608, 0xC0585609
QBUF, DQBUF, STREAMON, STREAMOFF, S_PARM = 0xC058560F, 0xC0585611, 0x40045612, 0x40045613, 0xC0CC5616
CAPTURE, MMAP, NO_FIELD = 1, 1, 1
CAN_CAPTURE, CAN_STREAM = 0x1, 0x0400_0000
BUFFERS = 4
DEAD_S = 5.0  # a camera that gives nothing for so long was unplugged or hangs
_BUFFER = struct.Struct("<5I4x16x16xII8xII8x")  # index, type, bytesused, flags, field | sequence, memory | length
_FORMATS = {b"YUYV": "YUYV", b"NV12": "NV12", b"YU12": "YUV420", b"RGB3": "RGB", b"BGR3": "BGR", b"GREY": "GRAY",
            b"MJPG": "MJPG"}  # fmt: skip
_WANTED = (b"YUYV", b"MJPG")


class V4l2Camera:
    """Frames of a /dev/video device, YUYV or decoded from JPEG.

    Raises: CameraError if it is missing, busy (the message names who holds it) or no camera.
    """

    live = True

    def __init__(self, path, size=None, fps=None):
        self.path, self.maps, self.fd = path, [], -1
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            self._check_capabilities()
            self._choose_format(size or (640, 480))
            if fps:
                self._ask_rate(fps)
            self._map_buffers()
            self._ioctl(STREAMON, struct.pack("<i", CAPTURE))
        except OSError as error:
            self.close()
            raise CameraError(self._why(error)) from error

    def frames(self):
        number, first = 0, None
        while True:
            try:
                index, used, sequence = self._take()
            except OSError as error:
                raise CameraError(self._why(error)) from error
            try:
                data = self.maps[index][:used]
            finally:
                self._ioctl(QBUF, _buffer(index))
            first = sequence if first is None else first
            number = sequence - first
            frame = self._frame(data, number)
            if frame is not None:
                yield frame

    def close(self):
        if self.fd >= 0:
            with suppress(OSError):  # it may be gone
                self._ioctl(STREAMOFF, struct.pack("<i", CAPTURE))
            for area in self.maps:
                area.close()
            os.close(self.fd)
            self.fd, self.maps = -1, []

    def _ioctl(self, request, data):
        """The kernel's answer, of the same size as `data`."""
        return fcntl.ioctl(self.fd, request, bytes(data))

    def _check_capabilities(self):
        answer = self._ioctl(QUERYCAP, bytes(104))
        capabilities, device = struct.unpack_from("<II", answer, 84)
        capabilities = device if capabilities & 0x8000_0000 else capabilities
        if not capabilities & CAN_CAPTURE or not capabilities & CAN_STREAM:
            raise CameraError(f"{self.path}: this device does not capture video (capabilities {capabilities:#x})")

    def _choose_format(self, size):
        for fourcc in _WANTED:
            wanted = struct.pack("<I4xII4sI", CAPTURE, *size, fourcc, NO_FIELD).ljust(208, b"\0")
            answer = self._ioctl(S_FMT, wanted)
            self.width, self.height, got, _, self.stride, _ = struct.unpack_from("<II4sIII", answer, 8)
            if got == fourcc:
                break
        if got not in _FORMATS:
            raise CameraError(f"{self.path}: gives only the pixel format {got!r}")
        self.format = _FORMATS[got]

    def _ask_rate(self, fps):
        wanted = struct.pack("<IIIII", CAPTURE, 0, 0, 1000, int(fps * 1000)).ljust(204, b"\0")
        try:
            self._ioctl(S_PARM, wanted)
        except OSError as error:
            if error.errno not in (errno.ENOTTY, errno.EINVAL):  # many cameras have one rate only
                raise

    def _map_buffers(self):
        answer = self._ioctl(REQBUFS, struct.pack("<III8x", BUFFERS, CAPTURE, MMAP))
        for index in range(struct.unpack_from("<I", answer)[0]):
            answer = self._ioctl(QUERYBUF, _buffer(index))
            (offset,), (length,) = struct.unpack_from("<I", answer, 64), struct.unpack_from("<I", answer, 72)
            self.maps.append(self._map(length, offset))
            self._ioctl(QBUF, _buffer(index))
        if not self.maps:
            raise CameraError(f"{self.path}: gives no buffers")

    def _map(self, length, offset):
        return mmap.mmap(self.fd, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)

    def _take(self):
        """(buffer, bytes in it, sequence number) of the next frame."""
        ready, _, _ = select.select([self.fd], [], [], DEAD_S)
        if not ready:
            raise CameraError(f"{self.path}: no frame for {DEAD_S:g} s")
        index, _, used, _, _, sequence, _, _, _ = _BUFFER.unpack(self._ioctl(DQBUF, _buffer(0)))
        if index >= len(self.maps):
            raise CameraError(f"{self.path}: the driver gave buffer {index} of {len(self.maps)}")
        return index, min(used, len(self.maps[index])), sequence

    def _frame(self, data, number):
        """The Frame, or None for one that is damaged: cameras send such after a start or over bad cables."""
        if self.format == "MJPG":
            return self._decoded(data, number)
        from edgert.vision.frames import frame_bytes

        row = {"YUYV": 2, "RGB": 3, "BGR": 3}.get(self.format, 1) * self.width
        if self.format in ("YUYV", "RGB", "BGR", "GRAY") and self.stride > row:
            if len(data) < self.stride * (self.height - 1) + row:
                return None
            data = without_padding(data, row, self.stride, self.height)
        if len(data) != frame_bytes(self.format, self.width, self.height):
            return None
        return Frame(data, self.format, self.width, self.height, number, monotonic_ns())

    def _decoded(self, data, number):
        from edgert.errors import InputError
        from edgert.vision.picture import open_picture

        try:
            picture = open_picture(data, self.path, "RGB", at_least=2**16)
        except InputError:
            return None
        return Frame(picture.tobytes(), "RGB", *picture.size, number, monotonic_ns())

    def _why(self, error):
        if error.errno == errno.EBUSY:
            return f"{self.path}: the camera is in use{_by(self.path)}"
        if error.errno in (errno.ENODEV, errno.EIO):
            return f"{self.path}: the camera is gone (unplugged?)"
        return f"{self.path}: {error.strerror or error}"


def _buffer(index):
    return struct.pack("<II", index, CAPTURE).ljust(60, b"\0") + struct.pack("<I", MMAP).ljust(28, b"\0")


def _by(path):
    """' by process 123 (ffmpeg)' where /proc tells who has the device open."""
    for process in filter(str.isdecimal, os.listdir("/proc")):
        try:
            folder = f"/proc/{process}/fd"
            if any(os.readlink(os.path.join(folder, fd)) == path for fd in os.listdir(folder)):
                with open(f"/proc/{process}/comm", encoding="utf-8", errors="replace") as file:
                    return f" by process {process} ({file.read().strip()})"
        except OSError:
            continue  # gone, or another user's
    return ""
