"""Shared memory and its mailbox: the newest frame, whole, whoever died in between."""

import os
import sys
import threading

import pytest

from edgert.errors import InputError
from edgert.sources import shared
from edgert.sources.frame import Frame
from edgert.sources.shared import FrameMemory, Reader, Writer


@pytest.fixture
def memory():
    made = FrameMemory.create()
    yield made
    made.close()


def frame(number, width=8, height=4, small=None):
    return Frame(bytes([number % 256]) * (width * height * 3), "RGB", width, height, number, 10 + number, small=small)


def begun(memory):
    """(writer, reader) of which each knows that the other is there."""
    writer, reader = Writer(memory), Reader(memory)
    assert reader.take() is None
    return writer, reader


def test_a_frame_comes_out_as_it_went_in(memory):
    writer, reader = begun(memory)
    writer.put(frame(7, small=Frame(bytes(6), "YUV420", 2, 2, 7)), "black")
    taken = reader.take()
    assert (taken.number, taken.timestamp_ns, taken.width, taken.height) == (7, 17, 8, 4)
    assert (taken.format, taken.data) == ("RGB", bytes([7]) * 96)
    assert (taken.small.format, taken.small.width, taken.small.data) == ("YUV420", 2, bytes(6))
    assert memory.state == "black"
    assert reader.take() is None


def test_only_the_newest_frame_is_taken_and_the_others_are_counted(memory):
    writer, reader = begun(memory)
    for number in range(10):
        writer.put(frame(number), "ok")
    assert reader.take().number == 9
    assert (memory.captured, memory.dropped) == (10, 9)


def test_a_slot_that_the_reader_may_be_copying_is_never_written(memory):
    writer, reader = begun(memory)
    writer.put(frame(1), "ok")
    slot = shared._take(memory.bell)  # a reader that was stopped before it copied
    for number in range(2, 9):
        writer.put(frame(number), "ok")
        with memory.slot_bytes(slot) as held:
            assert bytes(held[:96]) == bytes([1]) * 96
    assert reader.take().number == 8


def test_a_new_writer_leaves_every_slot_alone_until_the_reader_is_known_to_be_done(memory):
    writer, reader = begun(memory)
    writer.put(frame(1), "ok")
    slot = shared._take(memory.bell)
    for _ in range(3):  # writers that died at once
        writer = Writer(memory)
        writer.put(frame(99), "ok")
        with memory.slot_bytes(slot) as held:
            assert bytes(held[:96]) == bytes([1]) * 96
    assert reader.take() is None
    writer.put(frame(5), "ok")
    assert reader.take().number == 5


def test_sizes_may_change_and_memory_is_given_back(memory):
    writer, reader = begun(memory)
    for _ in range(4):
        writer.put(frame(1, 640, 480), "ok")
    used = os.stat(memory.memory).st_blocks
    for number in range(4):
        writer.put(frame(number), "ok")
        assert len(reader.take().data) == 96
    assert os.stat(memory.memory).st_blocks < used / 20


def test_a_frame_that_is_too_large_is_refused(memory, monkeypatch):
    monkeypatch.setattr(shared, "MOST_BYTES", 100)
    writer, _ = begun(memory)
    with pytest.raises(InputError, match="a frame of 108 bytes; 100"):
        writer.put(frame(1, 9, 4), "ok")


def test_the_memory_cannot_be_cut_under_who_reads_it(memory):
    with pytest.raises(PermissionError):
        os.ftruncate(memory.memory, 0)


def test_nonsense_in_the_memory_is_no_frame(memory):
    _, reader = begun(memory)
    for slot in range(3):
        memory.slot_words(slot)[:] = memoryview(b"\xff" * 128).cast("Q")
        os.eventfd_write(memory.bell, slot + 1)
        assert reader.take() is None
    os.eventfd_write(memory.bell, 77)
    assert reader.take() is None
    memory.words[3] = 2**60
    assert memory.state in shared.STATES


def test_texts_of_any_length_and_alphabet_pass(memory):
    for text in ("", "camera is gone", "ü" * 3000, "\ud800"):
        memory.failure = text
        assert memory.failure[:400] == text[:400].encode(errors="replace").decode()


def test_no_frame_is_torn_while_both_sides_hurry(memory):
    writer, reader = begun(memory)
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            writer.put(frame(number, 64, 48), "ok")
            number += 1

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=write)
    thread.start()
    last = -1
    try:
        for _ in range(20_000):
            taken = reader.take()
            if taken is not None:
                assert taken.data == bytes([taken.number % 256]) * len(taken.data)
                assert taken.number > last
                last = taken.number
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(before)
    assert last > 0
