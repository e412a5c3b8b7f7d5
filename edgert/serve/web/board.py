"""What the loop writes and any number of viewers read: the newest answer, its picture, and figures.

The loop never waits for a viewer. Pictures are drawn and encoded by a thread of their own, from the newest answer, and
only while somebody looks.
"""

import threading
from io import BytesIO
from time import monotonic

from edgert.stream import draw

PICTURES_A_SECOND = 20
QUALITY = 80


class Board:
    """Shared between the loop's thread, the painter's and the server's; a lock around two references, no queues.

    leaving: a function, whether the server stops; streams end then. number: of the newest answer. jpeg: (number, bytes)
    of the newest picture, None before the first.
    """

    def __init__(self, watcher, timings, source, camera=None, governor=None):
        self.watcher, self.timings, self.source = watcher, timings, source
        self.camera, self.governor = camera, governor
        self.number, self.jpeg, self.error = 0, None, None
        self.viewers, self.leaving = 0, lambda: False
        self._seen, self._changed, self._closed = None, threading.Condition(), False
        self._painter = threading.Thread(target=self._paint, daemon=True, name="edgert-painter")
        self._painter.start()

    def put(self, seen):
        """A new answer; called by the loop."""
        with self._changed:
            self._seen = seen
            self.number += 1
            self._changed.notify_all()

    def close(self):
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def look(self, arriving):
        """A viewer of pictures comes (True) or goes."""
        with self._changed:
            self.viewers += 1 if arriving else -1
            self._changed.notify_all()

    def answer(self):
        """(number, what was seen as a dict), (0, None) before the first."""
        with self._changed:
            seen, number = self._seen, self.number
        return number, None if seen is None else seen.as_dict()

    def picture(self):
        """JPEG bytes of the newest answer, drawn now; None before the first."""
        with self._changed:
            seen = self._seen
        return None if seen is None else _encoded(seen)

    def state(self):
        """Figures of the loop, the camera and the board, for people and for /state."""
        stages = {name: [round(v, 3) for v in pair] for name, pair in self.timings.summary().items()}
        camera, governor = self.camera, self.governor
        return {
            "source": self.source,
            "camera": self.error or (camera.state if camera else "ok"),
            "frames": self.timings.count,
            "fps": round(self.timings.fps(), 2),
            "dropped": camera.dropped if camera else 0,
            "reopened": camera.reopened if camera else 0,
            "ms": stages,
            "score": self.watcher.threshold(),
            "kind": self.watcher.kind,
            "board": governor.state() if governor else {},
        }

    def _paint(self):
        drawn = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda drawn=drawn: self._closed or (self.viewers and self.number != drawn))
                if self._closed:
                    return
                seen, drawn = self._seen, self.number
            started = monotonic()
            self.jpeg = (drawn, _encoded(seen))
            with self._changed:
                self._changed.wait_for(lambda: self._closed, max(0.0, started + 1 / PICTURES_A_SECOND - monotonic()))


def _encoded(seen):
    file = BytesIO()
    draw(seen).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
