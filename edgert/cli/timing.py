"""Inputs to time a model with, and what a list of times says."""

import os
from time import perf_counter_ns

from edgert.monitor import percentile


def example_inputs(session):
    """Bytes for every input: the file's last golden inputs (a language model's: one token), else a fixed pattern.

    The pattern is zeros where words may be indices.
    """
    golden = session.graph.metadata.golden
    if golden:
        return [bytes(data) for data in golden[-1][0]]
    sizes = [tensor.nbytes for tensor, _ in session.plan.inputs]
    pattern = bytes(value * 37 & 255 for value in range(256))
    return [
        (pattern * (size // 256 + 1))[:size] if spec.dtype in ("int8", "uint8") else bytes(size)
        for spec, size in zip(session.inputs, sizes)
    ]


def pin(cores):
    """Keep this process, its threads included, on these cores."""
    os.sched_setaffinity(0, cores)


def measure(function, runs=None, warmup=10, at_least_ns=2_000_000_000, fewest=20, most=100_000):
    """Times of single calls in nanoseconds, in order. runs None: until `at_least_ns` have passed."""
    for _ in range(warmup):
        function()
    times, started = [], perf_counter_ns()
    while len(times) < (runs or fewest) or (
        runs is None and len(times) < most and perf_counter_ns() - started < at_least_ns
    ):
        before = perf_counter_ns()
        function()
        times.append(perf_counter_ns() - before)
    return times


def summary(times):
    """Minimum, median, 95th percentile and mean in nanoseconds, and how many runs."""
    ordered = sorted(times)
    return {
        "runs": len(ordered),
        "min_ns": ordered[0],
        "median_ns": percentile(ordered, 0.5),
        "p95_ns": percentile(ordered, 0.95),
        "mean_ns": round(sum(ordered) / len(ordered)),
    }
