"""Custom ops: somebody's function of arrays, compiled for one node's shapes, types and attributes.

A function that cannot raise becomes a step of the executor like any kernel. One that may is called from Python instead,
so that what it raises arrives there: the executor's loop has no way to stop.
"""

import marshal
from types import BuiltinFunctionType, FunctionType, ModuleType

import numpy as np
from numba import carray, njit
from numba.core.dispatcher import Dispatcher

from edgert.kernels.jit import cache
from edgert.kernels.jit.compiler import NumbaError, compiled_as, step

PLAIN = (int, float, str, bool, bytes, type(None))


def bind(name, function, boundscheck, specs, settings):
    """A Step or a function of two lists of arrays. specs: of all inputs, then the output; settings: by keyword.

    Raises: NumbaError if the function does not compile for these types.
    """
    options = {"error_model": "numpy", "boundscheck": boundscheck}
    values = tuple([settings[key] for key in keywords(function)])
    types = tuple([(spec.shape or (1,), spec.dtype) for spec in specs])
    print_of = fingerprint(function)
    key = None if print_of is None else cache.key("custom", name, boundscheck, print_of, types, values)
    kernel = njit(**options)(cache.rename(positional(function), key or object()))
    code = compiled_as(key, lambda: make_custom(kernel, types, values))
    if code.may_raise:
        return lambda arrays_in, arrays_out: kernel(*arrays_in, *arrays_out, *values) and None
    return step(name, code)


def make_custom(kernel, types, values):
    """A kernel that makes arrays of its tensors and calls `kernel`. Written as text: Numba unrolls no argument list."""
    names = {"kernel": kernel, "carray": carray}
    lines = ["def custom(params, tensors, scratch, thread, n_threads):"]
    for i, (shape, dtype) in enumerate(types):
        names |= {f"shape{i}": shape, f"dtype{i}": np.dtype(dtype).type}
        lines.append(f"    a{i} = carray(tensors[{i}], shape{i}, dtype{i})")
    for i, value in enumerate(values):
        names[f"value{i}"] = value
    arguments = [f"a{i}" for i in range(len(types))] + [f"value{i}" for i in range(len(values))]
    lines.append(f"    kernel({', '.join(arguments)})")
    exec("\n".join(lines), names)
    return names["custom"]


def keywords(function):
    code = function.__code__
    return code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]


def positional(function):
    """The function with its keyword-only parameters behind the others: Numba knows no keyword-only ones."""
    code = function.__code__
    code = code.replace(co_argcount=code.co_argcount + code.co_kwonlyargcount, co_kwonlyargcount=0)
    return FunctionType(code, function.__globals__, function.__name__, None, function.__closure__)


def fingerprint(function, seen=()):
    """What the function's machine code depends on besides types and values; None if that cannot be told.

    Its code, and what its global names stand for: modules, plain values, functions of the same kind. Anything else
    (an array, an object) may change without a trace, and such a function is compiled anew in every process.
    """
    if function in seen:
        return "itself"
    parts = [marshal.dumps(function.__code__)]
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    named = [function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__]
    for value in cells + named:
        value = value.py_func if isinstance(value, Dispatcher) else value
        if isinstance(value, FunctionType):
            value = fingerprint(value, (*seen, function))
            if value is None:
                return None
        elif isinstance(value, ModuleType):
            value = (value.__name__, getattr(value, "__version__", ""))
        elif not isinstance(value, (*PLAIN, BuiltinFunctionType, type)) and not _plain_tuple(value):
            return None
        parts.append(repr(value))
    return tuple(parts)


def _plain_tuple(value):
    return isinstance(value, tuple) and all(isinstance(part, PLAIN) for part in value)


__all__ = ["NumbaError", "bind"]
