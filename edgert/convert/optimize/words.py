"""Real numbers as the words of a tensor."""

import numpy as np


def to_words(tensor, x):
    """x, real numbers, in the words of `tensor`: as they are, or rounded half to even onto its scale."""
    if tensor.quant is None:
        return x.astype(tensor.dtype)
    limits = np.iinfo(tensor.dtype)
    words = np.rint(x / np.float32(tensor.quant.scale[0])) + tensor.quant.zero_point
    return np.clip(words, limits.min, limits.max).astype(tensor.dtype)
