"""Weights of language models from float32 to int8 and int4, any number of rows at a time: a model need not fit memory.

int8: `weight = scale[row] * word`. int4: `weight = scale[row] * group_scale[row, group] * (nibble - 8)`, groups of 32
along a row, the group's scale an int8: both products stay exact integers, so that every tier gives the same bits.
"""

import numpy as np

GROUP = 32
_CACHED = 2**15  # numbers searched at a time: each candidate goes over them again, so they should stay in a near cache
# Candidates for the word that a group's largest weight becomes. -8 is a nibble and 8 is none, so both signs are tried.
_TOPS = np.concatenate([sign * np.linspace(5.5, 8.5, 13) for sign in (-1, 1)]).astype(np.float32)


def quantise_int8(rows):
    """rows (N, K) float32 -> (words (N, K) int8 in -127..127, scale (N,) float32): symmetric, absmax per row."""
    largest = np.abs(rows).max(axis=1)
    scale = np.where(largest > 0, largest / np.float32(127), np.float32(1)).astype(np.float32)
    return np.clip(np.rint(rows / scale[:, None]), -127, 127).astype(np.int8), scale


def quantise_int4(rows, importance=None):
    """rows (N, K) float32 -> (packed (N, K / 2) uint8, scale (N,) float32, group_scale (N, K / 32) int8).

    The scale of a group is searched: the one of 26 candidates with the least squared error, weighted by `importance`
    (K,), such as the mean square of each input, where it is given. Byte j of a group holds its weight j in the low four
    bits and its weight j + 16 in the high ones, each plus 8. K is a multiple of 32.
    """
    n, k = rows.shape
    groups = rows.reshape(n, k // GROUP, GROUP)
    weights = np.ones(k, np.float32) if importance is None else np.asarray(importance, np.float32)
    wanted = _searched(groups, weights.reshape(1, -1, GROUP))  # (N, G): one real scale a group
    scale = (np.abs(wanted).max(axis=1) / np.float32(127)).astype(np.float32)
    scale[scale == 0] = 1
    group_scale = np.clip(np.rint(wanted / scale[:, None]), -127, 127).astype(np.int8)
    step = group_scale * scale[:, None]
    nibbles = np.clip(np.rint(groups / np.where(step == 0, 1, step)[..., None]), -8, 7).astype(np.int8) + 8
    nibbles = nibbles.astype(np.uint8)
    packed = nibbles[..., : GROUP // 2] | (nibbles[..., GROUP // 2 :] << 4)
    return packed.reshape(n, k // 2), scale, group_scale


def _searched(groups, weights):
    """The best real scale (N, G) of each group, among its weight of largest magnitude over each of `_TOPS`."""
    rows = max(_CACHED // (groups.shape[1] * GROUP), 1)
    parts = [_searched_part(groups[at : at + rows], weights) for at in range(0, len(groups), rows)]
    return np.concatenate(parts)


def _searched_part(groups, weights):
    at = np.abs(groups).argmax(axis=-1)[..., None]
    largest = np.take_along_axis(groups, at, axis=-1)[..., 0]
    best, least = largest / _TOPS[0], np.full(largest.shape, np.inf, np.float32)
    words, ones = np.empty_like(groups), np.ones_like(largest)
    for top in _TOPS:
        step = largest / top
        np.divide(groups, np.where(step == 0, ones, step)[..., None], out=words)
        np.clip(np.rint(words, out=words), -8, 7, out=words)
        words *= step[..., None]
        words -= groups
        np.square(words, out=words)
        words *= weights
        error = words.sum(axis=-1)
        better = error < least
        best, least = np.where(better, step, best), np.where(better, error, least)
    return best
