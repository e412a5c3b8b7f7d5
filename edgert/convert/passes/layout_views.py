"""Orders of axes: `perm` of n axes such that `y = x.transpose(perm)`, i.e. axis i of y is axis perm[i] of x."""

from math import prod


def in_order(rank):
    return tuple(range(rank))


def inverse(perm):
    found = [0] * len(perm)
    for i, axis in enumerate(perm):
        found[axis] = i
    return tuple(found)


def compose(first, second):
    """The perm of `x.transpose(first).transpose(second)`."""
    return tuple([first[axis] for axis in second])


def turned(values, perm):
    """Per-axis values of `x.transpose(perm)`, given those of x."""
    return tuple([values[axis] for axis in perm])


def is_free(shape, perm):
    """Whether transposing an array of `shape` moves nothing: only axes of size 1 change places."""
    return [a for a in perm if shape[a] != 1] == [a for a in range(len(shape)) if shape[a] != 1]


def groups(before, after):
    """How a reshape merges and splits axes: [(axes of `before`, axes of `after`)] of equal size; axes of size 1 are
    left out.
    """
    found, i, j = [], 0, 0
    while i < len(before) or j < len(after):
        left, right = [], []
        while True:
            size_left, size_right = prod([before[a] for a in left]), prod([after[b] for b in right])
            if left and right and size_left == size_right:
                break
            if size_left <= size_right and i < len(before):
                left += [i] if before[i] != 1 else []
                i += 1
            elif j < len(after):
                right += [j] if after[j] != 1 else []
                j += 1
            else:
                break
        if left or right:
            found.append((left, right))
    return found


def reshaped(stored_shape, perm, before, after):
    """The order in which `stored` (with `old == stored.transpose(perm)`, old of shape `before`) can be reshaped to
    `after` without moving anything: the axes of `after` as they lie in memory. None where that is impossible.
    """
    order = [a for a in range(len(perm)) if stored_shape[a] != 1]  # stored axes that matter, as they lie
    place = {axis: at for at, axis in enumerate(order)}
    starts = []
    for left, right in groups(before, after):
        places = [place[perm[a]] for a in left]
        if places != list(range(places[0], places[0] + len(places))):
            return None
        starts.append((places[0], right))
    lying = [b for _, right in sorted(starts) for b in right]
    for b, size in enumerate(after):  # an axis of size 1 goes to its neighbour before it
        if size == 1:
            lying.insert(lying.index(b - 1) + 1 if b else 0, b)
    return lying
