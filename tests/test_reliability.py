"""docs/reliability.md names tests that are there, with the mark that runs them, and leaves no kind of fault out."""

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
TEXT = (TESTS.parent / "docs" / "reliability.md").read_text()
ROWS = [line.split("|")[1:-1] for line in TEXT.splitlines() if re.match(r"\| \d+ \|", line)]


def named(cell):
    """(file, whether *F* stands behind it) of each test in a cell; a name without a folder is in the one before."""
    folder = None
    for name, mark in re.findall(r"`([\w/]+\.py)`( \*F\*)?", cell):
        folder = name.rpartition("/")[0] or folder
        yield TESTS / folder / name.rpartition("/")[2], bool(mark)


def test_all_24_kinds_of_fault_are_there():
    assert sorted({int(row[0]) for row in ROWS}) == list(range(1, 25))
    assert all(list(named(row[-1])) for row in ROWS)


def test_every_test_that_is_named_is_there_and_has_the_mark_that_is_said():
    for row in ROWS:
        for path, marked in named(row[-1]):
            assert path.is_file(), path
            assert not marked or "mark.faults" in path.read_text(), path
