import pytest

from edgert.cli.text import bytes_text, count_text, shape_text, shorten, table, time_text


def test_table_pads_to_the_widest_cell_and_aligns():
    assert table(["name", "n"], [["a", 1], ["longer", 1234]], "lr") == "name       n\na          1\nlonger  1234"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 20, "3 MiB"), (5 << 40, "5.12e+03 GiB")]
)
def test_bytes(count, text):
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1 k"), (300_774_272, "301 M"), (12.3e9, "12.3 G"), (4e12, "4 T")],
)
def test_counts(count, text):
    assert count_text(count) == text


@pytest.mark.parametrize(("ns", "text"), [(12, "12 ns"), (9_100, "9.1 us"), (999_600, "1 ms"), (2.5e9, "2.5 s")])
def test_times(ns, text):
    assert time_text(ns) == text


def test_shapes_and_names():
    assert shape_text((1, 8, 8, 3)) == "1x8x8x3"
    assert shape_text(()) == "scalar"
    assert shorten("block_1/conv/weights", 11) == "block…ights"
    assert shorten("short", 11) == "short"
