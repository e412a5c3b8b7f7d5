"""Custom operators: a function that Numba can compile becomes an op of the graph.

    @edgert.op("acme.swish2")
    def swish2(x, out, *, alpha=1.0):
        for i in range(x.size):
            out[i] = x[i] / (1 + np.exp(-alpha * x[i]))

A node names it, files record its version and hash, the planner gives it memory and the profiler its line.
docs/custom_ops.md has a worked example. Where Numba is not installed the function runs as plain Python, slowly.
"""

from edgert import opset
from edgert.errors import CustomOpError, ModelFormatError
from edgert.format.header import sha256
from edgert.kernels import tiers

_QUANT = ("scale", "zero_point")
_KINDS = (int, float, str, tuple)


def op(name, shape=None, version=1, boundscheck=False):
    """Decorator that registers a function as the custom op `name`, which must have a dot: "owner.name".

    The function takes its input arrays, then the array `out` to fill, then attributes by keyword only. Attributes are
    int, float, str or tuple of ints; one without a default must be in the node. The names <array>_scale and
    <array>_zero_point are not attributes: they are given that array's quantisation.

    shape: function from the inputs' shapes (and attributes, if it takes any by keyword) to the output's; default: the
    first input's. version: raise it when the function's meaning changes; files made for another one are refused.
    boundscheck: raise IndexError where the function would leave an array, which costs time.
    Raises: ValueError for a name or a signature that cannot be an op's.
    """

    def register(function):
        made = CustomOp(name, function, shape, version, boundscheck)
        opset.CUSTOM[name] = made.row
        tiers.CUSTOM[name] = made
        return function

    return register


class CustomOp:
    """A registered function and what the checks, the planner and the compiler need to know about it."""

    __slots__ = ("arrays", "attrs", "boundscheck", "function", "name", "quants", "row", "shape_rule")

    def __init__(self, name, function, shape, version, boundscheck):
        if type(name) is not str or not all(part.isidentifier() for part in name.split(".")) or "." not in name:
            raise ValueError(f"a custom op is named 'owner.name', not {name!r}")
        if type(version) is not int or not 0 <= version < 2**31:
            raise ValueError(f"custom op {name!r}: version is {version!r}, not a whole number")
        self.name, self.function, self.boundscheck = name, function, boundscheck
        self.arrays, self.quants, self.attrs = _parameters(name, function)
        self.shape_rule = shape
        count = len(self.arrays) - 1
        self.row = opset.Op(count, count, {**self.attrs, **opset.STAMP}, self._shape, self._numbers)
        self.row.stamp = {"op_version": version, "op_hash": source_hash(function)}

    def _shape(self, shapes, attrs, declared):
        """The output's shape, or ModelFormatError: a rule is anybody's code."""
        if self.shape_rule is None:
            return tuple(shapes[0])
        taken = _keywords(self.shape_rule)
        try:
            made = self.shape_rule(*shapes, **{name: attrs[name] for name in self.attrs if name in taken})
        except Exception as error:
            raise ModelFormatError(f"its shape rule failed on {shapes}: {_text(error)}") from error
        if type(made) is not tuple or not all(type(dim) is int and dim > 0 for dim in made):
            raise ModelFormatError(f"its shape rule gives {made!r}, not a tuple of sizes")
        return made

    def _numbers(self, inputs, output, attrs, shapes):
        """The stamp fits what is registered, and what is asked of quantisation is there."""
        for field, here in self.row.stamp.items():
            if attrs[field] not in (None, here):
                raise ModelFormatError(
                    f"was made with {_stamp_text(attrs)} of '{self.name}', registered here is "
                    f"{_stamp_text(self.row.stamp)}: install the version it was made with, or convert it anew"
                )
        specs = dict(zip(self.arrays, (*inputs, output)))
        for parameter, (array, _) in self.quants.items():
            if specs[array].quant is None:
                raise ModelFormatError(f"parameter '{parameter}' needs a quantised '{specs[array].name}'")

    def bind(self, tier, inputs, outputs, attrs):
        """A Step or a function of two lists of arrays, or None for a tier that does not run custom ops.

        Raises: CustomOpError if the function does not compile.
        """
        settings = self._settings((*inputs, *outputs), attrs)
        if tier == "jit":
            from edgert.kernels.jit import custom

            try:
                bound = custom.bind(self.name, self.function, self.boundscheck, (*inputs, *outputs), settings)
            except custom.NumbaError as error:
                raise CustomOpError(f"does not compile: {_text(error)}") from error
            return self._guarded(bound) if callable(bound) else bound
        if tier == "reference":
            return self._guarded(lambda given, made: self.function(*given, *made, **settings))
        return None

    def _settings(self, specs, attrs):
        """The keyword arguments of one node."""
        values = {name: attrs.get(name, row[1]) for name, row in self.attrs.items()}
        by_array = dict(zip(self.arrays, specs))
        for parameter, (array, field) in self.quants.items():
            value = getattr(by_array[array].quant, field)
            values[parameter] = value[0] if field == "scale" and len(value) == 1 else value
        return values

    def _guarded(self, run):
        def call(arrays_in, arrays_out):
            try:
                run(arrays_in, arrays_out)
            except Exception as error:
                raise CustomOpError(f"raised {_text(error)}") from error

        return call


def _parameters(name, function):
    """(array names, dict of quantisation parameters, dict of attributes as opset rows) from the signature."""
    from inspect import Parameter, signature

    arrays, quants, attrs = [], {}, {}
    parameters = signature(function).parameters.values()
    for parameter in parameters:
        if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD and parameter.default is Parameter.empty:
            arrays.append(parameter.name)
        elif parameter.kind is not Parameter.KEYWORD_ONLY:
            raise ValueError(f"custom op {name!r}: '{parameter}' is no array and no keyword-only attribute")
    if len(arrays) < 2 or arrays[-1] != "out":
        raise ValueError(f"custom op {name!r} takes {', '.join(arrays) or 'nothing'}; it needs inputs, then 'out'")
    for parameter in parameters:
        if parameter.kind is Parameter.KEYWORD_ONLY:
            array, field = _quant_parameter(parameter.name, arrays)
            if field:
                quants[parameter.name] = (array, field)
            else:
                attrs[parameter.name] = _attribute(name, parameter)
    return tuple(arrays), quants, attrs


def _quant_parameter(parameter, arrays):
    for field in _QUANT:
        array = parameter.removesuffix(f"_{field}")
        if array != parameter and array in arrays:
            return array, field
    return None, None


def _attribute(name, parameter):
    """(type or None for any, default or REQUIRED), from the annotation or the default."""
    default = opset.REQUIRED if parameter.default is parameter.empty else parameter.default
    kind = parameter.annotation if parameter.annotation in _KINDS else None
    if kind is None and default is not opset.REQUIRED:
        kind = type(default)
    if kind is not None and kind not in _KINDS:
        raise ValueError(f"custom op {name!r}: attribute '{parameter.name}' cannot be {default!r}")
    return (kind, default) if kind is not None else (None, default)


def _keywords(function):
    """Names that may be given by keyword only."""
    code = function.__code__
    return code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]


def source_hash(function):
    """SHA-256, as hex, of the function's source below its decorators; the same on every machine and Python."""
    from inspect import getsource
    from textwrap import dedent

    try:
        lines = dedent(getsource(function)).splitlines()
    except (OSError, TypeError):  # typed in at a prompt: the code itself, which differs between versions of Python
        return sha256(function.__code__.co_code).hexdigest()
    first = next(i for i, line in enumerate(lines) if line.startswith("def "))
    text = "\n".join([line.rstrip() for line in lines[first:] if line.strip()])
    return sha256(text.encode()).hexdigest()


def _stamp_text(stamp):
    return f"version {stamp['op_version']} (hash {str(stamp['op_hash'])[:12]})"


def _text(error):
    """An error in one line: Numba's fill a screen, and say the most in the last line of their first part."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    useful = [line for line in lines if not line.startswith(("Failed in", "During:", "File ", "This error", "To see"))]
    return f"{type(error).__name__}: {' '.join(useful[:3]) or 'no message'}"
