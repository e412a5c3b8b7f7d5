"""The play of workers that several files share."""

import pytest
from play import Play

from edgert.serve import succession


@pytest.fixture
def play(tmp_path, monkeypatch):
    return _on_its_clock(Play(tmp_path, tmp_path / "state"), monkeypatch)


@pytest.fixture
def forgetful(tmp_path, monkeypatch):
    """The same without a folder for models that proved themselves."""
    return _on_its_clock(Play(tmp_path), monkeypatch)


def _on_its_clock(play, monkeypatch):
    monkeypatch.setattr(succession, "monotonic", lambda: play.now)
    return play
