"""The report of a study or a conversion: one self-contained HTML page, or Markdown with its pictures beside it.

    record, _ = optimize.study(...)
    report.write(record, "study.html")     # or study.md: its pictures go into study_files/

A record is plain dicts, lists and numbers, so that it can be kept as JSON and drawn again: `edgert report record.json`.
"""

import os
import shutil

from edgert import optional
from edgert.convert.report import blocks, conversion, html, markdown, study
from edgert.errors import InputError

KINDS = {"study": study.blocks_of, "conversion": conversion.blocks_of}
SUFFIXES = (".html", ".md")


def write(record, path):
    """Writes the report to `path`, HTML or Markdown by its suffix; a file that was there is replaced at the end.

    Raises: InputError for another suffix or a record that is none, EdgertError where matplotlib is missing.
    """
    path = os.fspath(path)
    check_name(path)
    if not isinstance(record, dict) or record.get("kind") not in KINDS:
        raise InputError(f"this is no record of {' or '.join(KINDS)}: its kind is {_kind(record)!r}")
    optional.require("matplotlib", "drawing a report")
    try:
        parts = KINDS[record["kind"]](record)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise InputError(f"the record of a {record['kind']} is damaged: {type(error).__name__} {error}") from error
    if path.endswith(".html"):
        _replace(path, html.page(parts).encode())
        return
    folder = os.path.splitext(path)[0] + "_files"
    pictures = [part for part in parts if isinstance(part, blocks.Picture)]
    shutil.rmtree(folder, ignore_errors=True)
    if pictures:
        os.mkdir(folder)
    for picture in pictures:
        _replace(os.path.join(folder, picture.name + ".png"), picture.png)
    _replace(path, markdown.page(parts, os.path.basename(folder)).encode())


def check_name(path):
    """Raises: InputError if the name of a report says neither .html nor .md."""
    if not os.fspath(path).endswith(SUFFIXES):
        raise InputError(f"{path}: a report is written as .html or .md; give a name that ends so")


def _kind(record):
    return record.get("kind") if isinstance(record, dict) else type(record).__name__


def _replace(path, data):
    partial = path + ".partial"
    with open(partial, "wb") as file:
        file.write(data)
    os.replace(partial, path)
