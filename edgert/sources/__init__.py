"""Where frames come from, behind one small interface.

A source is opened by its constructor and gives frames one after the other:

    frames()   iterates over Frame objects until the source ends
    close()    gives the device back; may be called twice
    live       whether frames are lost when nobody takes them (a camera), or wait (a file)

`Newest` wraps a live one: the newest frame only, reopened with growing pauses after a fault.
"""

import os

from edgert.errors import InputError

KINDS = "synthetic, camera, /dev/videoN, a folder of pictures, a video file or an rtsp:// address"


def opener(text, size=None, fps=None, lores=None):
    """(function that opens the source named by `text`, whether it is live).

    text: "synthetic:640x480@30,fault=unplug@100", "camera" or "camera:1" (picamera2), "/dev/video0", a folder, a video
    file or an address. size: (width, height) and fps: asked of a camera. lores: size of a Pi camera's second stream.
    Raises: InputError if it names nothing that exists.
    """
    kind, _, rest = text.partition(":")
    if kind == "synthetic":
        from edgert.sources.synthetic import UNPACED_FPS, Synthetic, parse

        options = parse(rest, size, fps)
        return (lambda: Synthetic(**options)), options["fps"] < UNPACED_FPS
    if kind in ("camera", "picamera2"):
        from edgert.sources.picamera import PiCamera

        if rest and not rest.isdecimal():
            raise InputError(f"source {text!r}: a camera has a number, as in camera:0")
        return (lambda: PiCamera(int(rest or 0), size, fps, lores)), True
    if kind == "v4l2" or text.startswith("/dev/video"):
        from edgert.sources.v4l2 import V4l2Camera

        path = text if text.startswith("/dev/") else f"/dev/video{rest or 0}"
        return (lambda: V4l2Camera(path, size, fps)), True
    if os.path.isdir(text):
        from edgert.sources.pictures import Pictures

        return (lambda: Pictures(text)), False
    if "://" in text or os.path.exists(text):
        from edgert.sources.video import Video

        return (lambda: Video(text)), "://" in text
    raise InputError(f"source {text!r}: no such file or folder; a source is {KINDS}")
