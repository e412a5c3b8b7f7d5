"""Structured pruning: whole channels are cut out of a PyTorch network, so that every kernel gets less to do.

    def finetune(network, part, parts): ...        # trains the network for a while, in place
    record = edgert.convert.prune.prune(network, example_inputs, "0.5 ms", losses=losses, finetune=finetune)

docs/training.md has a measured example, beside what any pruning must beat: the small network trained from scratch.
"""

import numpy as np

from edgert.convert.prune import costs
from edgert.convert.prune.channels import Channels, check
from edgert.convert.prune.costs import Costs
from edgert.convert.prune.cut import cut, reshape
from edgert.convert.prune.distill import Distiller
from edgert.convert.prune.scores import scores_of
from edgert.errors import InputError

__all__ = ["Distiller", "costs", "prune", "reshape", "shrink"]

LATENCY_SHARE = 0.97  # of the time asked for: the next measurement is not this one


def prune(
    module, example_inputs, target, *, losses=None, finetune=None, score="taylor", parts=4, multiple=8, threads=1
):
    """Cuts channels out of `module`, in place, until it costs `target`: "0.5 ms", "3 MMAC", "100 KB" or "40 %".

    Done in `parts`, each of which cuts the same share of what is left and then calls `finetune(module, part, parts)`.
    example_inputs: a tuple of tensors with a batch of one. losses: a function that gives an iterable of scalar losses
    of the module on some batches, for score "taylor"; the scores "norm" and "gain" need none (`scores`). multiple: how
    many channels of a layer go at a time, as kernels take 8 or 16 side by side. A latency is measured on this machine
    with `threads` threads; weights do not change it.
    Returns a list of dicts, one per state: macs, bytes of weights, parameters and, for a latency, ms.
    Raises: InputError for targets that cannot be read or reached, ConversionError for modules that torch.export cannot
    follow, or whose code counts on a number of channels.
    """
    kind, goal = costs.parse(target)
    if not (isinstance(parts, int) and parts >= 1):
        raise InputError(f"parts is {parts!r}, needs a whole number of at least 1")
    states = [_state(module, example_inputs, kind, threads)]
    goal = goal * states[0]["macs"] if kind == "share" else goal
    kind = "macs" if kind == "share" else kind
    for part in range(1, parts + 1):
        now = states[-1][kind]
        wanted = goal if part == parts else goal * (now / goal) ** ((parts - part) / (parts - part + 1))
        if wanted < now:
            shrink(module, example_inputs, kind, wanted, losses=losses, score=score, multiple=multiple, threads=threads)
        if finetune is not None:
            finetune(module, part, parts)
        states.append(_state(module, example_inputs, kind, threads))
    return states


def shrink(module, example_inputs, kind, goal, *, losses=None, score="taylor", multiple=8, threads=1):
    """One cut: channels of least importance for what they cost go until `kind` (macs, bytes, ms) is at most `goal`.

    Raises: InputError if that is less than what one `multiple` of every layer's channels costs.
    """
    found = Channels(module, example_inputs)
    importance = scores_of(score, module, found, losses)
    order = _order(found, importance, "bytes" if kind == "bytes" else "macs", multiple)
    if kind == "ms":
        kept = _fast_enough(module, example_inputs, found, order, goal, threads)
    else:
        kept = _cheap_enough(found, order, kind, goal)
    cut(module, found, kept)
    check(module, example_inputs)


def _order(found, importance, kind, multiple):
    """Chunks of classes in the order in which they would go: the least importance per cost saved first."""
    price, kept = getattr(Costs(found), kind), np.ones(len(found.removable), bool)
    queues = []
    for group in found.groups():
        ranked = sorted(group, key=lambda c: importance[c])
        first = len(ranked) % multiple or multiple  # what is left is a whole number of `multiple`
        ends = range(first, len(ranked) - multiple + 1, multiple)
        queues.append([ranked[max(end - (first if end == first else multiple), 0) : end] for end in ends])
    order = []
    while any(queues):
        now = price(kept)
        best = None
        for queue in filter(None, queues):
            kept[queue[0]] = False
            value = sum(importance[c] for c in queue[0]) / max(now - price(kept), 1e-9)
            kept[queue[0]] = True
            if best is None or value < best[0]:
                best = value, queue
        chunk = best[1].pop(0)
        kept[chunk] = False
        order.append(chunk)
    return order


def _cheap_enough(found, order, kind, goal):
    price, kept = getattr(Costs(found), kind), np.ones(len(found.removable), bool)
    for chunk in order:
        if price(kept) <= goal:
            return kept
        kept[chunk] = False
    if price(kept) <= goal:
        return kept
    raise InputError(f"cannot get to {goal:,.0f} {kind}: with one multiple of every layer left it is {price(kept):,}")


def _fast_enough(module, example_inputs, found, order, goal, threads):
    """Bisection over how many chunks go, each trial a copy of the module timed in the kernels."""
    import copy

    def time_of(count):
        trial = copy.deepcopy(module)
        cut(trial, found, _without(found, order[:count]))
        return costs.latency_ms(trial, example_inputs, threads=threads)

    low, high = 0, len(order)
    if (least := time_of(high)) > goal:
        raise InputError(f"cannot get to {goal:g} ms: with one multiple of every layer left it takes {least:.3f} ms")
    while low < high:
        middle = (low + high) // 2
        if time_of(middle) <= goal * LATENCY_SHARE:
            high = middle
        else:
            low = middle + 1
    return _without(found, order[:high])


def _without(found, chunks):
    kept = np.ones(len(found.removable), bool)
    for chunk in chunks:
        kept[chunk] = False
    return kept


def _state(module, example_inputs, kind, threads):
    found = Channels(module, example_inputs)
    kept, price = np.ones(len(found.removable), bool), Costs(found)
    state = {"macs": price.macs(kept), "bytes": price.bytes(kept), "parameters": costs.parameters(module)}
    return state | ({"ms": costs.latency_ms(module, example_inputs, threads=threads)} if kind == "ms" else {})
