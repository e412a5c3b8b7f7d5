"""Large models move into huge pages where that pays; nothing else may change."""

import sys
from pathlib import Path

import numpy as np
import pytest

from edgert import pages
from edgert.format import writer
from edgert.kernels import tiers
from edgert.session import Session

sys.path.insert(0, str(Path(__file__).parents[1] / "text"))
from language_models import language_model

needs_program = pytest.mark.skipif(not tiers.has_native(), reason="the native program is not built here")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "six_megabytes.bin"
    writer.write(language_model("gpt2", layers=1, width=128, vocabulary=50_000), path)
    return path


def logits(path, count=3):
    session = Session(path, threads=1)
    return session, [session.run([np.array([5 + i], np.int32), np.array([i], np.int32)])[0] for i in range(count)]


@needs_program
def test_huge_pages_change_no_answer(model, monkeypatch):
    monkeypatch.setattr(pages, "_first_line", lambda path: "always [madvise] never")
    monkeypatch.setenv("EDGERT_HUGE_PAGES", "0")
    session, mapped = logits(model)
    assert session._move is None
    monkeypatch.setenv("EDGERT_HUGE_PAGES", "1")
    monkeypatch.setattr(pages, "STEP", 1)
    session, moved = logits(model)
    np.testing.assert_array_equal(moved, mapped)
    assert bytes(session.loaded.map) == model.read_bytes()


@needs_program
def test_a_move_ends_with_the_last_whole_page(model, monkeypatch):
    monkeypatch.setattr(pages, "_first_line", lambda path: "[always] madvise never")
    monkeypatch.setenv("EDGERT_HUGE_PAGES", "1")
    session, _ = logits(model, count=1)  # one step has room for all of it
    assert session._move is None


@needs_program
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
    monkeypatch.setenv("EDGERT_HUGE_PAGES", "0")
    assert not pages._pays(64 * 2**20)
