"""What this CPU can do at best in int8: the yardstick of `edgert profile`."""

from edgert import plan
from edgert.cli.timing import measure
from edgert.graph import Graph, Node, Quant, Tensor

ROWS, DEPTH, COLUMNS = 224, 512, 512  # 59 M products; the weights stay in a 1 MiB cache


def measured_peak(threads, tier=None):
    """MACs per nanosecond (GMAC/s) of the fastest of a few runs of one large linear layer."""
    made = plan.make(_large_linear(), tier=tier, threads=threads)
    times = measure(made.program.run, warmup=2, at_least_ns=300_000_000, fewest=5, most=200)
    return ROWS * DEPTH * COLUMNS / min(times)


def _large_linear():
    words = bytes(range(256))
    weight = words * (COLUMNS * DEPTH // 256)
    bias = bytes(4 * COLUMNS)
    scale = 2.0**-7
    tensors = (
        Tensor("x", "int8", (ROWS, DEPTH), Quant((scale,))),
        Tensor("weight", "int8", (COLUMNS, DEPTH), Quant((scale,) * COLUMNS, 0, 0), weight),
        Tensor("bias", "int32", (COLUMNS,), Quant((scale * scale,) * COLUMNS, 0, 0), bias),
        Tensor("y", "int8", (ROWS, COLUMNS), Quant((1.0,))),
    )
    return Graph("peak", tensors, (Node("linear", (0, 1, 2), (3,), {}, "peak"),), (0,), (3,))
