"""Files whose head lies: refused with a ModelFormatError, or every output decodes in bounds."""

import math
import struct

import pytest
import tiny
from craft import forge, seal, split

from edgert.errors import ModelFormatError
from edgert.format import reader, writer
from edgert.vision.boxes import decoder

CONTENT = writer.to_bytes(tiny.colour_detector())
PROGRAM, DATA = split(CONTENT)


def detect_or_refuse(program):
    """What loads also decodes any outputs, in bounds."""
    try:
        loaded = reader.read_bytes(seal(program, DATA)).graph
    except ModelFormatError:
        return False
    if loaded.metadata.head is None:
        return True
    outputs = [loaded.tensors[i] for i in loaded.outputs]
    decode = decoder(loaded.metadata.head, loaded.tensors[loaded.inputs[0]], outputs)
    for byte in (0, 100, 255):
        decode([bytes([byte]) * tensor.nbytes for tensor in outputs], 0.1, 0.5)
    return True


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_every_flipped_bit_of_a_detectors_program():
    loads = [detect_or_refuse(flipped(PROGRAM, bit)) for bit in range(8 * len(PROGRAM))]
    assert 0 < sum(loads) < len(loads)


@pytest.mark.parametrize("value", [0, 1, 5, 2**15, 2**31 - 4, 2**31, 2**32 - 1])
def test_every_word_of_a_detectors_program_replaced(value):
    for position in range(0, len(PROGRAM) - 3, 4):
        detect_or_refuse(PROGRAM[:position] + struct.pack("<I", value) + PROGRAM[position + 4 :])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "x" * 2000}, "limit is 1,024"),
        ({"strides": (1,) * 65}, "limit is 64"),
        ({"anchor_counts": (1,) * 65}, "limit is 64"),
        ({"anchors": (1.0,) * (2**19 + 4)}, "limit is 524,288"),
        ({"scales": (1.0,) * 5}, "limit is 4"),
        ({"strides": (2**30,)}, "strides"),
        ({"score_threshold": math.nan}, "threshold"),
        ({"columns": ("box class:sigmoid",) * 2}, "describes 2 outputs, the graph has 1"),
    ],
)
def test_heads_beyond_the_caps_are_refused(changes, words):
    graph = tiny.colour_detector()
    head = graph.metadata.head.replace(**changes)
    with pytest.raises(ModelFormatError, match=words):
        reader.read_bytes(forge(graph.replace(metadata=graph.metadata.replace(head=head))))
