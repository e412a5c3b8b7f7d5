"""The dispatch table: which kernels exist, what they need of the CPU, and which come first.

A node is offered to the tiers in order and the first that implements its case takes it. Numeric results are the same
in all of them, bit for bit; only the speed differs.
"""

import os
from importlib import import_module

from edgert.kernels import cpu

# (tier, module, CPU flags it needs), fastest first. A module whose flags are missing is never even imported.
TIERS = (
    ("avx512vnni", "edgert.kernels.native._avx512vnni", ("avx512vnni",)),
    ("avx2", "edgert.kernels.native._avx2", ("avx2",)),
    ("neondot", "edgert.kernels.native._neondot", ("neon", "asimddp")),
    ("neon", "edgert.kernels.native._neon", ("neon",)),
    ("scalar", "edgert.kernels.native._scalar", ()),
    ("jit", "edgert.kernels.jit", ()),  # needs numba; only offered where it is asked for or nothing is compiled
    ("reference", "edgert.kernels.reference", ()),
)

CUSTOM = {}  # custom ops by name: objects with bind(tier, inputs, outputs, attrs), see edgert/custom.py

_modules = {}


def _module(tier):
    """The tier's module, or None where it was not built."""
    if tier not in _modules:
        name = next(module for known, module, _ in TIERS if known == tier)
        try:
            _modules[tier] = import_module(name)
        except ImportError as error:
            # Only "there is no such module" means not built; anything else is a fault that must be seen.
            if not (error.name and error.name.startswith("edgert.kernels.native")):
                raise
            _modules[tier] = None
    return _modules[tier]


def supported():
    """Tiers whose CPU flags are present here, best first, built or not; jit where Numba is installed."""
    return [tier for tier in _fit() if tier != "jit" or has_numba()]


def _fit():
    present = cpu.flags()
    return [tier for tier, _, needs in TIERS if present.issuperset(needs)]


def has_numba():
    """Whether Numba is installed; does not import it."""
    from importlib.machinery import PathFinder

    return PathFinder.find_spec("numba") is not None


def has_native():
    """Whether this installation has a compiled executor, and so, normally, compiled kernels."""
    try:
        import edgert.kernels.native.program  # noqa: F401
    except ImportError:
        return False
    return True


def available():
    """Tiers that can run here, best first; loads every one of them."""
    return [tier for tier in supported() if tier == "reference" or _module(tier) is not None]


def resolve(forced=None):
    """Tiers to offer a node to, in order.

    forced (or the environment variable EDGERT_TIER) names the one to start with: what it does not implement falls to
    the plain tiers, scalar and reference. jit is there unless forced only where nothing is compiled: the others need no
    compiling at run time. Raises: ValueError for a tier that is unknown, not built or beyond this CPU.
    """
    forced = forced or os.environ.get("EDGERT_TIER") or None
    if forced is None and has_native():
        return [tier for tier in _fit() if tier != "jit"]
    present = supported()
    if forced is None:
        return present
    known = [tier for tier, _, _ in TIERS]
    if forced not in known:
        raise ValueError(f"there is no tier {forced!r}; the tiers are {', '.join(known)}")
    if forced == "jit" and forced not in present:
        raise ValueError("tier 'jit' needs the package numba: pip install 'edgert[jit]'")
    if forced not in present:
        needs = next(needs for tier, _, needs in TIERS if tier == forced)
        raise ValueError(
            f"this CPU cannot run tier {forced!r}: it needs {' and '.join(needs)}; usable here: {', '.join(present)}"
        )
    if forced != "reference" and _module(forced) is None:
        raise ValueError(f"tier {forced!r} is not built into this installation (`edgert doctor` says why)")
    return [forced] + [tier for tier in ("scalar", "reference") if tier != forced and forced != "reference"]


def order_for(op, order):
    """`order`, and for a custom op also jit: no compiled tier has a kernel for it."""
    if op not in CUSTOM or "jit" in order or order == ["reference"] or not has_numba():
        return order
    return [*[tier for tier in order if tier != "reference"], "jit", "reference"]


def variants(tier, op):
    """Names of the ways this tier can run `op`, the default "" first; `edgert tune` chooses among them."""
    names = getattr(_module(tier), "variants", None)
    return ("", *names(op)) if names else ("",)


def bind(tier, op, inputs, outputs, attrs, variant=""):
    """Offer a node to a tier: ("native", Step), ("python", function of two lists of arrays), or None if it declines.

    inputs, outputs: tuples of tensor specs (None for an absent input); attrs: dict. variant: one of `variants`.
    """
    if op in CUSTOM:
        bound = CUSTOM[op].bind(tier, inputs, outputs, attrs)
        return None if bound is None else ("python" if callable(bound) else "native", bound)
    module = _module(tier)
    if module is None:
        return None
    try:
        chosen = (variant,) if variant else ()
        bound = module.bind(op, inputs, outputs, attrs, *chosen)
    except NotImplementedError:
        return None
    if bound is None:
        return None
    return ("python" if callable(bound) else "native"), bound
