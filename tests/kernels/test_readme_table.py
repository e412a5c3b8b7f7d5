"""The table in kernels/README.md is what the kernels say."""

from pathlib import Path

import pytest

from edgert.kernels import tiers

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif("scalar" not in tiers.available(), reason="no native tier is built here")
def test_the_op_table_is_current(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import op_table

    text = (ROOT / "kernels" / "README.md").read_text(encoding="utf-8")
    assert op_table.with_table(text, op_table.table()) == text, "run python tools/op_table.py"
