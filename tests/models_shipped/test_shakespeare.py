"""The shipped character model: it is what its card says, and answers alike every time."""

from pathlib import Path

import pytest

from edgert.cli.main import main
from edgert.kernels import tiers
from edgert.session import Session

FILE = Path(__file__).resolve().parents[2] / "models" / "shakespeare" / "shakespeare_int4.bin"


def test_the_file_is_a_language_model_of_65_characters():
    session = Session(str(FILE))
    assert session.graph.metadata.task == "generate"
    assert session.outputs[0].shape[-1] == 65
    assert FILE.stat().st_size == 1_246_532


@pytest.mark.parametrize("tier", tiers.available())
def test_every_tier_gives_the_golden_answers_of_the_file(tier):
    session = Session(str(FILE), tier=tier)
    golden = session.graph.metadata.golden
    assert len(golden) == 2
    for inputs, outputs in golden:
        assert [bytes(answer) for answer in session.run_buffers(inputs)] == [bytes(output) for output in outputs]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_text(capsys, seed):
    texts = []
    for _ in range(2):
        assert main(["run", str(FILE), "--prompt", "ROMEO:", "--max-tokens", "24", "--seed", str(seed)]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert len(texts[0]) > 10
