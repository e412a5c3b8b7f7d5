"""The Raspberry Pi's camera through picamera2, which comes from apt and is imported when a camera is asked for."""

from time import monotonic_ns

from edgert.errors import CameraError
from edgert.sources.frame import Frame, without_padding

HINT = (
    "the Pi's camera needs picamera2: sudo apt install python3-picamera2, and a virtual environment made with "
    "python3 -m venv --system-site-packages"
)


class PiCamera:
    """Frames of the main stream, and with `lores` (width, height) of a second one for the model.

    picamera2 calls the format of bytes B, G, R in memory "RGB888"; frames say BGR. Rows may be padded.
    Raises: CameraError if picamera2 or the camera is missing or busy.
    """

    live = True

    def __init__(self, number=0, size=None, fps=None, lores=None):
        library = _library()
        try:
            self.camera = library.Picamera2(number)
            self._configure(size or (1280, 720), fps, lores)
            self.camera.start()
        except (RuntimeError, IndexError, OSError) as error:
            raise CameraError(f"camera {number}: {error} (rpicam-hello --list-cameras shows what is there)") from error

    def _configure(self, size, fps, lores):
        streams = {"main": {"size": size, "format": "RGB888"}, "buffer_count": 4}
        if lores:
            streams["lores"] = {"size": lores, "format": "YUV420"}
        if fps:
            streams["controls"] = {"FrameRate": float(fps)}
        self.camera.configure(self.camera.create_video_configuration(**streams))
        self.streams = self.camera.camera_configuration()
        self.has_lores = bool(lores)

    def frames(self):
        number = 0
        while True:
            try:
                request = self.camera.capture_request()
            except RuntimeError as error:
                raise CameraError(f"the camera stopped: {error}") from error
            try:
                small = self._small(request, number) if self.has_lores else None
                yield self._main(request, number, small)
            finally:
                request.release()  # there are four buffers: one that is kept stops the camera
            number += 1

    def close(self):
        self.camera.stop()
        self.camera.close()

    def _main(self, request, number, small):
        stream = self.streams["main"]
        width, height = stream["size"]
        data = without_padding(bytes(request.make_buffer("main")), 3 * width, stream["stride"], height)
        return Frame(data, "BGR", width, height, number, _captured_ns(request), small=small)

    def _small(self, request, number):
        stream = self.streams["lores"]
        width, height = stream["size"]
        data, stride = bytes(request.make_buffer("lores")), stream["stride"]
        planes, start = [], 0
        for row_bytes, step, rows in ((width, stride, height), *((width // 2, stride // 2, height // 2),) * 2):
            planes.append(without_padding(data[start:], row_bytes, step, rows))
            start += step * rows
        return Frame(b"".join(planes), "YUV420", width, height, number, _captured_ns(request))


def _captured_ns(request):
    """The sensor's own time where the metadata has it: it runs on the monotonic clock."""
    return request.get_metadata().get("SensorTimestamp") or monotonic_ns()


def _library():
    try:
        import picamera2
    except ImportError as error:
        raise CameraError(HINT) from error
    return picamera2
