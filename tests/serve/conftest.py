"""The play of workers that several files share."""

import pytest
from play import Play

from edgert.serve import succession


@pytest.fixture
def play(tmp_path, monkeypatch):
    made = Play(tmp_path, tmp_path / "state")
    monkeypatch.setattr(succession, "monotonic", lambda: made.now)
    return made
