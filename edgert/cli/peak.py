"""What this CPU can do at best: int8 products and bytes read. The yardstick of `edgert profile`."""

import mmap

from edgert import machine, plan
from edgert.cli.timing import measure
from edgert.graph import Graph, Node, Quant, Record, Tensor

ROWS, DEPTH, COLUMNS = 224, 512, 512  # 59 M products; the weights stay in a 1 MiB cache
_READ_DEPTH = 1024  # of the one-row layer that reads its weights once
_LEAST_READ, _MOST_READ = 256 << 10, 256 << 20
_SLOW_TIER_READ = 1 << 20  # the reference tier is no measure of memory; it only must not take minutes


class Roof(Record):
    """peak: GMAC/s. bandwidth: GB/s read from where a model of `model_bytes` lies once it has run. memory: GB/s read
    from a buffer far beyond the caches, of `memory_bytes`. All with the same threads and tier.
    """

    __slots__ = ("peak", "bandwidth", "model_bytes", "memory", "memory_bytes")

    def limit(self, macs, nbytes):
        """(least nanoseconds that so much work can take, what it waits for: "compute" or "memory")."""
        compute, memory = macs / self.peak, nbytes / self.bandwidth
        return max(compute, memory), "compute" if compute > memory else "memory"


def measure_roof(threads, tier=None, model_bytes=0):
    """The `Roof` for a model whose weights and activations take `model_bytes`."""
    model_bytes = min(max(model_bytes, _LEAST_READ), _MOST_READ)
    memory_bytes = beyond_caches()
    return Roof(
        measured_peak(threads, tier),
        measured_bandwidth(threads, tier, model_bytes),
        model_bytes,
        measured_bandwidth(threads, tier, memory_bytes),
        memory_bytes,
    )


def measured_peak(threads, tier=None):
    """MACs per nanosecond (GMAC/s) of the fastest of a few runs of one large linear layer."""
    weight = bytes(range(256)) * (COLUMNS * DEPTH // 256)
    made = plan.make(_linear(ROWS, DEPTH, COLUMNS, weight), tier=tier, threads=threads)
    times = measure(made.program.run, warmup=2, at_least_ns=300_000_000, fewest=5, most=200)
    return ROWS * DEPTH * COLUMNS / min(times)


def measured_bandwidth(threads, tier=None, nbytes=_MOST_READ):
    """Bytes per nanosecond (GB/s) that a one-row linear layer with `nbytes` of weights reads, over and over."""
    if plan.Program is None or tier == "reference":
        nbytes = min(nbytes, _SLOW_TIER_READ)
    columns = max(nbytes // _READ_DEPTH, 64)
    zeros = mmap.mmap(-1, columns * _READ_DEPTH)  # read only, so all of it is one page; what bind packs is real
    made = plan.make(_linear(1, _READ_DEPTH, columns, zeros), tier=tier, threads=threads)
    times = measure(made.program.run, warmup=2, at_least_ns=100_000_000, fewest=5, most=2000)
    return columns * _READ_DEPTH / min(times)


def beyond_caches():
    """Bytes that no cache of this CPU holds: four times the last one, as far as memory allows."""
    wanted = max(4 * machine.last_cache_bytes(), 16 << 20)
    memory = machine.memory_bytes()
    return min(wanted, _MOST_READ, memory[1] // 8 if memory else _MOST_READ)


def _linear(rows, depth, columns, weight):
    scale = 2.0**-7
    tensors = (
        Tensor("x", "int8", (rows, depth), Quant((scale,))),
        Tensor("weight", "int8", (columns, depth), Quant((scale,) * columns, 0, 0), weight),
        Tensor("bias", "int32", (columns,), Quant((scale * scale,) * columns, 0, 0), bytes(4 * columns)),
        Tensor("y", "int8", (rows, columns), Quant((1.0,))),
    )
    return Graph("peak", tensors, (Node("linear", (0, 1, 2), (3,), {}, "peak"),), (0,), (3,))
