"""Fixtures for every folder. tests/tiny.py is importable because this file stands beside it."""

import os
from pathlib import Path

import pytest
import tiny
from PIL import Image

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


@pytest.fixture
def edgert(capsys):
    """Function from a command's words to (exit code, stdout, stderr)."""
    from edgert.cli.main import main

    def call(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def model_files(tmp_path_factory):
    """Folder with the tiny models as files: colours.bin, residual.bin, two_heads.bin, cells.bin."""
    from edgert.format import writer

    folder = tmp_path_factory.mktemp("models")
    for graph in (tiny.colour_classifier(), tiny.residual_block(), tiny.two_heads(), tiny.colour_detector()):
        writer.write(graph, folder / f"{graph.name}.bin")
    return folder


@pytest.fixture(scope="session")
def colour_pictures(tmp_path_factory):
    """Folder with red.png, green.png and blue.png."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, colour in COLOURS.items():
        Image.new("RGB", (40, 30), colour).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="session")
def data_file():
    """Function from a path in the data folder (EDGERT_DATA) to the file; skips the test where it is absent."""

    def find(name):
        path = Path(os.environ.get("EDGERT_DATA", "data")) / name
        if not path.exists():
            pytest.skip(f"{name} is not in the data folder (EDGERT_DATA)")
        return path

    return find
