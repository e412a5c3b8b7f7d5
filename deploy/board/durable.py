"""Changes to the disk that a power cut leaves done or not begun."""

import hashlib
import json
import os

CHUNK = 1 << 20


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def read_json(path, default):
    """What a file made by `write` holds, `default` where there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return default


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def names(folder):
    """What lies in a folder; nothing where there is none."""
    return os.listdir(folder) if os.path.isdir(folder) else []


def write(path, text, mode=0o644):
    """The file has `text`, or what it had before."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    rename(path + ".new", path)


def rename(old, new):
    os.rename(old, new)
    sync(os.path.dirname(new))


def link(target, path):
    """`path` is a symlink to `target`, or what it was before; None: there is no `path`."""
    for stale in (path + ".new", *([path] if target is None else [])):
        if os.path.islink(stale):
            os.unlink(stale)
    if target is not None:
        os.symlink(target, path + ".new")
        os.rename(path + ".new", path)
    sync(os.path.dirname(path))


def sync(path):
    """Flush a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
