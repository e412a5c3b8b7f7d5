"""The four ways to make a model cheaper, as functions of a model that each give a model and a measurement of it.

    model, before = optimize.start(network, (torch.zeros(1, 3, 32, 32),), optimize.Data(x, y))
    model, _ = optimize.apply_pruning(model, "60 %", finetune=finetune, losses=losses)
    model, _ = optimize.apply_quantization(model, calibration)
    model, _ = optimize.apply_acceleration(model)
    model, after = optimize.apply_caching(model, entries=16)
    for line in optimize.check(after, {"accuracy": 75.0, "latency_ms": 10, "memory_mb": 100, "size_mb": 10}):
        print(line)

`study` measures them one by one, together, and with one left out; `edgert report` draws what it found.
"""

from edgert.convert.optimize.candidate import Candidate, Data
from edgert.convert.optimize.measure import Measurement, Peer
from edgert.convert.optimize.stages import (
    apply_acceleration,
    apply_caching,
    apply_pruning,
    apply_quantization,
    start,
)
from edgert.convert.optimize.study import study
from edgert.convert.optimize.target import check, parse_target

__all__ = [
    "Candidate",
    "Data",
    "Measurement",
    "Peer",
    "apply_acceleration",
    "apply_caching",
    "apply_pruning",
    "apply_quantization",
    "check",
    "parse_target",
    "start",
    "study",
]
