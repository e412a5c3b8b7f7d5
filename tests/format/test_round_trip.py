"""Graph -> file -> graph: nothing is lost, the same graph gives the same bytes, other FlatBuffers readers agree."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from craft import replace_node, replace_tensor, split, tiny_graph
from flatbuffers import number_types as N
from flatbuffers.table import Table

from edgert.errors import InputError, ModelFormatError
from edgert.format import reader, schema, writer
from edgert.graph import TOKENS, Graph, Head, Metadata, Node, Quant, Tensor


def text_graph():
    """A graph with a symbolic dimension, a state and a matrix of 300 KB."""
    tensors = (
        Tensor("x", "float32", (TOKENS, 4)),
        Tensor("cache", "float32", (1, 4), state=True),
        Tensor("sum", "float32", (TOKENS, 4)),
        Tensor("weight", "int8", (75_000, 4), Quant((0.5,), 3), bytes(range(250)) * 1200),
        Tensor("row", "int32", (1,), None, struct.pack("<i", 7)),
        Tensor("picked", "int8", (1, 4), Quant((0.5,), 3)),
    )
    nodes = (Node("add", (0, 1), (2,), {"clamp_min": -1.5}), Node("gather", (3, 4), (5,), {"axis": 0}))
    return Graph("text", tensors, nodes, (0,), (2, 5))


def detector_graph():
    """A graph with a head that leaves no field at its default."""
    graph = tiny.colour_detector()
    head = Head(
        "ssd", ("class:softmax box",), anchors=(0.5, 0.25, 0.125, 1.0) * 24, scales=(0.1, 0.1, 0.2, 0.3),
        box_order="yxhw", background=1, score_threshold=0.3, iou_threshold=0.6, max_boxes=7,
    )  # fmt: skip
    return graph.replace(metadata=graph.metadata.replace(head=head))


GRAPHS = {"tiny": tiny_graph(), "text": text_graph(), "yolo": tiny.colour_detector(), "ssd": detector_graph()}


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_a_graph_comes_back_equal_and_writes_the_same_bytes_again(graph, tmp_path):
    content = writer.to_bytes(graph)
    loaded = reader.read_bytes(content)
    assert loaded.graph == graph
    assert writer.to_bytes(loaded.graph) == content
    writer.write(graph, tmp_path / "model.bin")
    assert (tmp_path / "model.bin").read_bytes() == content
    assert reader.read(tmp_path / "model.bin").graph == graph


def test_constants_are_views_into_the_mapped_file_aligned_to_64_bytes(tmp_path):
    writer.write(text_graph(), tmp_path / "model.bin")
    loaded = reader.read(str(tmp_path / "model.bin"))
    assert loaded.data_offset % 16_384 == 0
    assert loaded.size == (tmp_path / "model.bin").stat().st_size
    start = loaded.map.find(bytes(range(250)) * 1200)
    assert start == loaded.data_offset
    assert loaded.graph.tensors[3].data.readonly
    assert bytes(loaded.graph.tensors[3].data[:3]) == b"\0\1\2"
    assert (loaded.map.find(struct.pack("<i", 7), start + 300_000) - start) % 64 == 0


def test_a_small_model_is_not_padded_to_a_page():
    assert len(writer.to_bytes(tiny_graph())) < 3_000


def test_constants_may_be_any_contiguous_buffer():
    np = pytest.importorskip("numpy")
    weight = np.array([1, 2, 3, 4], np.int8).reshape(2, 1, 1, 2)
    assert writer.to_bytes(replace_tensor(tiny_graph(), "w", data=weight)) == writer.to_bytes(tiny_graph())


def test_attributes_keep_their_types():
    nodes = reader.read_bytes(writer.to_bytes(tiny_graph())).graph.nodes
    assert [type(value) for value in nodes[0].attrs.values()] == [int, int]
    assert type(nodes[4].attrs["beta"]) is float


def test_verify_reports_digests_and_counts_and_finds_damaged_weights(tmp_path):
    path = tmp_path / "model.bin"
    writer.write(tiny_graph(), path)
    report = reader.verify(path)
    assert (report.tensors, report.nodes, report.golden, report.version) == (8, 5, 1, (1, 0))
    assert len(report.program_sha256) == len(report.data_sha256) == 64
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    reader.read(path)  # wrong weights do no harm: loading does not read them
    with pytest.raises(ModelFormatError, match="weights are damaged"):
        reader.verify(path)


def test_writer_refuses_what_it_cannot_write_exactly():
    with pytest.raises(ModelFormatError):
        writer.to_bytes(replace_tensor(tiny_graph(), "x", quant=Quant((0.1,), 1)))  # no float32
    with pytest.raises(ModelFormatError):
        writer.to_bytes(replace_node(tiny_graph(), 4, attrs={"beta": [1]}))
    with pytest.raises(ModelFormatError, match="written exactly"):
        writer.to_bytes(tiny_graph().replace(metadata=Metadata(labels=["a", "b"])))


def test_writer_leaves_the_old_file_and_no_other_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")
    with pytest.raises(ModelFormatError):
        writer.write(tiny_graph().replace(outputs=(99,)), path)
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        writer.write(tiny_graph(), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.bin"]


def test_writer_follows_a_link_and_does_not_replace_a_device(tmp_path):
    (tmp_path / "link.bin").symlink_to("model.bin")
    writer.write(tiny_graph(), tmp_path / "link.bin")
    assert (tmp_path / "link.bin").is_symlink()
    reader.read(tmp_path / "model.bin")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="regular file"):
        writer.write(tiny_graph(), tmp_path / "fifo")


def test_the_reader_needs_no_package():
    code = (
        "import sys; before = set(sys.modules); from edgert.format import reader\n"
        "heavy = 'numpy flatbuffers hashlib dataclasses enum typing re pathlib collections functools inspect'\n"
        "print(sorted((set(sys.modules) - before) & set(heavy.split())))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout.strip(), result.stderr) == ("[]", "")


def test_schema_py_says_what_model_fbs_says():
    text = re.sub(r"//.*", "", (Path(schema.__file__).parent / "model.fbs").read_text())
    formats = {"DType": "B", "ubyte": "B", "bool": "?", "int": "i", "long": "q", "ulong": "Q", "double": "d"}
    tables = re.findall(r"table (\w+) \{(.*?)\}", text, re.DOTALL)
    assert {name for name, _ in tables} == {table.name for table in schema.TABLES}
    for table in schema.TABLES:
        fields = re.findall(r"(\w+):\s*([\[\]\w]+)(?:\s*=\s*(-?\d+))?;", dict(tables)[table.name])
        assert table.fields == tuple(name for name, _, _ in fields)
        assert table.formats == tuple(formats.get(kind, "O") for _, kind, _ in fields)
        assert table.defaults == [int(default or 0) for _, _, default in fields]
    enum = re.search(r"enum DType : ubyte \{(.*?)\}", text).group(1)
    assert tuple(item.split("=")[0].strip() for item in enum.split(",")) == schema.DTYPES


class Walker:
    """A table seen through the `flatbuffers` package; fields by their name in model.fbs."""

    def __init__(self, buffer, position, table):
        self.table, self.schema = Table(buffer, position), table

    def _slot(self, name):
        return self.table.Offset(4 + 2 * self.schema.fields.index(name))

    def number(self, name, kind):
        return self.table.Get(kind, self.table.Pos + self._slot(name)) if self._slot(name) else 0

    def string(self, name):
        return self.table.String(self.table.Pos + self._slot(name)).decode()

    def numbers(self, name, kind):
        slot = self._slot(name)
        start, n = self.table.Vector(slot), self.table.VectorLen(slot)
        return [self.table.Get(kind, start + i * kind.bytewidth) for i in range(n)]

    def child(self, name, table):
        return Walker(self.table.Bytes, self.table.Indirect(self.table.Pos + self._slot(name)), table)

    def children(self, name, table):
        start, n = self.table.Vector(self._slot(name)), self.table.VectorLen(self._slot(name))
        return [Walker(self.table.Bytes, self.table.Indirect(start + 4 * i), table) for i in range(n)]


def test_the_flatbuffers_package_reads_the_same():
    graph = text_graph()
    program, data = split(writer.to_bytes(graph))
    buffer = bytearray(program)
    root = Walker(buffer, struct.unpack_from("<I", program)[0], schema.PROGRAM)
    assert root.string("name") == "text"
    assert root.numbers("outputs", N.Int32Flags) == [2, 5]
    x, cache, _, weight, row, _ = root.children("tensors", schema.TENSOR)
    assert x.numbers("shape", N.Int32Flags) == [-1, 4]
    assert cache.number("is_state", N.BoolFlags)
    assert weight.string("name") == "weight"
    assert weight.child("quant", schema.QUANT).number("zero_point", N.Int32Flags) == 3
    assert weight.child("quant", schema.QUANT).numbers("scale", N.Float32Flags) == [0.5]
    start, size = (row.number(name, N.Uint64Flags) for name in ("data_offset", "data_bytes"))
    assert data[start : start + size] == struct.pack("<i", 7)
    add, gather = root.children("nodes", schema.NODE)
    assert gather.string("op") == "gather"
    assert gather.numbers("inputs", N.Int32Flags) == [3, 4]
    attr = add.children("attrs", schema.ATTR)[0]
    assert (attr.string("name"), attr.number("f", N.Float64Flags)) == ("clamp_min", -1.5)
