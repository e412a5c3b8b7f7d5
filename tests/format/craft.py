"""One tiny model with every kind of table in it, and the means to damage it precisely."""

import struct

from edgert.format.header import FIELDS, PREFIX_BYTES, Header, checksum, sha256
from edgert.format.writer import _data_segment, _with_plain_data, _Writer
from edgert.graph import Graph, Metadata, Node, Preprocess, Quant, Tensor, Text, Tokenizer


def tiny_graph():
    """x (1, 2, 2, 2) int8 -> 1x1 conv, plus x -> concat with x -> float softmax; labels, preprocess, golden vectors."""
    q = Quant((0.5,), 1)
    tensors = (
        Tensor("x", "int8", (1, 2, 2, 2), q),
        Tensor("w", "int8", (2, 1, 1, 2), Quant((0.25, 0.5), 0, 0), bytes([1, 2, 3, 4])),
        Tensor("b", "int32", (2,), Quant((0.125, 0.25), 0, 0), struct.pack("<ii", 5, -6)),
        Tensor("c", "int8", (1, 2, 2, 2), q),
        Tensor("sum", "int8", (1, 2, 2, 2), q),
        Tensor("cat", "int8", (1, 4, 2, 2), q),
        Tensor("real", "float32", (1, 4, 2, 2)),
        Tensor("y", "float32", (1, 4, 2, 2)),
    )
    nodes = (
        Node("conv2d", (0, 1, 2), (3,), {"clamp_min": 0, "stride_h": 1}, "conv"),
        Node("add", (3, 0), (4,), {}, "add"),
        Node("concat", (4, 0), (5,), {"axis": 1}),
        Node("dequantize", (5,), (6,)),
        Node("softmax", (6,), (7,), {"beta": 2.0}),
    )
    golden = (((bytes(8),), (struct.pack("<16f", *[0.5] * 16),)),)
    preprocess = Preprocess("RGB", "crop", (123.675, 116.28, 103.53), (1.5,))
    provenance = {"source": "tiny.tflite", "converter": "test"}
    metadata = Metadata(
        "classify", ("cat", "", "Ünïcode"), preprocess, golden, provenance, "fused 1 ReLU\n", tiny_text()
    )
    return Graph("tiny", tensors, nodes, (0,), (7,), metadata)


def tiny_text():
    """Tokens a, b, ab and <s>; a and b merge."""
    words = struct.pack
    tokenizer = Tokenizer(
        pieces=b"abab<s>", ends=words("<4I", 1, 2, 4, 7), kinds=bytes([0, 0, 0, 1]), char_ids=words("<2I", 0, 1),
        pairs=words("<Q", 0 << 32 | 1), results=words("<I", 2), ranks=words("<I", 7), patterns=("gpt2",),
        normal_form="NFC", space_prefix="first",
    )  # fmt: skip
    return Text(tokenizer, 32, 3, True, (3,), "{{ messages[0].content }}")


def split(content):
    """(program, data segment) of a good file."""
    header = Header.unpack(content[:PREFIX_BYTES], len(content))
    end = PREFIX_BYTES + header.program_bytes
    return content[PREFIX_BYTES:end], content[header.data_offset :]


def seal(program, data):
    """A file around a program, with good header and digest whatever is in it."""
    header = Header.around(program, len(data))
    return (header.pack() + program).ljust(header.data_offset, b"\0") + data


def forge(graph):
    """A file of a graph that the writer would refuse."""
    data = b"".join(_data_segment(_with_plain_data(graph)))
    return seal(_Writer().program(graph, sha256(data).digest()), data)


def with_header(content, **changes):
    """`content` with other header fields and a good checksum."""
    names = ("magic", "major", "minor", "crc", "program_offset", "program_bytes")
    names += ("data_offset", "data_bytes", "file_bytes", "zero", "digest")
    fields = dict(zip(names, (*FIELDS.unpack_from(content), content[FIELDS.size : PREFIX_BYTES]))) | changes
    packed = FIELDS.pack(*[fields[name] for name in names[:-1]]) + fields["digest"]
    return recrc(packed + content[PREFIX_BYTES:])


def recrc(content):
    """`content` with the checksum its header should have."""
    return content[:12] + struct.pack("<I", checksum(content[:PREFIX_BYTES])) + content[16:]


def replace_tensor(graph, which, **changes):
    tensors = tuple(t.replace(**changes) if t.name == which else t for t in graph.tensors)
    return graph.replace(tensors=tensors)


def replace_node(graph, position, **changes):
    nodes = list(graph.nodes)
    nodes[position] = nodes[position].replace(**changes)
    return graph.replace(nodes=tuple(nodes))
