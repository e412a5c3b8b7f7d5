"""The float graph over all calibration samples: what each tensor's values are."""

import numpy as np

from edgert.convert import evaluate
from edgert.convert.quantize import batches, functions, gain, observers, samples
from edgert.convert.quantize.observers import Observer
from edgert.errors import ConversionError, InputError


def observe(graph, data, progress=None):
    """Tensor index -> Observer, for each float tensor that the graph computes and for its inputs.

    progress: called with (samples done, of how many).
    Raises: ConversionError if a tensor is not finite.
    """
    _check_weights(graph)
    seen = {}

    def visit(i, array):
        if array.dtype == np.float32:
            observer = seen.setdefault(i, Observer())
            observer.see(array)
            if not np.isfinite([observer.low, observer.high]).all():
                raise ConversionError(f"tensor '{graph.tensors[i].name}' is not finite on the calibration data")

    done = 0
    for wide, arrays, count in batches.runs(graph, data):
        evaluate.graph(wide, arrays, visit)
        done += count
        if progress is not None:
            progress(done, len(data))
    return seen


def _check_weights(graph):
    for tensor in graph.tensors:
        if tensor.is_constant and tensor.dtype == "float32":
            values = np.frombuffer(tensor.data, np.float32)
            bad = int(np.count_nonzero(~np.isfinite(values)))
            if bad:
                raise ConversionError(f"weights '{tensor.name}' hold {bad} values that are NaN or infinite")


def ranges(graph, seen, observer="mse"):
    """Tensor index -> (low, high), by the named rule of `observers.RANGES`; pictures span what their pixels can be."""
    if observer not in observers.RANGES:
        raise InputError(f"observer '{observer}' is none of {', '.join(observers.RANGES)}")
    through, rule = _read_by_functions_only(graph), observers.RANGES[observer]
    if observer == "gain":
        gains = gain.of(graph, seen)
        found = {i: rule(o, through.get(i), gains.get(i)) for i, o in seen.items()}
    else:
        found = {i: rule(o, through.get(i)) for i, o in seen.items()}
    if (pixels := samples.picture_range(graph)) is not None:
        low, high = found[graph.inputs[0]]
        found[graph.inputs[0]] = min(low, pixels[0]), max(high, pixels[1])
    return found


def _read_by_functions_only(graph):
    """Tensor index -> the one function of it that is read: its error counts, not the tensor's own.

    What a SiLU turns into nearly zero may be cut off, for instance.
    """
    found = functions.find(graph)
    wanted, readers = {}, {}
    for node in graph.nodes:
        target = found.get(node.outputs[0])
        if target is None:
            for i in node.inputs:
                readers[i] = readers.get(i, 0) + 1
        else:
            apply = None if target.channels else target.apply  # a histogram does not tell channels apart
            wanted.setdefault(target.root, []).append((node.outputs[0], apply))
    final = {}
    for root, targets in wanted.items():
        read = [apply for out, apply in targets if readers.get(out) or out in graph.outputs]
        if len(read) == 1 and not readers.get(root) and root not in graph.outputs:
            final[root] = read[0]
    return final
