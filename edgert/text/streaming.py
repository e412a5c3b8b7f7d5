"""Bytes of tokens to text that may be shown: whole characters only, and nothing of what may become a stop string."""

from codecs import getincrementaldecoder

from edgert.errors import InputError

MAX_STOPS, MAX_STOP_CHARACTERS = 16, 1_024


class TextStream:
    """Feed it the bytes of one token after the other; `stopped` once a stop string came.

    Joined, what it gives is the text of all the bytes up to the first stop string; what is no UTF-8 becomes U+FFFD.
    """

    def __init__(self, stops=()):
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._stops = check_stops(stops)
        self._held = ""
        self.stopped = False

    def feed(self, data):
        """The text that can be shown now."""
        return self._filtered(self._decode(data))

    def finish(self):
        """What was held back, at the end."""
        rest = self._filtered(self._decode(b"", True))
        if self.stopped:
            return rest
        rest, self._held = rest + self._held, ""
        return rest

    def _filtered(self, text):
        if not self._stops or self.stopped:
            return "" if self.stopped else text
        text = self._held + text
        found = [at for at in [text.find(stop) for stop in self._stops] if at >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        held = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]


def check_stops(stops):
    """The stop strings as a tuple. Raises: InputError."""
    stops = (stops,) if isinstance(stops, str) else tuple(stops)
    for stop in stops:
        if not isinstance(stop, str) or not 0 < len(stop) <= MAX_STOP_CHARACTERS:
            raise InputError(f"stop is {stop!r:.80}; stop strings have 1 to {MAX_STOP_CHARACTERS:,} characters")
    if len(stops) > MAX_STOPS:
        raise InputError(f"stop has {len(stops):,} strings, the limit is {MAX_STOPS}")
    return stops


def _overlap(text, stop):
    """Length of the longest end of `text` that `stop` begins with."""
    for n in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:n]):
            return n
    return 0
