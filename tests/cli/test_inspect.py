"""edgert inspect: the table, the JSON and the page of small models, hostile names included."""

import json
from html.parser import HTMLParser

import pytest
import tiny

from edgert.cli.facts import gather
from edgert.cli.page.arena_svg import alive_bytes
from edgert.cli.page.document import page
from edgert.cli.page.graph_svg import MAX_DRAWN_NODES
from edgert.format import writer
from edgert.graph import Metadata
from edgert.macs import node_macs
from edgert.session import Session


def facts_of(graph):
    return gather(Session(writer.to_bytes(graph)), "model.bin")


class Page(HTMLParser):
    """Checks that tags nest, and keeps classes, ids and whatever would load something from elsewhere."""

    VOID = {"meta", "br", "link", "img", "input"}
    OPTIONAL_END = {"th", "p", "li"}

    def __init__(self, text):
        super().__init__()
        self.open, self.classes, self.ids, self.links, self.text = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.classes += (attrs.get("class") or "").split()
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs[name] for name in ("href", "src") if name in attrs]
        if tag not in self.VOID | self.OPTIONAL_END:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID | self.OPTIONAL_END:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.OPTIONAL_END:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_table_names_every_node_with_shape_tier_and_work(edgert, model_files):
    code, out, _ = edgert("inspect", model_files / "colours.bin", "--tier", "reference")
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert [
        "0",
        "conv2d",
        "1x8x8x3",
        "1x4x4x4",
        "int8",
        "reference",
        "conv2d__reference",
        "124",
        "B",
        "1.73",
        "k",
    ] in rows
    assert [row[1] for row in rows[-4:]] == ["conv2d", "reduce", "linear", "softmax"]
    assert "classify, 3 labels" in out


def test_json_is_one_object_with_arena_and_tensors(edgert, model_files):
    code, out, _ = edgert("inspect", model_files / "residual.bin", "--json")
    assert code == 0
    assert len(out.splitlines()) == 1
    facts = json.loads(out)
    assert [node["op"] for node in facts["nodes"]] == ["conv2d", "depthwise_conv2d", "conv2d", "add"]
    assert facts["macs"] == 36 * 8 * (9 * 8 + 9 + 8)
    assert facts["weight_bytes"] == sum(t["bytes"] for t in facts["tensors"] if t["role"] == "constant")
    for slot in facts["arena"]:
        assert slot["offset"] + slot["bytes"] <= facts["arena_bytes"]


@pytest.mark.parametrize("make", [tiny.colour_classifier, tiny.residual_block, tiny.two_heads])
def test_the_page_is_whole_and_loads_nothing_from_elsewhere(make):
    facts = facts_of(make())
    text = page(facts)
    parsed = Page(text)
    assert parsed.open == []
    assert parsed.links == []
    assert "http" not in text
    assert parsed.classes.count("card") == len(facts["nodes"])
    assert parsed.classes.count("end") == len(facts["inputs"]) + len(facts["outputs"])
    assert parsed.classes.count("slot") == len(facts["arena"])
    assert {f"node-{node['index']}" for node in facts["nodes"]} <= set(parsed.ids)


def test_the_page_shows_tiers_kernels_and_origin():
    graph = tiny.colour_classifier()
    metadata = graph.metadata.replace(provenance={"source": "colours.tflite"}, report="4 nodes")
    facts = gather(Session(writer.to_bytes(graph.replace(metadata=metadata)), tier="reference"), "c.bin")
    text = " ".join(Page(page(facts)).text)
    for shown in ("reference", "conv2d", "1x4x4x4", "colours.tflite", "4 nodes", "red, green, blue", "mean 127.5"):
        assert shown in text


def test_names_from_a_hostile_file_stay_text():
    evil = '"><script>alert(1)</script>&'
    graph = tiny.two_heads()
    tensors = tuple(tensor.replace(name=evil + tensor.name) for tensor in graph.tensors)
    nodes = tuple(node.replace(name=evil) for node in graph.nodes)
    metadata = Metadata("classify", (evil,) * 4, None, (), {evil: evil}, evil)
    facts = facts_of(
        graph.replace(name=evil, tensors=tensors, nodes=nodes, metadata=metadata, outputs=graph.outputs[:1])
    )
    facts["file"] = evil
    text = page(facts)
    assert "<script>alert" not in text
    assert Page(text).open == []


def test_html_goes_to_a_file_or_stdout_and_never_half(edgert, model_files, tmp_path):
    target = tmp_path / "page.html"
    code, out, err = edgert("inspect", model_files / "colours.bin", "--html", target)
    assert (code, out) == (0, "")
    assert "wrote" in err
    assert target.read_text().startswith("<!doctype html>")
    assert edgert("inspect", model_files / "colours.bin", "--html", "-")[1] == target.read_text()
    code, _, err = edgert("inspect", model_files / "colours.bin", "--html", tmp_path / "no folder" / "x.html")
    assert code == 1
    assert "no folder" in err
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_node_without_a_step_says_why():
    b = tiny.GraphBuilder("view")
    b.tensor("x", "int8", (2, 3), 0.1)
    b.tensor("flat", "int8", (6,), 0.1)
    b.node("reshape", "x", "flat")
    b.tensor("y", "int8", (6,), 0.1)
    b.node("add", ["flat", "flat"], "y")
    facts = facts_of(b.graph(["x"], ["y"]))
    assert (facts["nodes"][0]["tier"], facts["nodes"][0]["kernel"]) == ("none", "a view of its input")
    assert facts["steps"] == [1]


def test_the_peak_of_what_is_alive_is_within_the_arena():
    facts = facts_of(tiny.residual_block())
    assert 2 * 288 <= max(alive_bytes(facts)) <= facts["arena_bytes"]


def test_a_graph_too_large_to_draw_is_listed_instead():
    facts = facts_of(tiny.residual_block())
    facts["nodes"] = [facts["nodes"][3]] * (MAX_DRAWN_NODES + 1)
    assert "too many to draw" in page(facts)


@pytest.mark.parametrize(
    ("op", "shapes", "out", "attrs", "macs"),
    [
        ("conv2d", [(1, 8, 8, 6), (4, 3, 3, 3)], (1, 8, 8, 4), {"groups": 2}, 256 * 27),
        ("depthwise_conv2d", [(1, 8, 8, 6), (3, 3, 12)], (1, 8, 8, 12), {}, 768 * 9),
        ("transpose_conv2d", [(1, 4, 4, 6), (5, 2, 2, 6)], (1, 8, 8, 5), {}, 96 * 4 * 5),
        ("linear", [("tokens", 64), (10, 64)], ("tokens", 10), {}, 7 * 640),
        ("batch_matmul", [(2, 3, 4), (2, 4, 5)], (2, 3, 5), {}, 120),
        ("batch_matmul", [(2, 4, 3), (2, 4, 5)], (2, 3, 5), {"transpose_a": 1}, 120),
        ("add", [(2, 3), (2, 3)], (2, 3), {}, 0),
    ],
)
def test_work_is_counted_per_op(op, shapes, out, attrs, macs):
    from edgert.graph import Node, Tensor

    tensors = [Tensor("t", "int8", shape) for shape in (*shapes, out)]
    node = Node(op, tuple(range(len(shapes))), (len(shapes),), attrs)
    assert node_macs(node, tensors, tokens=7) == macs


def test_names_that_would_steer_a_terminal_are_shown_as_marks(edgert, tmp_path):
    evil = "\x1b[2J\x9bfoo\nbar"
    graph = tiny.colour_classifier()
    metadata = graph.metadata.replace(labels=(evil,) * 3)
    tensors = (graph.tensors[0].replace(name=evil), *graph.tensors[1:])
    writer.write(graph.replace(metadata=metadata, tensors=tensors), tmp_path / "evil.bin")
    (tmp_path / "x.raw").write_bytes(bytes(192))
    (tmp_path / "short.raw").write_bytes(bytes(3))
    for words in (("inspect", tmp_path / "evil.bin"), ("run", tmp_path / "evil.bin", tmp_path / "x.raw")):
        code, out, _ = edgert(*words)
        assert code == 0
        assert "?[2J?foo?bar" in out
        assert "\x1b" not in out
        assert "\x9b" not in out
    _, _, err = edgert("run", tmp_path / "evil.bin", tmp_path / "short.raw")
    assert "\x1b" not in err
    assert err.count("\n") == 1
