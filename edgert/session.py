"""A loaded model and its plan: bytes or arrays in, bytes or arrays out. Knows no task."""

import os
from _thread import allocate_lock

from edgert import opset, pages, plan, text_limits, tuned
from edgert.errors import InputError
from edgert.format import reader
from edgert.graph import TOKENS
from edgert.threads import thread_count

_KEPT_PLANS = 8  # of different numbers of tokens, besides that of one


class Session:
    """A model ready to run. Two threads may call it: one waits for the other.

    source: path of a model file, or its bytes. threads: how many one run may use, else EDGERT_THREADS, else one per
    physical core. tier: kernel tier to start with, default the fastest of each node where
    `edgert tune` has measured them (`choices`), else the best this CPU has. all_rows: a language model gives the logits
    of every token of a run, not of the last one.
    Raises: ModelFormatError if the file is wrong, TierError if this CPU lacks the tier, InputError for `threads`.
    """

    def __init__(self, source, *, threads=None, tier=None, all_rows=False):
        self.threads, self.tier = thread_count(threads), tier
        self.loaded = reader.read_bytes(source) if _is_buffer(source) else reader.read(source)
        self.graph = opset.with_all_rows(self.loaded.graph) if all_rows else self.loaded.graph
        self.inputs = [self.graph.tensors[index] for index in self.graph.inputs]
        self.outputs = [self.graph.tensors[index] for index in self.graph.outputs]
        self._plans = {}  # number of tokens (None if the model has no such dimension) -> plan
        self._state = None
        self._move = pages.move_of(self.loaded.map)
        self._limits = text_limits.limits_of(self.graph)
        self._symbolic = any(TOKENS in tensor.shape for tensor in self.graph.tensors)
        forced = tier or os.environ.get("EDGERT_TIER")
        self.choices = None if forced else tuned.choices_for(self.loaded, self.threads)
        self.plan = self.plan_for(1 if self._symbolic else None)
        self._call = None if self._symbolic else self.plan.call
        self._lock = self._call.lock if self._call else allocate_lock()
        self._on_buffers = self._call.on_buffers if self._call else _decline
        self._on_arrays = None

    def plan_for(self, tokens):
        """The plan for this number of tokens (None if the model has none), made when first used; all share states."""
        if tokens not in self._plans:
            others = [known for known in self._plans if known not in (None, 1)]
            if len(others) == _KEPT_PLANS:
                del self._plans[others[0]]
            choices = self.choices if tokens in (None, 1) else None  # they were measured with one row
            made = plan.make(self.graph, self.tier, self.threads, tokens, self._state, choices)
            self._state = made.state
            self._plans[tokens] = made
        return self._plans[tokens]

    def run_buffers(self, buffers):
        """Run on one C-contiguous bytes-like per input, each of exactly the input's size. Imports no NumPy.

        Returns: a memoryview of bytes per output, independent of later runs.
        Raises: InputError.
        """
        answer = self._on_buffers(buffers)
        if answer is not None:
            return answer
        views = self._views(buffers)
        with self._lock:
            current = self._load(views)
            current.program.run()
            return [memoryview(bytes(view)) for _, view in current.outputs]

    def run(self, arrays):
        """Run on one ndarray per input, of the input's dtype and shape. Returns: an ndarray per output.

        Raises: InputError.
        """
        if self._on_arrays is None:
            self._declare()
        results = self._on_arrays(arrays)
        return self._run_checked(arrays) if results is None else results

    def _declare(self):
        """Tell the native call what arrays look like, once one is given: whoever gives one has NumPy loaded."""
        if self._call is not None:
            import numpy as np

            ends = [(tensor.shape, np.dtype(tensor.dtype)) for tensor in (*self.inputs, *self.outputs)]
            self._call.declare(np.ndarray, np.empty, ends)
        self._on_arrays = self._call.on_arrays if self._call else _decline

    def _run_checked(self, arrays):
        """`run` for arrays that are not exactly as declared: says what is wrong, or copies them into place."""
        import numpy as np

        if len(arrays) != len(self.inputs):
            raise InputError(f"the model takes {len(self.inputs)} arrays, got {len(arrays)}")
        try:
            checked = [np.ascontiguousarray(array) for array in arrays]
        except (TypeError, ValueError) as error:
            raise InputError(f"the inputs are no arrays: {error}") from None
        for tensor, given, array in zip(self.inputs, arrays, checked):
            shape = np.shape(given)  # ascontiguousarray makes a scalar one-dimensional
            if array.dtype != np.dtype(tensor.dtype) or not _fits(shape, tensor.shape):
                raise InputError(
                    f"input {tensor.name!r} takes {tensor.dtype} {_shape_text(tensor.shape)}, "
                    f"got {array.dtype} {_shape_text(shape)}"
                )
        views = [memoryview(array.reshape(-1).view(np.uint8)) for array in checked]
        with self._lock:
            current = self._load(views)
            current.program.run()
            return [np.frombuffer(bytearray(view), t.dtype).reshape(t.shape) for t, view in current.outputs]

    def profile(self, buffers=None, runs=10):
        """Time every step.

        buffers: as for `run_buffers`, else zeros. Returns: list of (step, nanoseconds in the fastest of `runs` runs);
        a step is (node index, tier, kernel name, tensor indices).
        """
        views = self._views(buffers) if buffers is not None else None
        with self._lock:
            current = self._load(views) if views is not None else self.plan
            fastest = None
            current.program.profile(True)
            for _ in range(runs):
                if views is not None:
                    self._load(views)
                current.program.run()
                times = current.program.times_ns()
                fastest = times if fastest is None else [min(pair) for pair in zip(fastest, times)]
            current.program.profile(False)
        return list(zip(current.steps, fastest))

    def _views(self, buffers):
        """The inputs as flat bytes, checked as far as the model's own shapes go."""
        if len(buffers) != len(self.inputs):
            raise InputError(f"the model takes {len(self.inputs)} inputs, got {len(buffers)}")
        views = []
        for tensor, buffer in zip(self.inputs, buffers):
            try:
                views.append(memoryview(buffer).cast("B"))
            except TypeError as error:
                raise InputError(f"input {tensor.name!r} takes C-contiguous bytes: {error}") from None
        return views

    def _load(self, views):
        """Copy the inputs into the plan that fits them, and give it."""
        tokens = self._tokens(views)
        text_limits.check(self._limits, views)
        current = self.plan_for(tokens) if self._symbolic else self.plan
        if self._move is not None and tokens == 1 and not self._move.step():
            self._move = None
        for (tensor, place), view in zip(current.inputs, views):
            if view.nbytes != place.nbytes:
                raise InputError(
                    f"input {tensor.name!r} takes {place.nbytes:,} bytes ({tensor.dtype} {_shape_text(tensor.shape)}), "
                    f"got {view.nbytes:,}"
                )
        for (_, place), view in zip(current.inputs, views):
            place[:] = view
        return current

    def _tokens(self, views):
        """How many rows the first input with the symbolic dimension has."""
        for tensor, view in zip(self.inputs, views):
            if TOKENS in tensor.shape:
                row = tensor.replace(shape=tuple([1 if dim == TOKENS else dim for dim in tensor.shape])).nbytes
                tokens, rest = divmod(view.nbytes, row)
                if rest or not tokens:
                    raise InputError(f"input {tensor.name!r} takes rows of {row:,} bytes, got {view.nbytes:,} bytes")
                return tokens
        return 1


def _decline(given):
    """In place of a native call where there is none."""


def _is_buffer(source):
    return isinstance(source, (bytes, bytearray, memoryview))


def _fits(shape, wanted):
    return len(shape) == len(wanted) and all(b in (a, TOKENS) for a, b in zip(shape, wanted))


def _shape_text(shape):
    return "(" + ", ".join([str(dim) for dim in shape]) + ")"
