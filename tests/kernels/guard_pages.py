"""Runs every case with its buffers against the edge of mapped memory: a read or write too far ends the process.

A script, not a test, because such an end takes the interpreter with it; test_conformance.py runs it. Constants end at
an unreadable page (an op that uses them in place must not read on); activations have 64 readable bytes behind them.
"""

import ctypes
import mmap
import sys
from dataclasses import replace

from cases import CASES, build
from conformance import GUARD, bind

from edgert.kernels.native.program import Program, address_of

PAGE = mmap.PAGESIZE
PROT_NONE = 0


class Fenced:
    """`data` placed so that it ends `slack` bytes before a page that nobody may touch, at a multiple of 64."""

    libc = ctypes.CDLL(None, use_errno=True)

    def __init__(self, data, slack):
        self.nbytes = len(data)
        pages = -(-(len(data) + slack + 64) // PAGE)
        self.memory = mmap.mmap(-1, (pages + 1) * PAGE)
        end = pages * PAGE
        self.start = (end - slack - len(data)) // 64 * 64
        self.memory[self.start : self.start + len(data)] = data
        base = address_of(self.memory)
        self.address = base + self.start
        if self.libc.mprotect(ctypes.c_void_p(base + end), ctypes.c_size_t(PAGE), PROT_NONE):
            raise OSError(ctypes.get_errno(), "mprotect")

    def bytes(self):
        return self.memory[self.start : self.start + self.nbytes]


def run(step, case):
    buffers = []
    for tensor, array in zip(case.inputs, case.arrays):
        slack = GUARD if tensor is None or tensor.data is None else 0
        buffers.append(None if tensor is None else Fenced(array.tobytes(), slack))
    buffers.append(Fenced(case.outputs()[0].tobytes(), 0))
    addresses = tuple(0 if buffer is None else buffer.address for buffer in buffers)
    Program([(step, addresses)], threads=1).run()


def of_constants(case):
    """The same case with every input a constant: a graph may have that, though no converter leaves it so."""
    inputs = [t and t.replace(data=array.tobytes()) for t, array in zip(case.inputs, case.arrays)]
    return replace(case, inputs=tuple(inputs))


def main(tier, *names):
    count = 0
    for name in names or CASES:
        print(name, flush=True)  # the last line names the culprit
        case = build(name)
        for variant in case, of_constants(case):
            bound = bind(tier, variant)
            if bound is not None and bound[0] == "native":
                run(bound[1], variant)
                count += 1
    print(f"{count} cases stayed within their buffers")


if __name__ == "__main__":
    main(*sys.argv[1:])
