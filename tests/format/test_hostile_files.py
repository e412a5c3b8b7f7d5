"""Files built to hurt the reader. Each is refused with a ModelFormatError, or loads, is valid, and runs in bounds."""

import math
import os
import struct
import tracemalloc

import pytest
from craft import forge, recrc, replace_node, replace_tensor, seal, split, tiny_graph, with_header
from flatbuffers import Builder

from edgert.errors import EdgertError, ModelFormatError
from edgert.format import reader, schema, writer
from edgert.format.flat import Flat
from edgert.format.header import PREFIX_BYTES
from edgert.graph import MAX_DIM, TOKENS, Node, Quant, Tensor
from edgert.session import Session

GRAPH = tiny_graph()
CONTENT = writer.to_bytes(GRAPH)
PROGRAM, DATA = split(CONTENT)


def load_and_run(content):
    """Whether it loaded; what loads must also run, or be refused by name (an arena larger than the machine)."""
    try:
        loaded = reader.read_bytes(content).graph
        if all(getattr(loaded, what) == getattr(GRAPH, what) for what in ("tensors", "nodes", "inputs", "outputs")):
            return True  # only metadata changed
        session = Session(content, threads=1)
    except ModelFormatError:
        return False
    outputs = session.run_buffers([bytes(tensor.nbytes) for tensor in session.inputs])
    assert [view.nbytes for view in outputs] == [tensor.nbytes for tensor in session.outputs]
    return True


def refused(content, *words):
    with pytest.raises(ModelFormatError) as caught:
        reader.read_bytes(content)
    for word in words:
        assert word in str(caught.value)


def test_every_truncation_is_refused():
    for n in range(len(CONTENT)):
        refused(CONTENT[:n])


def test_every_truncation_with_a_repaired_header_is_refused():
    for n in range(PREFIX_BYTES, len(CONTENT)):
        refused(with_header(CONTENT[:n], file_bytes=n))
    for n in range(len(PROGRAM)):
        load_and_run(seal(PROGRAM[:n], DATA))


def test_every_flipped_bit_of_header_digest_and_program_is_noticed():
    for bit in range(8 * (PREFIX_BYTES + len(PROGRAM))):
        refused(flipped(CONTENT, bit))


def test_every_flipped_bit_of_the_header_with_the_checksum_repaired():
    loads = [load_and_run(recrc(flipped(CONTENT, bit))) for bit in range(8 * PREFIX_BYTES)]
    assert sum(loads) == 16 + 32  # the minor version; the checksum itself, which was repaired


def test_every_flipped_bit_of_the_program_with_all_checksums_repaired():
    loads = [load_and_run(seal(flipped(PROGRAM, bit), DATA)) for bit in range(8 * len(PROGRAM))]
    assert 0 < sum(loads) < len(loads)  # a letter of a name or a digit of a scale may change; structure may not


@pytest.mark.parametrize("value", [0, 1, 3, 2**15, 2**31 - 4, 2**31, 2**32 - 4, 2**32 - 1])
def test_every_word_of_the_program_replaced(value):
    for position in range(0, len(PROGRAM) - 3, 4):
        load_and_run(seal(PROGRAM[:position] + struct.pack("<I", value) + PROGRAM[position + 4 :], DATA))


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize(
    "value", [0, 1, 95, 97, 4096, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 64, 2**64 - 1]
)
@pytest.mark.parametrize("field", ["program_offset", "program_bytes", "data_offset", "data_bytes", "file_bytes"])
def test_extents_in_the_header_past_the_file_or_summing_over_2_63_are_refused(field, value):
    refused(with_header(CONTENT, **{field: value}))
    refused(with_header(CONTENT, data_bytes=2**64 - len(CONTENT), **{field: value} if field != "data_bytes" else {}))


def test_an_unknown_major_is_named_before_anything_else_is_judged():
    refused(CONTENT[:8] + struct.pack("<H", 2) + CONTENT[10:], "2.0", "1.x")


def test_a_newer_minor_is_read():
    assert reader.read_bytes(with_header(CONTENT, minor=9)).version == (1, 9)


def test_appended_bytes_are_refused():
    refused(CONTENT + b"\0", "appended")
    refused(with_header(CONTENT + b"\0", file_bytes=len(CONTENT) + 1))
    refused(with_header(CONTENT + b"\0", file_bytes=len(CONTENT) + 1, data_bytes=len(DATA) + 1), "constants end")


def test_bytes_hidden_in_the_padding_are_refused():
    end = PREFIX_BYTES + len(PROGRAM)
    padding = CONTENT.index(DATA, end) - end
    assert padding
    refused(CONTENT[:end] + b"\1" * padding + DATA, "zero")


def test_other_formats_are_named():
    refused(b"\x1c\0\0\0TFL3" + bytes(200), "TensorFlow Lite")
    refused(b"\x89PNG\r\n\x1a\n" + bytes(200), "not an edgert model")
    refused(b"", "0 bytes")


def test_an_unknown_required_feature_is_refused(monkeypatch):
    monkeypatch.setattr(writer._Writer, "table", with_feature(writer._Writer.table))
    refused(forge(tiny_graph()), "int3", "newer")


def with_feature(table):
    def wrapped(self, schema_table, **values):
        if schema_table is schema.PROGRAM:
            values["required_features"] = self.references([self.string("int3")])
        return table(self, schema_table, **values)

    return wrapped


EXTENTS = [0, 1, 63, 64, 128, 192, 2**31 - 1, 2**31, 2**32 - 64, 2**32, 2**63 - 64, 2**63, 2**64 - 64, 2**64 - 1]


@pytest.mark.parametrize("field", ["data_offset", "data_bytes"])
@pytest.mark.parametrize("value", EXTENTS)
def test_constants_past_the_end_overlapping_or_with_holes_are_refused(field, value):
    position, good = field_of_tensor(2, field)
    assert good == {"data_offset": 64, "data_bytes": 8}[field]
    content = seal(PROGRAM[:position] + struct.pack("<Q", value) + PROGRAM[position + 8 :], DATA)
    if value == good:
        reader.read_bytes(content)
    else:
        refused(content, "data")


def field_of_tensor(index, name):
    """(byte position, value) of a u64 field of a tensor in PROGRAM."""
    flat = Flat(PROGRAM)
    tensors = flat.references(flat.table(flat.root(), schema.PROGRAM)[1], 100, "tensors")
    table, field = tensors[index], schema.TENSOR.fields.index(name)
    vtable = table - struct.unpack_from("<i", PROGRAM, table)[0]
    position = table + struct.unpack_from("<H", PROGRAM, vtable + 4 + 2 * field)[0]
    return position, struct.unpack_from("<Q", PROGRAM, position)[0]


def test_a_computed_tensor_with_bytes_in_the_file_is_refused():
    table = writer._Writer.table

    class Liar(writer._Writer):
        def table(self, schema_table, **values):
            return table(self, schema_table, **values | ({"data_bytes": 8} if schema_table is schema.TENSOR else {}))

    refused(seal(Liar().program(tiny_graph(), bytes(32)), DATA), "not a constant")


BAD_TENSORS = [
    ("w", {"shape": (2, 1, 1, 3)}),
    ("w", {"shape": (2, 1, 1, 2, 1)}),
    ("w", {"shape": (MAX_DIM, MAX_DIM, MAX_DIM, MAX_DIM)}),
    ("w", {"shape": (2, 1, 1, TOKENS)}),
    ("x", {"shape": (1, 2, 2, 3)}),
    ("x", {"shape": (1, 2, 0, 2)}),
    ("x", {"shape": (1, -2, 2, 2)}),
    ("x", {"shape": (2**31 - 1,) * 6}),
    ("x", {"shape": (1,) * 7}),
    ("x", {"shape": (TOKENS, TOKENS, 2, 2)}),
    ("x", {"dtype": "float32"}),
    ("x", {"name": ""}),
    ("x", {"name": "y"}),
    ("x", {"name": "a\0b"}),
    ("x", {"name": "n" * 1_025}),
    ("x", {"quant": None}),
    ("x", {"state": True}),
    ("w", {"state": True}),
    *[("x", {"quant": Quant((scale,), 1)}) for scale in (0.0, -0.5, math.nan, math.inf, -math.inf)],
    *[("x", {"quant": Quant((0.5,), zero)}) for zero in (128, -129, 2**31 - 1, -(2**31))],
    *[
        ("w", {"quant": Quant(scale, 0, axis)})
        for scale, axis in [((), 0), ((1.0,) * 3, 0), ((1.0,) * 2, 7), ((1.0,), 0)]
    ],
    *[("x", {"quant": Quant(scale, 1, axis)}) for scale, axis in [((0.5, 0.5), None), ((0.5, 0.5), 3), ((0.5,), -2)]],
]


@pytest.mark.parametrize(("name", "changes"), BAD_TENSORS, ids=lambda value: repr(value)[:40])
def test_impossible_tensors_are_refused(name, changes):
    refused(forge(replace_tensor(tiny_graph(), name, **changes)))


BAD_NODES = [
    (0, {"op": "conv3d"}),
    (0, {"op": ""}),
    (0, {"inputs": (0,)}),
    (0, {"inputs": (0, 1, 2, 2)}),
    (0, {"inputs": (3, 1, 2)}),  # its own output: a cycle
    (0, {"inputs": (4, 1, 2)}),  # a later one's
    (0, {"inputs": (0, 1, 99)}),
    (0, {"inputs": (-2, 1, 2)}),
    (0, {"inputs": (0, -1, 2)}),
    (0, {"inputs": (2**31 - 1, 1, 2)}),
    (0, {"outputs": ()}),
    (0, {"outputs": (0,)}),
    (0, {"outputs": (1,)}),
    (0, {"outputs": (-1,)}),
    (1, {"outputs": (3,)}),
    *[(0, {"attrs": {"stride_h": stride}}) for stride in (0, -1, 2**31, 2**63 - 1, -(2**63))],
    *[(0, {"attrs": {name: 2**62}}) for name in ("pad_top", "dilation_h", "groups", "clamp_max")],
    (0, {"attrs": {"groups": 3}}),
    (0, {"attrs": {"stride_h": 1.0}}),
    (0, {"attrs": {"unheard_of": 1}}),
    (0, {"attrs": {"clamp_min": 5, "clamp_max": -5}}),
    (2, {"attrs": {}}),
    (2, {"attrs": {"axis": 4}}),
    (2, {"attrs": {"axis": -1}}),
    (2, {"attrs": {"axis": 2}}),
    (2, {"inputs": ()}),
    *[(4, {"attrs": {"beta": beta}}) for beta in (math.inf, -math.inf, math.nan)],
    (4, {"attrs": {"beta": "two"}}),
    (4, {"attrs": {"beta": (1, 2)}}),
]


@pytest.mark.parametrize(("position", "changes"), BAD_NODES, ids=repr)
def test_impossible_nodes_are_refused_by_name(position, changes):
    refused(forge(replace_node(tiny_graph(), position, **changes)), f"node {position}")


def test_a_missing_producer_is_refused_at_the_consumer():
    refused(forge(replace_node(tiny_graph(), 0, outputs=(4,))), "node 1", "'c'")


BAD_GRAPHS = [
    *[{"inputs": inputs} for inputs in [(9,), (-1,), (0, 0), (1,)]],
    *[{"outputs": outputs} for outputs in [(), (8,), (-1,)]],
    {"nodes": ()},
    {"tensors": ()},
]


@pytest.mark.parametrize("changes", BAD_GRAPHS, ids=repr)
def test_impossible_graphs_are_refused(changes):
    refused(forge(tiny_graph().replace(**changes)))


def test_an_accumulator_that_could_overflow_is_refused():
    """K * 128 * 127 reaches 2**31 at K = 132,105."""
    k = 132_200
    graph = tiny_graph()
    q, w = Quant((0.5,), 1), Quant((0.5,), 0)
    tensors = (Tensor("x", "int8", (1, k), q), Tensor("w", "int8", (1, k), w, bytes(k)), Tensor("y", "int8", (1, 1), q))
    graph = graph.replace(tensors=tensors, nodes=(Node("linear", (0, 1), (2,)),), inputs=(0,), outputs=(2,))
    refused(forge(graph.replace(metadata=graph.metadata.replace(golden=()))), "node 0")


BAD_METADATA = [
    {"labels": ("a\0b",)},
    {"labels": ("a",) * 65_537},
    {"labels": ("a" * 1_025,)},
    {"provenance": {f"key {i}": "" for i in range(1_025)}},
    {"provenance": {"k" * 1_025: ""}},
    {"provenance": {"k": "v" * 65_537}},
    {"report": "r" * (2**20 + 1)},
    {"task": "t\0"},
    {"golden": (((bytes(7),), (bytes(64),)),)},
    {"golden": (((), (bytes(64),)),)},
    {"golden": ((((bytes(8)),), (bytes(64),)),) * 65},
]


@pytest.mark.parametrize("changes", BAD_METADATA, ids=lambda changes: next(iter(changes)))
def test_metadata_over_its_caps_or_not_fitting_the_graph_is_refused(changes):
    graph = tiny_graph()
    refused(forge(graph.replace(metadata=graph.metadata.replace(**changes))))


BAD_PREPROCESSING = [
    {"channels": "CMYK"},
    {"resize": "tile"},
    *[{"mean": mean} for mean in [(), (math.nan,), (0.0,) * 5]],
    *[{"std": std} for std in [(0.0,), (math.inf, 1.0, 1.0)]],
]


@pytest.mark.parametrize("changes", BAD_PREPROCESSING, ids=repr)
def test_impossible_preprocessing_is_refused(changes):
    graph = tiny_graph()
    preprocess = graph.metadata.preprocess.replace(**changes)
    refused(forge(graph.replace(metadata=graph.metadata.replace(preprocess=preprocess))), "preprocess")


def test_text_that_is_not_utf8_is_refused():
    for wrong in (b"\xffiny", b"\xc0\x80ny", b"\xed\xa0\x80y"):
        refused(seal(PROGRAM.replace(b"tiny\0", wrong + b"\0"), DATA), "UTF-8")


def test_names_that_occur_twice_are_refused():
    refused(seal(PROGRAM.replace(b"\3\0\0\0cat\0", b"\3\0\0\0sum\0"), DATA), "'sum'")
    refused(
        seal(
            PROGRAM.replace(b"clamp_min\0", b"stride_h\0\0").replace(b"\x09\0\0\0stride_h", b"\x08\0\0\0stride_h"), DATA
        )
    )


def bomb(n_references, shared_bytes):
    """A program whose `labels` refer to one long string over and over, `n_references` times."""
    builder = Builder(1024)
    text = builder.CreateString("x" * shared_bytes)
    builder.StartVector(4, n_references, 4)
    for _ in range(n_references):
        builder.PrependUOffsetTRelative(text)
    labels = builder.EndVector()
    digest = builder.CreateByteVector(bytes(32))
    builder.StartObject(len(schema.PROGRAM.fields))
    builder.PrependUOffsetTRelativeSlot(schema.PROGRAM.fields.index("labels"), labels, 0)
    builder.PrependUOffsetTRelativeSlot(schema.PROGRAM.fields.index("data_sha256"), digest, 0)
    builder.Finish(builder.EndObject())
    return seal(bytes(builder.Output()), b"")


def test_memory_and_work_while_refusing_are_bounded():
    claims = with_header(CONTENT, program_bytes=2**62, file_bytes=2**63)
    giant = PROGRAM.replace(b"\4\0\0\0tiny", struct.pack("<I", 2**30) + b"tiny")
    cases = [claims, seal(giant, DATA), bomb(65_000, 1_000), bomb(65_537, 1), bomb(1, 2**16)]
    tracemalloc.start()
    for content in cases:
        refused(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20


def test_overlapping_strings_run_out_of_budget():
    """Strings that start inside each other: each is new, together they are quadratic."""
    flat = Flat(struct.pack("<I", 400) * 100 + b"a" * 404)
    flat.vector(4, "B", 400, "text")
    with pytest.raises(ModelFormatError, match="over and over"):
        [flat.vector(position, "B", 400, "text") for position in range(8, 400, 4)]


def test_many_kinds_of_vtable_are_refused():
    flat = Flat(PROGRAM)
    flat.layouts = dict.fromkeys(range(1_024))
    with pytest.raises(ModelFormatError, match="vtables"):
        flat.table(flat.root(), schema.PROGRAM)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "to_fifo").symlink_to("fifo")
    (tmp_path / "to_zero").symlink_to("/dev/zero")
    names = [tmp_path / name for name in ("fifo", "empty", "dangling", "loop", "to_fifo", "to_zero", "missing")]
    for path in [tmp_path, *names, "/dev/zero", "/dev/null", "/proc/self/mem", "bad\0name", "x" * 5_000]:
        for function in (reader.read, reader.verify):
            with pytest.raises(ModelFormatError) as caught:
                function(path)
            assert str(caught.value).startswith(f"{path}: ")


def test_a_link_to_a_model_is_followed(tmp_path):
    (tmp_path / "model.bin").write_bytes(CONTENT)
    (tmp_path / "current").symlink_to("model.bin")
    assert reader.read(tmp_path / "current").graph == tiny_graph()


def test_a_file_without_permission_is_refused_by_name(tmp_path, monkeypatch):
    (tmp_path / "model.bin").write_bytes(CONTENT)
    monkeypatch.setattr(os, "open", lambda *args: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(ModelFormatError, match="Permission denied"):
        reader.read(tmp_path / "model.bin")


def test_a_replaced_file_does_not_change_a_loaded_model(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(CONTENT)
    loaded = reader.read(path)
    (tmp_path / "new").write_bytes(bytes(10))
    os.replace(tmp_path / "new", path)
    assert loaded.graph == tiny_graph()


def test_every_refusal_is_an_edgert_error():
    assert issubclass(ModelFormatError, EdgertError)
    assert ModelFormatError.exit_code == 3
