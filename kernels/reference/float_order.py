"""Float arithmetic in a written order, so that every tier gives the same bits: sums, exp, and what is made of exp.

A sum of n numbers is 16 partial sums, the l-th of the numbers l, l + 16, l + 32 ... in that order, and then a tree:
l + 8, l + 4, l + 2, l + 1. Sixteen is the widest vector of any tier; narrower ones hold it in two or four. Products are
rounded before they are added, nowhere is a multiplication fused into an addition.
"""

import numpy as np

F = np.float32
LOG2_E, LN2_HIGH, LN2_LOW = F(1.44269504088896341), F(0.693359375), F(-2.12194440e-4)
ROUNDER = F(12582912.0)  # 1.5 * 2**23: adding it rounds to an integer, half to even
# exp(r) for |r| <= ln(2) / 2. Source: Cephes, expf.c (S. Moshier).
EXP = [
    F(c) for c in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
]
LOWEST, HIGHEST = F(-87.0), F(88.0)  # beyond them a result would be no normal number
# erf(z) for z >= 0, to 1.5e-7. Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
ERF_P = F(0.3275911)
ERF = [F(c) for c in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)]
ROOT_HALF = F(0.70710678118654752)
# tanh's argument in GELU, doubled: 2 * sqrt(2 / pi) * (x + 0.044715 * x**3). Source: Hendrycks and Gimpel, 2016.
GELU_LINEAR, GELU_CUBIC = F(1.5957691216057308), F(0.0713548162726009)


def ordered_sum(x):
    """The sum over the last axis of x (..., n) float32, in the order above; (...) float32."""
    n = x.shape[-1]
    partial = np.zeros((*x.shape[:-1], 16), np.float32)
    for first in range(0, n - n % 16, 16):
        partial += x[..., first : first + 16]
    if n % 16:
        partial[..., : n % 16] += x[..., n - n % 16 :]
    for half in (8, 4, 2, 1):
        partial = partial[..., :half] + partial[..., half:]
    return partial[..., 0]


def exp(x):
    """e**x of float32, within 2 units in the last place; x is clamped to -87..88."""
    x = np.minimum(np.maximum(x, LOWEST), HIGHEST)
    rounded = x * LOG2_E + ROUNDER
    n = rounded - ROUNDER
    r = x - n * LN2_HIGH
    r = r - n * LN2_LOW
    y = np.full_like(r, EXP[0])
    for coefficient in EXP[1:]:
        y = y * r + coefficient
    y = y * (r * r) + r
    y = y + F(1)
    return y * np.ldexp(F(1), n.astype(np.int32))


def silu(x):
    """x / (1 + exp(-x))."""
    return x / (F(1) + exp(-x))


def gelu_tanh(x):
    """x * sigmoid(2 u) = x * (1 + tanh(u)) / 2."""
    u = x * (GELU_LINEAR + GELU_CUBIC * (x * x))
    return x / (F(1) + exp(-u))


def gelu(x):
    """x * Phi(x), Phi by erf of |x| / sqrt(2)."""
    z = np.abs(x) * ROOT_HALF
    t = F(1) / (F(1) + ERF_P * z)
    y = np.full_like(t, ERF[0])
    for coefficient in ERF[1:]:
        y = y * t + coefficient
    tail = y * t * exp(-(z * z)) * F(0.5)  # 1 - Phi(|x|)
    return x * np.where(x < 0, tail, F(1) - tail)


GATES = {"silu": silu, "gelu": gelu, "gelu_tanh": gelu_tanh}
