"""Video files and network cameras through PyAV (FFmpeg), which is optional."""

from edgert.errors import CameraError
from edgert.optional import require
from edgert.sources.frame import Frame


class Video:
    """Frames of a file, in order, or of an address such as rtsp://camera/stream.

    fps: as the file says; None for an address, or where it does not.

    Raises: CameraError if it cannot be opened or holds no video.
    """

    def __init__(self, address):
        self.av = require("av", "reading videos and network cameras")
        self.address, self.live = address, "://" in address
        options = {"rtsp_transport": "tcp", "stimeout": "5000000"} if self.live else {}
        try:
            self.container = self.av.open(address, options=options, timeout=10.0)
        except (self.av.error.FFmpegError, OSError, ValueError) as error:
            raise CameraError(f"{address}: cannot be opened as a video: {error}") from error
        if not self.container.streams.video:
            self.close()
            raise CameraError(f"{address}: has no video stream")
        rate = None if self.live else self.container.streams.video[0].average_rate
        self.fps = float(rate) if rate else None

    def frames(self):
        try:
            for number, picture in enumerate(self.container.decode(video=0)):
                pixels = picture.to_ndarray(format="rgb24")
                yield Frame(pixels.tobytes(), "RGB", picture.width, picture.height, number)
        except self.av.error.EOFError:
            return
        except (self.av.error.FFmpegError, OSError) as error:
            raise CameraError(f"{self.address}: {error}") from error

    def close(self):
        self.container.close()
