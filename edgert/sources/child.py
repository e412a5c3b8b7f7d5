"""The process that has the camera: it may hang in a driver or crash in one, and whoever asked for it goes on.

Started by `keeper.Keeper`, with the descriptors' numbers and `words` on its command line.
"""

import os
import sys
from time import monotonic, sleep

from edgert.errors import EdgertError, InputError
from edgert.sources import lifeline, opener
from edgert.sources.look import Look
from edgert.sources.shared import FrameMemory, Writer

FAILED = 4
FILE_FPS = 30.0  # of a video or a folder, which has no pace of its own
START = "from edgert.sources.child import main; main()"


def words(source, size=None, fps=None, lores=None):
    """What is asked of it, for its command line."""
    sides = ["-" if pair is None else f"{pair[0]}x{pair[1]}" for pair in (size, lores)]
    return [source, sides[0], "-" if fps is None else str(fps), sides[1]]


def main():
    memory, bell, end, source, size, fps, lores = sys.argv[1:]
    lifeline.hold(int(end))
    shared = FrameMemory(int(memory), int(bell))
    writer, look = Writer(shared), Look()
    try:
        open_source, live = opener(source, _sides(size), None if fps == "-" else float(fps), _sides(lores))
        for frame in (_live if live else _paced)(open_source, FILE_FPS if fps == "-" else float(fps)):
            writer.put(frame, look(frame))
    except (EdgertError, OSError) as error:
        shared.failure = str(error)
        code = FAILED
    else:
        code = 0
    # Not through Python's own end: a driver's threads and destructors may never return.
    sys.stderr.flush()
    os._exit(code)


def _live(open_source, fps):
    return open_source().frames()


def _paced(open_source, fps):
    """Frames of a file at a steady rate, again and again."""
    due = monotonic()
    while True:
        frame = None
        for frame in open_source().frames():
            sleep(max(0.0, due - monotonic()))
            due = max(due, monotonic() - 1) + 1 / fps
            yield frame
        if frame is None:
            raise InputError("there are no frames in it")


def _sides(text):
    return None if text == "-" else tuple([int(side) for side in text.split("x")])
