"""A report as Markdown, its pictures in a folder beside it."""

import re

from edgert.convert.report.blocks import Code, Heading, Picture, Table, Text


def page(parts, folder):
    """The text. folder: name of the folder with the pictures."""
    return "\n\n".join(_part(part, folder) for part in parts) + "\n"


def _part(part, folder):
    if isinstance(part, Heading):
        return "#" * part.level + " " + _plain(part.text)
    if isinstance(part, Table):
        return _table(part)
    if isinstance(part, Code):
        fence = "`" * (max([2, *(len(run) for run in re.findall("`+", part.text))]) + 1)
        return f"{fence}\n{part.text}\n{fence}"
    if isinstance(part, Picture):
        return f"![{_plain(part.caption)}]({folder}/{part.name}.png)\n\n{_plain(part.caption)}"
    assert isinstance(part, Text)
    return _plain(part.text)


def _table(part):
    lines = [part.header, tuple("---:" if side == "r" else "---" for side in part.align)]
    rows = [*lines, *(tuple(map(_plain, row)) for row in part.rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _plain(text):
    """Text that Markdown leaves as it is: a model's name may hold anything."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
