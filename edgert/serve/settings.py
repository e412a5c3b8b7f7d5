"""What a service is told: on the command line, in a file, or both; the command line wins.

Settings are a dict from NAMES to values. Between processes they travel as words, `name=value`.
"""

import os

from edgert.errors import InputError

MAX_BYTES = 65_536


def _text(text):
    if not text or not text.isprintable():
        raise ValueError("is not a printable text")
    return text


def _port(text):
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise ValueError("is not a port from 0 to 65535")
    return int(text)


def _count(text):
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1024):
        raise ValueError("is not a whole number from 1 to 1024")
    return int(text)


def _rate(text):
    value = _number(text)
    if not 0 < value <= 1000:
        raise ValueError("is not a number above 0, up to 1000")
    return value


def _share(text):
    value = _number(text)
    if not 0 <= value <= 1:
        raise ValueError("is not a number from 0 to 1")
    return value


def _number(text):
    try:
        return float(text)
    except ValueError:
        return -1.0


def _size(text):
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdigit() and 16 <= int(side) <= 8192 for side in sides):
        raise ValueError("is not WIDTHxHEIGHT of 16 to 8192 pixels a side")
    return int(sides[0]), int(sides[1])


_READERS = {
    "model": _text,
    "camera": _text,
    "size": _size,
    "lores": _size,
    "fps": _rate,
    "score": _share,
    "threads": _count,
    "host": _text,
    "port": _port,
    "unix": _text,
    "token_file": _text,
    "mqtt": _text,
    "state": _text,
    "log_resources": _text,
}
NAMES = tuple(_READERS)
FIXED = ("camera", "size", "lores", "host", "port", "unix", "state")  # as long as a service runs
DEFAULTS = {"host": "127.0.0.1", "port": 8080}


def read(name, text):
    """The value of one setting; `model` gives one of a list. Raises: InputError."""
    if name not in _READERS:
        raise InputError(f"{name!r} is no setting; there are {', '.join(NAMES)}")
    try:
        return _READERS[name](text)
    except ValueError as error:
        raise InputError(f"{name} = {text[:80]!r} {error}") from None


def of_words(words, where=None):
    """The settings in `name=value` words. where: function from a word's index to what errors call its place.

    Raises: InputError naming the key.
    """
    settings = {}
    for index, word in enumerate(words):
        name, equals, text = word.partition("=")
        name = name.strip().replace("-", "_")
        try:
            if not equals:
                raise InputError(f"{word[:80]!r} is not like name = value")
            value = read(name, text.strip())
            if name in settings and name != "model":
                raise InputError(f"{name} is given twice")
        except InputError as error:
            raise InputError(f"{where(index)}: {error}" if where else str(error)) from None
        settings[name] = [*settings.get(name, ()), value] if name == "model" else value
    return settings


def to_words(settings):
    """The words of settings, for another process."""
    words = []
    for name, value in settings.items():
        values = value if name == "model" else [value]
        words += [f"{name}={'x'.join(map(str, one)) if isinstance(one, tuple) else one}" for one in values]
    return words


def of_file(path):
    """The settings in a file: one `name = value` a line, `#` begins a comment, the last line ends in a line feed.

    Raises: InputError naming the line and the key.
    """
    if os.path.exists(path) and not os.path.isfile(path):  # opening a FIFO would wait, for ever in a reload
        raise InputError(f"{path}: not a regular file")
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: more than {MAX_BYTES:,} bytes")
    if data and not data.endswith(b"\n"):
        raise InputError(f"{path}: line {data.count(10) + 1} does not end: half written?")
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError as error:
        line = data.count(10, 0, error.start) + 1
        raise InputError(f"{path}: line {line}: not UTF-8") from None
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    kept = [(number, line) for number, line in numbered if line and not line.startswith("#")]
    return of_words([line for _, line in kept], lambda index: f"{path}: line {kept[index][0]}")


def complete(given, config=None):
    """All settings: those given on the command line, over those of the file `config`, over the defaults.

    Raises: InputError.
    """
    settings = DEFAULTS | (of_file(config) if config else {}) | given
    check(settings)
    return settings


def check(settings):
    """Raises: InputError if settings do not fit each other."""
    models = settings.get("model")
    if not models:
        raise InputError("no model: give the model file")
    if len(models) > 2:
        raise InputError(f"{len(models)} models; a service has one for a camera and one for prompts at most")
    if not is_local(settings["host"]) and not settings.get("token_file"):
        raise InputError(
            f"host {settings['host']} can be reached from the network: give token_file, a file with the password that "
            "clients must send"
        )
    for name in ("token_file",):
        if settings.get(name) and not os.path.isfile(settings[name]):
            raise InputError(f"{name} {settings[name]}: no such file")


def is_local(host):
    """Whether only this machine's programs reach an address."""
    return host in ("localhost", "::1") or host.startswith("127.")
