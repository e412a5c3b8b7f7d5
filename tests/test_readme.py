"""What README.md tells a person to type is typed here, and what it shows is what comes out.

```console blocks: lines after `$ ` are run in order, the lines below are their output, where `...` stands for anything.
Numbers, units of time, tiers and spacing may differ from machine to machine and are not compared. ```python blocks are
executed. ```sh blocks are left alone: they build, and this suite runs within them.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FROM_DATA = {
    "mobilenet.tflite": "models/coral/tf2_mobilenet_v2_1.0_224_ptq.tflite",
    "labels.txt": "labels/imagenet_labels.txt",
    "cat.jpg": "images/cat_720p.jpg",
}


def blocks(language):
    text = (ROOT / "README.md").read_text()
    found = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [pytest.param(block, id=f"{language}{number}") for number, block in enumerate(found)]


@pytest.fixture
def place(tmp_path):
    """A folder that looks like the checkout, with `edgert` and `python` on the path."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "bin").mkdir()
    for name, words in {"edgert": "-m edgert ", "python": ""}.items():
        command = tmp_path / "bin" / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
        command.chmod(0o755)
    return tmp_path


def provide(block, place, data_file):
    """The files of the user's own that a block speaks of, from the data folder."""
    for name, source in FROM_DATA.items():
        if name in block:
            (place / name).symlink_to(data_file(source))
    for name in re.findall(r"models/\S+\.bin", block):
        if not (ROOT / name.strip('",)')).exists():
            pytest.skip(f"{name} is not in this checkout")


def run(command, place):
    environment = os.environ | {"PATH": f"{place / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(command, shell=True, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def commands(block):
    """[(command, the output shown)]."""
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2]))


def pattern(shown):
    """A regular expression of what matters in an output: words and order, not numbers, tiers or spacing."""
    lines = [
        ".*" if line.strip() == "..." else re.escape(plain(line)).replace(r"\.\.\.", ".*") for line in lines_of(shown)
    ]
    return "\n".join(lines)


def lines_of(text):
    return [line for line in text.splitlines() if line.strip()]


def plain(line):
    from edgert.kernels.tiers import TIERS

    tiers = "|".join(tier for tier, _, _ in TIERS)
    line = re.sub(rf"\b\d+ of \d+ nodes on ({tiers})|__({tiers})|\b({tiers})\b", "TIER", line)
    line = re.sub(r"\d[\d.,]*(e[+-]\d+)?", "N", line)
    line = re.sub(r"N (ns|us|ms|s)\b(, TIER)*", "TIME", line)
    line = re.sub(r"N( [kMGT])?(?= |$)", "N", line)
    return re.sub(r"\s+", " ", line).strip()


@pytest.mark.parametrize("block", blocks("console"))
def test_commands_print_what_the_readme_shows(block, place, data_file):
    provide(block, place, data_file)
    for command, shown in commands(block):
        out = "\n".join(plain(line) for line in lines_of(run(command, place)))
        assert re.fullmatch(pattern(shown), out, re.DOTALL), f"$ {command}\n{out}\n--- README:\n{pattern(shown)}"


@pytest.mark.parametrize("block", blocks("python"))
def test_python_examples_run(block, place, data_file):
    provide(block, place, data_file)
    (place / "example.py").write_text(block)
    assert run(f'"{sys.executable}" example.py', place).count("\n") >= 1


def test_every_verb_is_in_the_table():
    from edgert.cli.main import VERBS

    text = (ROOT / "README.md").read_text()
    assert [verb for verb in VERBS if f"| `{verb}` |" not in text] == []


def test_links_lead_somewhere():
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
