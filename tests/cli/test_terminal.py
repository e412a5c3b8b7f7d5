"""Words of strangers, in names of models, labels, files and cameras: none steers a terminal or a journal."""

import pytest
import tiny

from edgert.format import writer
from edgert.graph import Metadata

HOSTILE = ("\x1b[31mred\nedgert: all is lost", "green\r\x1b]0;title\x07", "blue\u202e\u2028")


def with_hostile_words(graph):
    fields = {name: getattr(graph.metadata, name) for name in Metadata.__slots__}
    return graph.replace(name="a\x1b[2J\nb", metadata=Metadata(**fields | {"labels": HOSTILE}))


@pytest.fixture
def hostile(tmp_path):
    """Folder with classify\\x1b[2J.bin and detect\\x1b[2J.bin."""
    writer.write(with_hostile_words(tiny.colour_classifier()), tmp_path / "classify\x1b[2J.bin")
    writer.write(with_hostile_words(tiny.colour_detector()), tmp_path / "detect\x1b[2J.bin")
    return tmp_path


def harmless(text):
    return all(letter.isprintable() or letter in "\n\t" for letter in text) and "\nedgert: all is lost" not in text


def test_no_command_prints_what_steers_a_terminal(edgert, hostile, colour_pictures):
    classify, detect = hostile / "classify\x1b[2J.bin", hostile / "detect\x1b[2J.bin"
    for words in (
        ("run", classify, colour_pictures),
        ("run", classify, colour_pictures, "--json"),
        ("run", detect, "--source", "synthetic:64x64@100,frames=3"),
        ("run", detect, "--source", "synthetic:64x64@100,frames=3", "--json"),
        ("run", detect, "--source", "/dev/vid\x1b[2Jeo"),
        ("inspect", classify),
        ("inspect", detect, "--json"),
        ("verify", detect),
        ("serve", detect),
        ("verify", hostile / "none\x1b[2J.bin"),
        ("run", classify, hostile / "none\x1b[2J\nedgert: all is lost.png"),
    ):
        _, out, err = edgert(*words)
        assert out or err
        assert harmless(out), words
        assert harmless(err), words
