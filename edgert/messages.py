"""Where one line for a person goes: stderr, and nothing in it can steer a terminal."""

import sys


def say(text):
    """Print `text` on stderr as one line."""
    words = " ".join(str(text).split())
    if sys.stderr is not None:  # pythonw and daemons have none
        print("edgert: " + "".join([letter if letter.isprintable() else "?" for letter in words]), file=sys.stderr)
