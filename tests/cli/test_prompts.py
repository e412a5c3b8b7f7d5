"""`edgert run` on a language model and `edgert convert` making one: what comes on which stream, what is refused."""

import io
import json
import os
import pty
import select
import subprocess
import sys

import numpy as np
import pytest

from edgert.convert import tokenizers
from edgert.convert.language import Options, arrays, load
from edgert.convert.language.build import Source
from edgert.convert.language.decoder import Decoder
from edgert.format import writer
from edgert.graph import Text

ALPHABET = "\n !abcdefgh"


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """A character model with random weights that knows the letters a to h."""
    decoder = Decoder(
        vocabulary=len(ALPHABET), context=16, width=16, layers=1, heads=2, kv_heads=2, head_dim=8, hidden=16,
        norm="layer_norm", epsilon=1e-5, function="gelu", gated=False,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    shapes = {name: decoder.shapes()[name] for name in decoder.required()}
    weights = {name: arrays.of(name, rng.normal(0, 1, shape)) for name, shape in shapes.items()}
    source = Source(decoder, weights, Text(tokenizers.characters(ALPHABET), 16), {}, [])
    path = tmp_path_factory.mktemp("letters") / "letters.bin"
    writer.write(load(source, "letters", Options())[0], path)
    return path


def test_a_prompt_streams_to_stdout_and_figures_to_stderr(edgert, letters):
    code, out, err = edgert("run", letters, "--prompt", "abc", "--max-tokens", 20, "--seed", 7)
    assert code == 0
    assert out.startswith("abc")
    assert len(out) == 3 + 20 + 1
    assert set(out) <= set(ALPHABET)
    for word in ("prefill 3 tokens", "decode 19 tokens", "tok/s", "peak ", "MB"):
        assert word in err
    assert edgert("run", letters, "--prompt", "abc", "--max-tokens", 20, "--seed", 7)[1] == out


@pytest.mark.skipif(os.environ.get("EDGERT_TIER") in ("jit", "reference"), reason="this tier needs NumPy")
def test_a_prompt_is_answered_without_numpy_or_any_package(letters):
    code = """
import sys
import edgert
model = edgert.load(sys.argv[1])
if all(step[1] != "reference" for step in model.session.plan.steps):
    assert len(model.generate("abc", max_tokens=9, seed=1).text()) == 9
print(sorted({"numpy", "PIL", "flatbuffers", "tokenizers", "torch", "numba", "edgert.convert"} & set(sys.modules)))"""
    done = subprocess.run([sys.executable, "-c", code, letters], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_json_has_the_answer_and_its_figures(edgert, letters):
    code, out, err = edgert("run", letters, "--prompt", "abc", "--max-tokens", 5, "--temperature", 0, "--json")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert (answer["prompt"], answer["tokens"], answer["finish_reason"]) == ("abc", 5, "length")
    assert len(answer["text"]) == 5
    assert answer["peak_bytes"] > 2**20


def test_each_line_of_stdin_is_a_prompt_and_a_wrong_one_does_not_stop_the_others(edgert, letters, monkeypatch):
    lines = b"abc\nxyz\n\xff\nabcd" + b"a" * 100 + b"\nab\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    code, out, err = edgert("run", letters, "--stdin", "--json", "--max-tokens", 2)
    assert code == 1
    assert [json.loads(line)["prompt"] for line in out.splitlines()] == ["abc", "ab"]
    for word in (
        "line 2: prompt: 'x'",
        "line 3: prompt is not valid UTF-8",
        "line 4: prompt has 104",
        "3 of 5 prompts",
    ):
        assert word in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--prompt", ""], "prompt is empty"), (["--prompt", "a" * 10_000], "prompt has 10,000"),
        (["--prompt", "a", "--temperature", "nan"], "temperature is nan"),
        (["--prompt", "a", "--top-k", "0"], "top_k is 0"), (["--prompt", "a", "--seed", "-1"], "seed is -1"),
        (["--prompt", "a", "--max-tokens", "-1"], "max_tokens is -1"),
        (["--prompt", "a", "--max-tokens", str(2**63)], "max_tokens is"), (["--prompt", "a", "--stop", ""], "stop is"),
        (["--prompt", "a", "--max-tokens", "9" * 5000], "max_tokens is"), (["x.png"], "takes prompts"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line_by_its_name(edgert, letters, words, said):
    code, out, err = edgert("run", letters, *words)
    assert (code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_model_of_pictures_takes_no_prompt(edgert, model_files):
    code, _, err = edgert("run", model_files / "colours.bin", "--prompt", "a")
    assert code == 1
    assert "not 'generate'" in err


def test_without_a_prompt_or_a_terminal_it_says_how(edgert, letters, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    code, _, err = edgert("run", letters)
    assert code == 1
    assert "--prompt TEXT, or --stdin" in err


def test_a_terminal_is_asked_for_prompts_until_it_ends(letters):
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "edgert", "run", str(letters), "--max-tokens", "5"]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=os.environ | {"TERM": "dumb"})
    os.close(slave)
    shown = b""
    try:
        for line in (b"abc\n", b"xyz\n", b"ab\n", b"\x04"):
            while not shown.endswith(b"> "):
                assert select.select([master], [], [], 20)[0], shown
                shown += os.read(master, 4096)
            shown += b"\n"
            os.write(master, line)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert shown.count(b"decode 4 tokens") == 2
    assert b"prompt: 'x'" in shown


def test_what_a_model_writes_cannot_steer_a_terminal():
    from edgert.cli.prompts import _shown_on_terminal

    assert _shown_on_terminal("a\n\tb") == "a\n\tb"
    assert _shown_on_terminal("\x1b[2Jx\r") == "\ufffd[2Jx\ufffd"


def test_convert_makes_a_model_that_runs(edgert, data_file, tmp_path):
    data_file("lm/tok512.bin")
    source, out = data_file("lm/stories260K.bin"), tmp_path / "stories.bin"
    code, text, err = edgert("convert", source, "-o", out, "--weights", "int4", "--kv", "float", "--context", 64)
    assert (code, err) == (0, "")
    assert "task       generate" in text
    assert "int8 where int4 needs rows of a multiple of 32: down" in text
    code, text, _ = edgert("run", out, "--prompt", "Once upon", "--max-tokens", 3, "--temperature", 0)
    assert text == "Once upon a time,\n"
    code, _, err = edgert("convert", source, "-o", out, "--context", 1000)
    assert (code, "context is 1,000" in err) == (1, True)
    code, _, err = edgert("convert", source, "-o", out, "--labels", "x.txt")
    assert (code, "labels does not apply" in err) == (1, True)
