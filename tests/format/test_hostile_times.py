"""How long the reader takes to refuse: of a file cut short anywhere, and with any bit flipped. `make test-faults`."""

import time
from contextlib import suppress
from pathlib import Path

import pytest
from craft import recrc, seal, split, tiny_graph

from edgert.errors import ModelFormatError
from edgert.format import reader, writer
from edgert.format.header import PREFIX_BYTES

pytestmark = pytest.mark.faults
MODELS = Path(__file__).resolve().parents[2] / "models"
MOST_S = 0.05
STREET, SHAKESPEARE = "street/street_int8.bin", "shakespeare/shakespeare_int4.bin"


def elapsed_s(content):
    """The least of up to three times that the reader takes to load or refuse it: others use the processor too."""
    least = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        with suppress(ModelFormatError):
            reader.read_bytes(content)
        least = min(least, time.perf_counter() - started)
        if least < MOST_S:
            break
    return least


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def check(name, contents):
    times = sorted(map(elapsed_s, contents))
    print(f"{name}: {len(times)} files, half within {1e6 * times[len(times) // 2]:.0f} us, all within "
          f"{1000 * times[-1]:.2f} ms")  # fmt: skip
    assert times[-1] < MOST_S


def test_a_small_model_cut_short_at_every_length_is_refused_at_once():
    content = writer.to_bytes(tiny_graph())
    check("cut short", (content[:length] for length in range(len(content))))


def test_a_small_model_with_any_bit_flipped_is_refused_or_read_at_once():
    content = writer.to_bytes(tiny_graph())
    program, data = split(content)
    check("bits of the header", (recrc(flipped(content, bit)) for bit in range(8 * PREFIX_BYTES)))
    check("bits of the program", (seal(flipped(program, bit), data) for bit in range(8 * len(program))))


@pytest.mark.parametrize("name", [STREET, SHAKESPEARE])
def test_a_shipped_model_is_refused_as_fast(name):
    content = (MODELS / name).read_bytes()
    program, data = split(content)
    check(f"{name} cut short", (content[: len(content) * part // 97] for part in range(97)))
    step = max(1, 8 * len(program) // 97)
    check(f"{name} flipped", (seal(flipped(program, bit), data) for bit in range(0, 8 * len(program), step)))
