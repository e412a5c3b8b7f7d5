"""edgert tune on the command line: its table, its JSON, and forgetting. Times are this machine's; none is judged."""

import json

import pytest

from edgert import tuned
from edgert.format import reader


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGERT_CACHE", str(tmp_path))
    monkeypatch.delenv("EDGERT_TIER", raising=False)


def test_tune_prints_a_row_for_every_step(edgert, model_files):
    code, out, err = edgert("tune", model_files / "residual.bin", "--threads", 1, "--native-only")
    assert (code, err) == (0, "")
    assert [line.split()[1] for line in out.splitlines()[1:5]] == ["conv2d", "depthwise_conv2d", "conv2d", "add"]
    assert "1 thread" in out


def test_tune_json_is_one_object(edgert, model_files):
    code, out, _ = edgert("tune", model_files / "colours.bin", "--threads", 1, "--native-only", "--json")
    result = json.loads(out)
    assert code == 0
    assert (result["threads"], len(result["nodes"])) == (1, 4)
    assert set(result["nodes"][0]) >= {"node", "op", "default", "winner", "default_ns", "winner_ns", "candidates"}


def test_clear_forgets_and_says_so(edgert, model_files):
    path = model_files / "colours.bin"
    tuned.write(reader.read(path), 1, {0: ("reference", "")}, 2, 1)
    assert edgert("tune", path, "--clear") == (0, "forgotten\n", "")
    assert edgert("tune", path, "--clear") == (0, "there was nothing to forget\n", "")
    assert json.loads(edgert("tune", path, "--clear", "--json")[1]) == {"cleared": 0}


def test_a_cache_that_cannot_be_written_is_one_line(edgert, model_files, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGERT_CACHE", str(tmp_path / "file"))
    code, _, err = edgert("tune", model_files / "colours.bin", "--clear")
    assert (code, err) == (0, "")


def test_a_forced_tier_is_refused(edgert, model_files, monkeypatch):
    monkeypatch.setenv("EDGERT_TIER", "reference")
    code, _, err = edgert("tune", model_files / "colours.bin")
    assert (code, err.count("\n")) == (1, 1)
    assert "EDGERT_TIER" in err
