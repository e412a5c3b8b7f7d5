"""Runs on the emulated Pi under tools/arm/insn_count.c: one model by edgert or LiteRT, one thread, between two marks.

    python arm_guest.py edgert|litert MODEL RUNS

Prints as JSON where the shared objects lie, and for edgert the tiers that ran. Both are warm before they are counted.
"""

import ctypes
import json
import random
import sys
from pathlib import Path

MARK, BEGIN, END = 24301, 1, 2  # as in insn_count.c
WARM = 10  # Python 3.11 rewrites code that has run eight times


def edgert_call(model):
    """(a function that answers once: bytes in, bytes out; the tiers)"""
    from edgert.session import Session

    session = Session(model, threads=1)
    inputs = [random.Random(0).randbytes(tensor.nbytes) for tensor in session.inputs]
    return lambda: session.run_buffers(inputs), sorted({step[1] for step in session.plan.steps})


def litert_call(model):
    """The same for LiteRT; its inputs are set beforehand and its outputs left where they are."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    for given in interpreter.get_input_details():
        count = int(np.prod(given["shape"]) * np.dtype(given["dtype"]).itemsize)
        data = np.frombuffer(random.Random(0).randbytes(count), given["dtype"])
        interpreter.set_tensor(given["index"], data.reshape(given["shape"]))
    return interpreter.invoke, []


def objects():
    """First and last address of every file whose code is mapped."""
    spans = {}
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split()
        if len(fields) == 6 and fields[5].startswith("/"):
            first, last = (int(address, 16) for address in fields[0].split("-"))
            known = spans.setdefault(fields[5].rsplit("/", 1)[1], [first, last])
            known[:] = min(known[0], first), max(known[1], last)
    return spans


def main(runtime, model, runs):
    call, tiers = {"edgert": edgert_call, "litert": litert_call}[runtime](model)
    mark = ctypes.CDLL(None).syscall
    for _ in range(WARM):
        call()
    mark(MARK, BEGIN)
    for _ in range(int(runs)):
        call()
    mark(MARK, END)
    print(json.dumps({"tiers": tiers, "objects": objects()}))


main(*sys.argv[1:])
