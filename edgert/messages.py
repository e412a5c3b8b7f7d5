"""Where one line for a person goes: stderr, and nothing in it can steer a terminal."""

import sys


def say(text):
    """Print `text` on stderr as one line."""
    words = " ".join(str(text).split())
    line = "edgert: " + "".join([letter if letter.isprintable() else "?" for letter in words])
    if sys.stderr is None:  # pythonw and daemons have none
        return
    try:
        print(line, file=sys.stderr)
    except OSError:  # a file on a full disk, or a pipe that nobody reads any more
        return
