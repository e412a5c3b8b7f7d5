"""The roof of a CPU and the picture of a model under it. Nothing is judged by its time."""

from xml.etree import ElementTree

import pytest

from edgert import machine
from edgert.cli import peak, profile
from edgert.cli.peak import Roof
from edgert.cli.roofline_svg import draw_roofline

ROOF = Roof(200.0, 100.0, 1 << 20, 10.0, 1 << 27)


def row(node, op="conv2d", ns=1000, macs=100_000, nbytes=1000, kernel="conv2d__x"):
    return {
        "node": node,
        "op": op,
        "shape": [1, 8, 8, 4],
        "kernel": kernel,
        "ns": ns,
        "macs": macs,
        "bytes": nbytes,
        "gmacs": macs / ns if macs else None,
    }


def elements(svg, name):
    return ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}" + name)


@pytest.mark.parametrize(
    ("macs", "nbytes", "limit"),
    [(2000, 100, (10, "compute")), (100, 2000, (20, "memory")), (0, 500, (5, "memory"))],
)
def test_a_roof_says_what_a_node_waits_for(macs, nbytes, limit):
    assert ROOF.limit(macs, nbytes) == limit


def test_the_picture_names_roofs_nodes_and_what_is_left_out():
    rows = [row(0), row(1, "depthwise_conv2d", 500, 9_000), row(2, "add", 300, 0), row(3, "linear", 1, 10, 20)]
    svg = draw_roofline("model on CPU", ROOF, rows)
    texts = [element.text for element in elements(svg, "text")]
    assert "int8 peak 200 GMAC/s" in texts
    assert "this model's 1 MiB: 100 GB/s" in texts
    assert "from memory: 10 GB/s" in texts
    assert {"0", "1", "3"} <= set(texts)
    assert "conv2d 56 %" in texts
    assert any("1 nodes without multiplications (add, pool, ...) take 17 %" in (text or "") for text in texts)
    assert sum(1 for _ in elements(svg, "title")) == 3


def test_dots_lie_where_their_work_and_speed_are():
    svg = draw_roofline("m", ROOF, [row(0, macs=100_000, ns=1000), row(1, macs=1000, ns=1000)])
    fast, slow = [dot for dot in elements(svg, "circle") if dot.get("stroke")]
    assert float(fast.get("cx")) > float(slow.get("cx"))
    assert float(fast.get("cy")) < float(slow.get("cy"))


@pytest.mark.parametrize("rows", [[], [row(0, macs=0)], [row(n) for n in range(60)], [row(0, ns=10**9, macs=1)]])
def test_any_number_of_nodes_gives_a_picture(rows):
    svg = draw_roofline("m", ROOF, rows)
    assert "nan" not in svg
    for dot in elements(svg, "circle"):
        assert 0 < float(dot.get("cx")) < 960
        assert 0 < float(dot.get("cy")) < 600


def test_names_are_text_and_never_markup():
    svg = draw_roofline("</text><script>", ROOF, [row(0, op="<b>&", kernel='"><script>')])
    assert "<script" not in svg
    assert any("<b>&" in (element.text or "") for element in elements(svg, "text"))


def test_profile_draws_into_the_file(edgert, model_files, tmp_path, monkeypatch):
    monkeypatch.setattr(profile, "measure_roof", lambda *_: ROOF)
    code, _, err = edgert("profile", model_files / "residual.bin", "--runs", 1, "--plot", tmp_path / "p.svg")
    assert (code, err) == (0, "")
    assert "residual" in next(iter(elements((tmp_path / "p.svg").read_text(), "text"))).text
    code, _, err = edgert("profile", model_files / "residual.bin", "--plot", tmp_path / "p.png")
    assert (code, err.count("\n")) == (1, 1)
    assert "ends in .svg" in err
    code, _, err = edgert("profile", model_files / "residual.bin", "--runs", 1, "--plot", tmp_path / "no" / "p.svg")
    assert (code, err.count("\n")) == (1, 1)


def test_roofs_are_measured_with_the_kernels_at_hand(monkeypatch):
    monkeypatch.setattr(peak, "ROWS", 8)
    monkeypatch.setattr(peak, "beyond_caches", lambda: 1 << 20)
    monkeypatch.setattr(peak, "measure", lambda function, **_: [function() or 1000])
    made = peak.measure_roof(1, None, 5000)
    assert (made.peak, made.model_bytes) == (8 * 512 * 512 / 1000, 256 << 10)
    assert made.bandwidth == (256 << 10) / 1000
    assert made.memory == (1 << 20) / 1000


def test_memory_is_read_beyond_the_last_cache(tmp_path, monkeypatch):
    for index, size in enumerate(("32K", "1024K", "8M", "what", "")):
        folder = tmp_path / "sys/devices/system/cpu/cpu0/cache" / f"index{index}"
        folder.mkdir(parents=True)
        (folder / "size").write_text(size + "\n")
    assert machine.last_cache_bytes(str(tmp_path)) == 8 << 20
    assert machine.last_cache_bytes(str(tmp_path / "sys")) == 0
    plenty, huge = 1 << 40, 1 << 30
    for cache, available, expected in (
        (8 << 20, plenty, 32 << 20),
        (0, plenty, 16 << 20),
        (huge, plenty, 256 << 20),
        (8 << 20, 64 << 20, 8 << 20),
    ):
        monkeypatch.setattr(machine, "last_cache_bytes", lambda cache=cache: cache)
        monkeypatch.setattr(machine, "memory_bytes", lambda available=available: (available, available))
        assert peak.beyond_caches() == expected
