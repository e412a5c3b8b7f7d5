"""What a report is made of, before it is HTML or Markdown. Words are plain text; each format escapes them itself."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Table:
    """header: words. rows: tuples of words. align: one of "lr" a column."""

    header: tuple
    rows: tuple
    align: str


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Picture:
    """name: of its file, without suffix. png: its bytes. caption: what it shows, for those too who cannot see it."""

    name: str
    png: bytes
    caption: str


def number(value, digits=3):
    """A figure in words: its significant digits, thousands apart; a dash for what was not measured."""
    if value is None:
        return "–"
    if isinstance(value, int) or abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}" if value < 10 ** (digits - 1) else f"{value:.0f}"
