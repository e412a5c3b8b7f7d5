"""Other programs, and what goes to the desktop."""

import contextlib
import json
import subprocess


class Refused(Exception):
    """A step that cannot be done, in one line for a person."""


def say(**fields):
    """One JSON line for the desktop; a connection that is gone is no reason to stop half-way."""
    with contextlib.suppress(OSError):
        print(json.dumps(fields), flush=True)


def run(*command, check=True):
    """The standard output of a command. Raises: Refused with its last words."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, close_fds=False
    )
    if check and done.returncode:
        words = last_line(done.stderr) or last_line(done.stdout) or f"exit code {done.returncode}"
        raise Refused(f"{' '.join(command[:4])}: {words}")
    return done.stdout


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
