"""Large models are read into huge pages where that pays; every other way must give the same answers."""

import mmap
import os

import numpy as np
import pytest
from tiny import residual_block

from edgert.format import pages, reader, writer
from edgert.session import Session


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "small.bin"
    writer.write(residual_block(), path)
    return path


def answers(path):
    session = Session(path, threads=1)
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-128, 128, t.shape).astype(t.dtype) for t in session.inputs]
    return [array.tobytes() for array in session.run(arrays)]


def test_huge_pages_change_no_answer(model, monkeypatch):
    monkeypatch.setenv("EDGERT_HUGE_PAGES", "0")
    mapped = answers(model)
    monkeypatch.setenv("EDGERT_HUGE_PAGES", "1")
    assert answers(model) == mapped


def test_small_models_and_those_that_are_only_looked_at_are_mapped(model, monkeypatch):
    monkeypatch.delenv("EDGERT_HUGE_PAGES", raising=False)
    read = []
    monkeypatch.setattr(pages, "_read", lambda fd, nbytes: read.append(nbytes) or mmap.mmap(-1, nbytes))
    reader.read(model, to_run=True)
    monkeypatch.setenv("EDGERT_HUGE_PAGES", "1")
    reader.read(model)
    assert not read


@pytest.mark.parametrize(
    ("modes", "available", "pays"),
    [
        ("always [madvise] never", 4 * 64 * 2**20, True),
        ("[always] madvise never", 2**40, True),
        ("always madvise [never]", 2**40, False),
        ("", 2**40, False),
        ("always [madvise] never", 4 * 64 * 2**20 - 1, False),
    ],
)
def test_they_need_a_system_that_has_them_and_free_memory(monkeypatch, modes, available, pays):
    monkeypatch.delenv("EDGERT_HUGE_PAGES", raising=False)
    monkeypatch.setattr(pages, "_first_line", lambda path: modes)
    monkeypatch.setattr(pages, "_available_bytes", lambda: available)
    assert pages._pays(64 * 2**20) is pays
    assert not pages._pays(2**20)


def test_a_file_that_became_shorter_is_left_to_mapping(model, monkeypatch):
    monkeypatch.setenv("EDGERT_HUGE_PAGES", "1")
    fd = os.open(model, os.O_RDONLY)
    try:
        with pytest.raises(ValueError, match="size"):  # which refuses it
            pages.load(fd, os.fstat(fd).st_size + 1)
    finally:
        os.close(fd)
