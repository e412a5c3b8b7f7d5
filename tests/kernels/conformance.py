"""Runs one case on one tier, with words around every buffer that must neither change nor matter."""

import numpy as np

from edgert.kernels import reference, tiers

GUARD = 64  # bytes after each buffer: kernels may read that far behind an activation, and write nowhere
GUARD_WORD = 0xA5


def expected(case):
    """What the reference gives."""
    outputs = case.outputs()
    reference.bind(case.op, case.inputs, (case.output,), case.attrs)(case.arrays, outputs)
    return outputs[0]


def bind(tier, case):
    return tiers.bind(tier, case.op, case.inputs, (case.output,), case.attrs)


def run(bound, case, threads=1):
    """The result of what `bind` gave. Raises: AssertionError if a kernel writes beyond its output or into an input."""
    kind, step = bound
    if kind == "python":
        outputs = case.outputs()
        step([None if array is None else array.copy() for array in case.arrays], outputs)
        return outputs[0]
    from edgert.kernels.native.program import Program

    buffers = [None if array is None else guarded(array.tobytes()) for array in case.arrays]
    out = guarded(case.outputs()[0].tobytes())
    before = [bytes(buffer) for buffer in buffers if buffer is not None]
    addresses = tuple(0 if buffer is None else buffer.address for buffer in (*buffers, out))
    program = Program([(step, addresses)], threads=threads)
    program.run()
    first = bytes(out)
    program.run()  # a second run finds the first one's scratch and output
    assert bytes(out) == first, "a second run gives another result"
    assert [bytes(buffer) for buffer in buffers if buffer is not None] == before, "an input was written to"
    nbytes = case.output.nbytes
    assert first[nbytes:] == bytes([GUARD_WORD] * GUARD), "bytes behind the output were written to"
    return np.frombuffer(first[:nbytes], case.output.dtype).reshape(case.output.shape)


def guarded(data):
    """An AlignedBuffer with `data` and, behind it, words that no result may depend on."""
    from edgert.kernels.native.program import AlignedBuffer

    buffer = AlignedBuffer(len(data) + GUARD)
    memoryview(buffer).cast("B")[:] = data + bytes([GUARD_WORD] * GUARD)
    return buffer
