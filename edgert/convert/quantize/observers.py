"""What calibration sees of each tensor, and the range that is then spanned by the 256 words.

An observer keeps the exact minimum and maximum (also of each channel) and a histogram. `RANGES` turns it into a range:
min-max loses nothing and spends words on outliers; percentile, KL and MSE cut tails off.
"""

from math import gcd

import numpy as np

BINS = 2**14
MIN_BINS_PER_WORD = 8
MAX_HISTOGRAM_VALUES = 2**16  # of one tensor in one run: a histogram needs no more, and counting is what takes the time
ROWS, MAX_ROWS = 48, 1200  # positions kept of one run, and of all
GRID = np.linspace(0.02, 1.0, 50)  # shares of the minimum or maximum that the search tries
LEVELS = 255  # steps between the 256 words


class Observer:
    """The values of one tensor over all calibration runs.

    low, high: minimum and maximum. channel_low, channel_high: the same along the last axis. rows: some positions, with
    all channels. counts: histogram of BINS bins over [-limit, limit], where limit is a power of two that grows with the
    values.
    """

    def __init__(self):
        self.low, self.high = np.inf, -np.inf
        self.channel_low = self.channel_high = None
        self.rows = []
        self.limit, self.counts = 2.0**-40, np.zeros(BINS, np.int64)

    def see(self, x):
        """Counts float array x (N, ..., C) in."""
        rows = x.reshape(-1, x.shape[-1]) if x.ndim else x.reshape(1, 1)
        if sum(map(len, self.rows)) < MAX_ROWS:
            chosen = np.random.default_rng(len(self.rows)).integers(0, len(rows), min(ROWS, len(rows)))
            self.rows.append(rows[chosen])
        low, high = rows.min(0), rows.max(0)
        if self.channel_low is not None:
            low, high = np.minimum(low, self.channel_low), np.maximum(high, self.channel_high)
        self.channel_low, self.channel_high = low, high
        self.low, self.high = float(low.min()), float(high.max())
        if not np.isfinite([self.low, self.high]).all():
            return
        while max(-self.low, self.high) > self.limit:
            self._widen()
        self.counts += self._histogram(_thinned(x))

    def _widen(self):
        pairs = self.counts.reshape(-1, 2).sum(1)
        self.counts = np.zeros(BINS, np.int64)
        self.counts[BINS // 4 : BINS // 4 * 3] = pairs
        self.limit *= 2.0

    def _histogram(self, values):
        bins = ((values + self.limit) * (BINS / 2 / self.limit)).astype(np.int32)
        return np.bincount(np.minimum(bins, BINS - 1), minlength=BINS)

    def moved(self, factor, offset=0.0):
        """The observer of (x - offset) / factor, each (C) per channel, factor > 0; its histogram is of `rows` alone."""
        made = Observer()
        moved = [((rows - offset) / factor).astype(np.float32) for rows in self.rows]
        for rows in moved:
            made.see(rows)
        made.rows = moved
        made.channel_low = (self.channel_low - offset) / factor
        made.channel_high = (self.channel_high - offset) / factor
        made.low, made.high = float(made.channel_low.min()), float(made.channel_high.max())
        return made

    def values(self):
        """(the middle of each bin that was hit, how often it was)."""
        hit = np.flatnonzero(self.counts)
        return (hit + 0.5) * (2 * self.limit / BINS) - self.limit, self.counts[hit]


def _thinned(x):
    """At most MAX_HISTOGRAM_VALUES values, from all channels alike."""
    step = max(1, x.size // MAX_HISTOGRAM_VALUES)
    while gcd(step, x.shape[-1] if x.ndim else 1) > 1 and step > 1:
        step += 1
    return x.reshape(-1)[::step].astype(np.float64)


def minmax(observer, function=None):
    return observer.low, observer.high


def percentile(observer, function=None, share=0.9999):
    """The range that `share` of the values lie in, the rest cut off evenly on both sides."""
    values, counts = observer.values()
    below = np.cumsum(counts) / counts.sum()
    low = values[np.searchsorted(below, (1 - share) / 2)]
    high = values[min(np.searchsorted(below, (1 + share) / 2), len(values) - 1)]
    return max(float(low), observer.low), min(float(high), observer.high)


def mse(observer, function=None):
    """The range with the smallest mean squared error, that of `function` of the values where one is given."""
    values, counts = observer.values()
    wanted = values if function is None else function(values)
    weights = counts / counts.sum()

    def error(low, high):
        real = rounded(values, low, high)
        return float((weights * (wanted - (real if function is None else function(real))) ** 2).sum())

    return _search(observer, error)


def gain(observer, function=None, gains=None):
    """The range with the smallest mean squared error where each channel counts as much as its readers make of it.

    gains (C): power that readers give to each channel; None: `mse`. A channel that the next layer multiplies by little
    may then saturate, to leave finer steps to those that matter.
    """
    if gains is None:
        return mse(observer, function)
    rows = np.concatenate(observer.rows).astype(np.float64)
    wanted = rows if function is None else function(rows)

    def error(low, high):
        real = rounded(rows, low, high)
        return float((((wanted - (real if function is None else function(real))) ** 2).mean(0) * gains).sum())

    return _search(observer, error)


def kl(observer, function=None):
    """The range whose words keep most of the distribution: smallest Kullback-Leibler divergence.

    Source: S. Migacz, 8-bit inference with TensorRT, GTC 2017, here for ranges that need not be symmetric.
    """
    values, counts = observer.values()

    def error(low, high):
        scale = (high - low) / LEVELS
        if scale < MIN_BINS_PER_WORD * 2 * observer.limit / BINS:
            return np.inf  # with hardly more bins than words any cut would look lossless
        word = np.clip(np.rint((values - low) / scale), 0, LEVELS).astype(np.int64)
        inside = (values >= low - scale / 2) & (values <= high + scale / 2)
        mass, width = np.bincount(word[inside], counts[inside], LEVELS + 1), np.bincount(word[inside], minlength=256)
        p = np.where(inside, counts, 0).astype(np.float64)
        edges = np.flatnonzero(inside)
        p[edges[0]] += counts[: edges[0]].sum()
        p[edges[-1]] += counts[edges[-1] + 1 :].sum()
        q = np.where(inside, mass[word] / np.maximum(width[word], 1), 0.0)
        p, q = p / p.sum(), q / q.sum()
        used = p > 0
        return float((p[used] * np.log(p[used] / np.maximum(q[used], 1e-12))).sum())

    return _search(observer, error)


def _search(observer, error):
    """Shrinks both ends from minimum and maximum, each twice in turn, to where `error(low, high)` is least."""
    low, high = min(observer.low, 0.0), max(observer.high, 0.0)
    if high == low:
        return low, high
    best = [low, high]
    for end in (1, 0, 1, 0):
        start = (low, high)[end]
        if start == 0.0:
            continue
        tried = []
        for share in GRID:
            ends = list(best)
            ends[end] = start * share
            if ends[1] > ends[0]:
                tried.append((error(*ends), -share, ends))
        best = min(tried)[2] if tried else best
    return tuple(best)


def rounded(values, low, high):
    """The real numbers that words spanning [low, high] can give for `values`."""
    scale = (high - low) / LEVELS
    zero = np.rint(-low / scale)
    return (np.clip(np.rint(values / scale) + zero, 0, LEVELS) - zero) * scale


RANGES = {"minmax": minmax, "percentile": percentile, "mse": mse, "kl": kl, "gain": gain}
