"""Random damage: whatever bytes arrive, the answer is a ModelFormatError or a model that runs."""

import struct
from itertools import pairwise

from craft import seal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_hostile_files import CONTENT, DATA, PROGRAM, load_and_run

RUN = settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
WORDS = st.sampled_from([0, 1, 4, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)
EDIT = st.tuples(st.integers(0, len(PROGRAM) - 4), st.sampled_from("BHI"), WORDS)


@RUN
@given(st.lists(EDIT, min_size=2, max_size=6))
def test_several_edits_at_once(edits):
    program = bytearray(PROGRAM)
    for position, kind, value in edits:
        position -= position % struct.calcsize(kind)
        struct.pack_into("<" + kind, program, position, value % 2 ** (8 * struct.calcsize(kind)))
    load_and_run(seal(bytes(program), DATA))


@RUN
@given(st.data())
def test_parts_of_the_program_moved_repeated_or_cut_out(data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(PROGRAM) // 4), min_size=2, max_size=4)))
    bounds = [0, *[4 * cut for cut in cuts], len(PROGRAM)]
    pieces = [PROGRAM[a:b] for a, b in pairwise(bounds)]
    chosen = data.draw(st.lists(st.sampled_from(pieces), max_size=6))
    load_and_run(seal(b"".join(chosen), DATA))


@RUN
@given(st.binary(max_size=512))
def test_noise_behind_a_good_header(noise):
    load_and_run(seal(noise, DATA))


@RUN
@given(st.integers(0, len(CONTENT)), st.binary(max_size=64))
def test_noise_over_any_part_of_the_file(position, noise):
    load_and_run(CONTENT[:position] + noise + CONTENT[position + len(noise) :])
