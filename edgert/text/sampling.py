"""Choosing the next token from a row of logits.

In this order: the logits of tokens that are in the text already are divided by `repetition_penalty` where they are
positive and multiplied by it where not; divided by `temperature` they become probabilities (0: the largest logit wins,
the lowest id of equal ones, and the rest of this does not apply); the `top_k` likeliest are kept; of them, the fewest
that hold `top_p` of their probability; of them, those with at least `min_p` of the likeliest one's probability. One of
what is left is drawn.

Source: repetition penalty, Keskar et al. 2019 (CTRL); top-p, Holtzman et al. 2019; min-p, Nguyen et al. 2024.
"""

from edgert.errors import InputError, ModelFormatError
from edgert.graph import Record

try:
    from edgert.kernels.native.choose import Chooser
except ImportError:  # no compiler when it was installed
    Chooser = None

MAX_SEED = 2**64 - 1
_MASK = 2**64 - 1


class Sampling(Record):
    """How tokens are chosen; the defaults are the command line's. seed None: another text each time.

    Raises: InputError naming the field that is out of range.
    """

    __slots__ = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")
    _defaults = {
        "temperature": 0.8, "top_k": None, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0, "seed": None,
    }  # fmt: skip

    def __init__(self, *args, **fields):
        super().__init__(*args, **fields)
        check_number("temperature", self.temperature, 0.0, 100.0)
        check_number("top_p", self.top_p, 0.0, 1.0, above=True)
        check_number("min_p", self.min_p, 0.0, 1.0)
        check_number("repetition_penalty", self.repetition_penalty, 0.01, 100.0)
        if self.top_k is not None:
            check_count("top_k", self.top_k, 1, 2**31 - 1)
        if self.seed is not None:
            check_count("seed", self.seed, 0, MAX_SEED)


def check_number(name, value, low, high, above=False):
    """Raises: InputError unless `value` is a real number from `low` (or above it) to `high`."""
    # A comparison with NaN is false, so this refuses it too.
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not low <= value <= high
        or above * (value == low)
    ):
        edge = "above" if above else "from"
        raise InputError(f"{name} is {value!r}; it must be a number {edge} {low:g} to {high:g}")


def check_count(name, value, low, high):
    """Raises: InputError unless `value` is an integer from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        shown = repr(value) if not isinstance(value, int) or -(2**70) < value < 2**70 else "a number of many digits"
        raise InputError(f"{name} is {shown}; it must be a whole number from {low:,} to {high:,}")


class Sampler:
    """Draws tokens below `vocabulary` as `sampling` says. Two with the same seed draw the same."""

    def __init__(self, sampling, vocabulary):
        self._sampling = sampling
        self._state = _seed(sampling.seed)
        self._chooser = (Chooser or PythonChooser)(vocabulary)
        self._rules = (
            float(sampling.repetition_penalty), float(sampling.temperature), sampling.top_k or 0, float(sampling.top_p),
            float(sampling.min_p),
        )  # fmt: skip

    def choose(self, logits, history):
        """(token, its logit before any rule). logits: a memoryview of float32. history: ids in the text so far.

        Raises: ModelFormatError if the logits are no numbers.
        """
        token, logit = self._chooser.choose(logits, history, *self._rules, self._draw())
        if token < 0:
            raise ModelFormatError(f"the model's logits are no finite numbers (the largest is {logit})")
        return token, logit

    def _draw(self):
        """A random number, 0 <= it < 1. Source: splitmix64 (Steele, Lea, Flood 2014)."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & _MASK
        return ((z ^ z >> 31) >> 11) * 2.0**-53


def _seed(seed):
    if seed is not None:
        return seed
    from os import urandom

    return int.from_bytes(urandom(8), "little")


class PythonChooser:
    """What `kernels.native.choose.Chooser` is, where nothing is compiled: the same rules, some hundred times slower."""

    def __init__(self, n):
        self.n = n

    def choose(self, row, history, penalty, temperature, top_k, top_p, min_p, draw):
        """As `Chooser.choose`."""
        logits = row[: self.n].tolist()
        if penalty != 1.0:
            for token in {t for t in history if 0 <= t < self.n}:
                logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
        largest = max([x for x in logits if x == x], default=float("nan"))
        if not -float("inf") < largest < float("inf"):
            return -1, largest
        if temperature == 0:
            chosen = logits.index(largest)
        else:
            chosen = _drawn(logits, largest, temperature, top_k, top_p, min_p, draw)
        return chosen, row[chosen]


def _drawn(logits, largest, temperature, top_k, top_p, min_p, draw):
    from math import exp

    weights = [exp((x - largest) / temperature) if x == x else 0.0 for x in logits]
    if top_k == 0 and top_p >= 1:
        order = [i for i, weight in enumerate(weights) if weight > 0 and weight >= min_p]
    else:
        order = sorted(range(len(weights)), key=lambda i: -weights[i])[: top_k or None]
        order = order[: _first_reaching(order, weights, top_p * sum([weights[i] for i in order]))]
        order = [i for i in order if weights[i] >= min_p]
    return order[_first_reaching(order, weights, draw * sum([weights[i] for i in order])) - 1]


def _first_reaching(order, weights, mass):
    """How many tokens of `order` weigh `mass` together."""
    total = 0.0
    for count, i in enumerate(order, 1):
        total += weights[i]
        if total >= mass:
            return count
    return len(order)
