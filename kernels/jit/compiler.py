"""From a Python function to a C function `void(params, tensors, scratch, thread, n_threads)`, once per specialisation.

A kernel is written by a maker: a function of settings (shapes, strides, zero points) that returns the kernel as a
closure over them; Numba sees them as constants. No fast-math: LLVM then neither fuses a product into a sum nor
reorders. Compiled code is remembered in this process and in the cache folder (cache.py).
"""

import numpy as np
from numba import cfunc, types
from numba.core.errors import NumbaError
from numba.core.registry import cpu_target
from numba.core.runtime.nrt import rtsys

from edgert.kernels.jit import cache

SIGNATURE = types.void(types.voidptr, types.CPointer(types.voidptr), types.voidptr, types.intc, types.intc)
OPTIONS = {"nopython": True, "error_model": "numpy"}
PARALLEL_WORK = 262144  # multiplications that are worth waking another thread, as in the native tier
MOVE = 16  # multiplications in the time of handling one byte

_compiled = {}  # key -> Compiled


class Compiled:
    """Machine code that lives as long as this object. address: of the C function. may_raise: whether what it calls can
    raise, which a kernel in the executor's loop must not."""

    __slots__ = ("address", "library", "may_raise")

    def __init__(self, library, symbol, may_raise):
        self.library, self.may_raise = library, may_raise
        self.address = library.get_pointer_to_function(symbol)


def compiled(maker, settings):
    """The kernel that `maker(**settings)` writes, from memory, from the cache folder, or compiled now."""
    key = cache.key(maker.__module__, maker.__qualname__, tuple(sorted(settings.items())))
    return compiled_as(key, lambda: maker(**settings))


def compiled_as(key, make):
    """The function that `make()` gives, compiled. key: all that it depends on, hashed; None keeps it nowhere."""
    if key is None:
        return _compile(None, make())
    if key not in _compiled:
        _compiled[key] = _load(key) or _compile(key, make())
    return _compiled[key]


def _load(key):
    stored = cache.read(key)
    if stored is None:
        return None
    symbol, may_raise, state = stored
    rtsys.initialize(cpu_target.target_context)  # the symbols that every Numba library is linked against
    return Compiled(cpu_target.target_context.codegen().unserialize_library(state), symbol, may_raise)


def _compile(key, function):
    if key is not None:
        cache.rename(function, key)
    made = cfunc(SIGNATURE, **OPTIONS)(function)
    library, symbol = made._library, made._wrapper_name
    may_raise = "numba_gil_ensure" in library.get_llvm_str()  # the C function's report of an exception is still there
    if key is not None:
        cache.write(key, symbol, may_raise, library.serialize_using_object_code())
    return Compiled(library, symbol, may_raise)


class Constants:
    """What a kernel needs besides its tensors, behind one another in aligned memory; `add` gives each one's offset."""

    def __init__(self):
        self.parts, self.nbytes = [], 0

    def add(self, array):
        array = np.ascontiguousarray(array)
        offset = self.nbytes
        self.parts.append((offset, array))
        self.nbytes += -(-array.nbytes // 64) * 64
        return offset

    def buffer(self):
        """All of it in one array, aligned to 64 bytes, with as much slack behind it."""
        raw = np.zeros(self.nbytes + 128, np.uint8)
        start = -raw.ctypes.data % 64
        aligned = raw[start : start + self.nbytes + 64]
        for offset, array in self.parts:
            aligned[offset : offset + array.nbytes] = array.reshape(-1).view(np.uint8)
        return aligned


def step(op, code, constants=None, work=0, scratch_bytes=0):
    """The kernel as a Step of the executor, or, where that was not compiled, as a function of two lists of arrays."""
    buffer = (constants or Constants()).buffer()
    parallel = work >= PARALLEL_WORK
    try:
        from edgert.kernels.native.program import Step
    except ImportError:
        return _python_call(code, buffer, scratch_bytes)
    return Step(f"{op}__jit", code.address, (buffer, code), buffer.ctypes.data, scratch_bytes, parallel)


def _python_call(code, params, scratch_bytes):
    """The same C function called through ctypes."""
    from ctypes import CFUNCTYPE, c_int, c_void_p

    kernel = CFUNCTYPE(None, c_void_p, c_void_p, c_void_p, c_int, c_int)(code.address)
    raw = np.zeros(scratch_bytes + 128, np.uint8)
    scratch = raw.ctypes.data + -raw.ctypes.data % 64

    def run(arrays_in, arrays_out):
        addresses = [0 if array is None else array.ctypes.data for array in (*arrays_in, *arrays_out)]
        tensors = np.array(addresses, np.uintp)
        kernel(params.ctypes.data, tensors.ctypes.data, scratch, 0, 1)

    run.keeps = (code, raw)
    return run


__all__ = ["MOVE", "Constants", "NumbaError", "compiled", "compiled_as", "step"]
