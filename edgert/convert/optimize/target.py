"""A declared target passes or fails, with the numbers."""

from edgert.errors import InputError

# What may be declared -> (field of a Measurement, whether more is better, unit)
GOALS = {
    "accuracy": ("accuracy", True, " %"),
    "latency_ms": ("latency_ms", False, " ms"),
    "memory_mb": ("memory_mb", False, " MB"),
    "size_mb": ("size_mb", False, " MB"),
}


class Verdict:
    """One line of a target: name, wanted, found, passed; its text says all four."""

    def __init__(self, name, wanted, found):
        self.name, self.wanted, self.found = name, wanted, found
        more_is_better = GOALS[name][1]
        self.passed = found is not None and (found >= wanted if more_is_better else found <= wanted)

    def __str__(self):
        _, more_is_better, unit = GOALS[self.name]
        sign = ">=" if more_is_better else "<="
        found = "not measured" if self.found is None else f"{self.found:.4g}{unit}"
        return f"{'pass' if self.passed else 'FAIL'}  {self.name}: {found}, wanted {sign} {self.wanted:g}{unit}"


def parse_target(target):
    """The declared target as a dict, checked.

    Raises: InputError naming what cannot be declared or is no number.
    """
    for name, wanted in dict(target).items():
        if name not in GOALS:
            raise InputError(f"target {name!r} is unknown; there are {', '.join(GOALS)}")
        if isinstance(wanted, bool) or not isinstance(wanted, (int, float)) or not 0 <= wanted < float("inf"):
            raise InputError(f"target {name} is {wanted!r}; it needs a number")
    return dict(target)


def check(measurement, target):
    """A Verdict for each entry of `target`, in its order. Raises: InputError as parse_target."""
    return [
        Verdict(name, wanted, getattr(measurement, GOALS[name][0])) for name, wanted in parse_target(target).items()
    ]
