"""What the CPU at hand can run."""


def flags():
    """Names of the CPU features a tier may need, as a frozenset; empty where the native tier is not built."""
    try:
        from edgert.kernels.native.program import cpu_flags
    except ImportError:
        return frozenset()
    return frozenset(cpu_flags())
