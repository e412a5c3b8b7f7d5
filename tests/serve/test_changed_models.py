"""A model file is written into, cut short, replaced or deleted while it serves; played with workers of words."""

import os
import resource

import pytest

from edgert.errors import ModelFormatError
from edgert.serve import generation, succession
from edgert.serve.generation import Copy, Generation
from edgert.serve.store import Store


@pytest.fixture
def large(monkeypatch):
    """Every model is too large to be copied into memory."""
    monkeypatch.setattr(generation, "IN_MEMORY_BYTES", 0)


def keep(store, generation):
    for _ in store.keep(generation):
        pass


def overwrite(path, content):
    with open(path, "r+b") as file:
        file.truncate(0)
        file.write(content)


def test_a_large_model_that_is_cut_short_is_served_from_the_kept_copy(play, large):
    play.begin()
    overwrite(play.folder / "first.bin", b"")
    play.pass_time(1.1, 0.1, 0.1)
    assert (play.workers[0].code, play.serving, play.notes.restarts) == (-9, "first", 1)
    assert play.workers[-1].generation.settings["model"] == [str(play.folder / "state" / "good0.bin")]
    assert "first.bin was changed while it served; the copy of it in" in play.notes.text
    play.workers[-1].serves().dies(-7)  # and again, whatever it died of
    play.pass_time(0.1, 0.1)
    assert play.serving == "first"
    play.propose("second").serves()
    play.pass_time(0.1)
    play.succession.worker.dies(0)
    play.pass_time(0.1, 0.1)
    assert (play.serving, play.notes.text) == ("second", "")


def test_a_large_model_that_is_cut_short_without_a_copy_is_taken_again_when_it_is_whole(forgetful, large):
    play = forgetful
    play.begin()
    overwrite(play.folder / "first.bin", b"half")
    play.workers[0].dies(-7)
    play.pass_time(0.1, 0.1)
    assert play.succession.worker is None
    assert "no copy of it was kept" in play.notes.text
    play.workers[-1].dies(3, (3, "half a file"))
    play.pass_time(0.1, 5, 5)
    overwrite(play.folder / "first.bin", b"whole again")
    play.pass_time(30, 30)
    play.workers[-1].serves()
    play.pass_time(0.1, 0.1)
    assert (play.serving, play.notes.text) == ("whole again", "")


def test_what_is_tried_again_is_the_file_that_served_and_not_one_that_was_refused(forgetful, large):
    play = forgetful
    play.begin()
    play.propose("bad").dies(3, (3, "damaged"))
    play.pass_time(0.1)
    overwrite(play.folder / "first.bin", b"whole again")
    play.pass_time(1.1)
    play.workers[-1].serves()
    play.pass_time(0.1)
    play.workers[0].dies(0)
    play.pass_time(0.1, 0.1)
    assert (play.serving, play.notes.text) == ("whole again", "")


def test_what_died_of_a_changed_file_is_not_remembered_as_bad(play, large):
    play.begin()
    second = play.propose("second").serves()
    play.pass_time(0.1)
    play.workers[0].dies(0)
    play.pass_time(0.1, 0.1)
    overwrite(play.folder / "second.bin", b"")
    second.dies(-7)
    play.pass_time(0.1, 0.1)
    assert play.serving == "first"
    assert play.store.why_bad(Generation(play.settings("second"))) is None


def test_a_large_model_that_was_replaced_or_deleted_is_still_there(play, large):
    play.begin()
    os.replace(play.folder / "first.bin", play.folder / "other.bin")
    play.pass_time(1.1, 1.1)
    (play.folder / "other.bin").unlink()
    play.pass_time(1.1, 1.1)
    assert (play.serving, play.notes.text, len(play.workers)) == ("first", "", 1)


def test_a_file_that_changes_while_it_is_kept_is_not_kept(play, large, capsys):
    changed = Generation(play.settings("first"))
    overwrite(play.folder / "first.bin", b"other")
    keep(play.store, changed)
    assert "changed meanwhile" in capsys.readouterr().err
    assert os.listdir(play.folder / "state") == []


def test_a_device_is_not_even_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    for path in ("/dev/zero", tmp_path / "fifo", tmp_path, tmp_path / "loop", tmp_path / "none", "a\0b"):
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(ModelFormatError):
            Copy(os.fspath(path))
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_disk_that_fills_at_any_byte_leaves_the_last_good_model_as_it_was(tmp_path, capsys):
    store = Store(tmp_path / "state")
    (tmp_path / "model.bin").write_bytes(b"first" * 20)
    keep(store, Generation({"model": [str(tmp_path / "model.bin")]}))
    (tmp_path / "model.bin").write_bytes(b"other" * 20)
    second = Generation({"model": [str(tmp_path / "model.bin")]})
    before = len(os.listdir("/proc/self/fd"))
    for room in range(100):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        try:
            keep(store, second)
            store.remember_bad(second, "x" * 100)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert (tmp_path / "state" / "good0.bin").read_bytes() == b"first" * 20
        assert os.listdir(tmp_path / "state") == ["good0.bin"]
    assert capsys.readouterr().err.count("File too large; serving goes on") == 200
    assert len(os.listdir("/proc/self/fd")) == before
    keep(store, second)
    assert (tmp_path / "state" / "good0.bin").read_bytes() == b"other" * 20


def test_keeping_a_large_model_leaves_time_for_everything_else(play, monkeypatch):
    play.begin()
    assert (play.folder / "state" / "good0.bin").read_text() == "first"
    monkeypatch.setattr(generation, "_PIECE", 1)
    monkeypatch.setattr(succession, "KEEPING_S", -1)  # one piece a tick
    play.propose("second").serves()
    play.pass_time(0.1)
    play.workers[0].dies(0)
    play.pass_time(0.1, 0.1, succession.PROVING_S + 1)
    for written in ("s", "se", "sec"):
        play.pass_time(0.1)
        assert (play.folder / "state" / "good0.bin.new").read_text() == written
    play.propose("third").serves()  # which ends it
    play.pass_time(0.1)
    play.succession.worker.dies(0)
    play.pass_time(0.1, 0.1)
    assert os.listdir(play.folder / "state") == ["good0.bin"]
    assert (play.folder / "state" / "good0.bin").read_text() == "first"
    play.pass_time(succession.PROVING_S + 1, *[0.1] * 20)
    assert (play.folder / "state" / "good0.bin").read_text() == "third"
    assert play.serving == "third"
