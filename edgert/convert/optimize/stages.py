"""The stages. None changes the candidate that it is given."""

import copy

from edgert import optional
from edgert.convert.optimize.candidate import Candidate
from edgert.convert.optimize.measure import measure
from edgert.errors import InputError


def start(model, example_inputs=(), data=None):
    """(Candidate, Measurement) of what is to be made cheaper: nothing is applied yet.

    model: a torch module with `example_inputs` (a batch of one), or a float Graph.
    Raises: InputError without data, ConversionError and UnsupportedOpError as `from_torch`.
    """
    if data is None:
        raise InputError("give data=optimize.Data(x, y): without rows to run there is nothing to measure")
    if example_inputs:
        from edgert.convert import from_torch

        model = model.eval()
        candidate = Candidate(from_torch(model, example_inputs), data, model, tuple(example_inputs))
    else:
        candidate = Candidate(model, data)
    return candidate, measure(candidate)


def apply_pruning(candidate, target, *, losses=None, measured=True, **options):
    """Cuts channels out of a copy of the network until it costs `target` ("60 %", "3 MMAC", "100 KB", "0.5 ms").

    losses: a function from that copy to an iterable of scalar losses on some batches, for the score "taylor".
    options: of `edgert.convert.prune.prune`; `finetune(network, part, parts)` trains the copy again in between.
    Raises: InputError for a candidate that is quantised or has no torch network, and as `prune`.
    """
    if candidate.network is None or candidate.is_quantised:
        why = "quantised already" if candidate.is_quantised else "no torch network"
        raise InputError(f"pruning needs the float network: this candidate is {why}; prune first")
    from edgert.convert import from_torch
    from edgert.convert.prune import prune

    network = copy.deepcopy(candidate.network)
    prune(network, candidate.example, target, losses=losses and (lambda: losses(network)), **options)
    graph = from_torch(network.eval(), candidate.example)
    return _done(candidate.with_stage("pruning", network=network, graph=graph), measured)


def apply_quantization(candidate, calibration, *, measured=True, **options):
    """int8 weights and activations. calibration, options: of `edgert.convert.quantize.quantize`.

    Raises: ConversionError for a candidate that is quantised already, InputError for the calibration.
    """
    from edgert.convert.quantize import quantize

    graph, _ = quantize(candidate.graph, calibration, **options)
    return _done(candidate.with_stage("quantization", graph=graph), measured)


def apply_acceleration(candidate, *, measured=True):
    """Compiled kernels: ours for an int8 model, torch.compile's for a float network.

    Without it an int8 model runs in NumPy, by the definitions of the operators, and a float network in PyTorch eager.
    """
    if candidate.network is not None and not candidate.is_quantised:
        optional.require("torch", "running a float network")
    return _done(candidate.with_stage("acceleration", accelerated=True), measured)


def apply_caching(candidate, entries=16, *, measured=True):
    """Keeps the answers to the last `entries` different inputs: one that comes again is looked up by its bytes.

    It helps where frames repeat (a still camera, a retried request), costs a comparison where they do not, and changes
    no answer. Raises: InputError for entries below 1.
    """
    if isinstance(entries, bool) or not isinstance(entries, int) or entries < 1:
        raise InputError(f"entries is {entries!r}; keep at least 1 answer")
    return _done(candidate.with_stage("caching", entries=entries), measured)


def _done(candidate, measured):
    return candidate, measure(candidate) if measured else None
