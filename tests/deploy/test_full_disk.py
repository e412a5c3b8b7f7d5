"""A board whose disk fills while a deployment is under way: the release that ran runs on. `make test-faults`."""

import os

import pytest
from fake_board import FakeBoard
from system import fill, small_disk
from test_deploy import put

from edgert.errors import DeployError

pytestmark = pytest.mark.faults
MIB = 1 << 20
SPARE = 16 * MIB  # that must be left when a file arrives


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", 160 << 10) as folder:
        yield folder


def test_a_disk_that_fills_before_the_switch_leaves_the_old_release(disk, tmp_path):
    board = FakeBoard(disk / "board")
    put(board, tmp_path, b"GOOD and old")
    old = board.running()
    size = 20 * MIB
    # What is left: nothing to speak of; not enough for the file; enough for the file and not for its release.
    for left, said in ((MIB, "bytes left"), (SPARE + size - MIB, "bytes left"), (SPARE + size + MIB, "No space left")):
        filler = fill(disk, left)
        with pytest.raises(DeployError, match=said):
            put(board, tmp_path, b"GOOD" + os.urandom(size))
        assert board.running() == old
        filler.unlink()
        put(board, tmp_path, b"GOOD and old")  # the next deployment finds all in order
        assert board.running() == old
        assert board.leftovers() == []
    put(board, tmp_path, b"GOOD and new")
    assert board.running()[1] == b"GOOD and new"
