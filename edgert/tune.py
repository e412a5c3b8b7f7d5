"""Choose the fastest kernel for every node of a model on this machine, by measuring all that give the same bits.

Noise decides nothing: candidates take turns, a round's figure is a median of minima, and a challenger replaces the
reigning kernel only if it wins clearly in nearly every round. In the end the whole model must be faster with the
choices than without, or there are none.
"""

import os
from random import Random
from statistics import median
from time import perf_counter_ns

from edgert import plan, tuned
from edgert.errors import InputError
from edgert.format import reader
from edgert.graph import TOKENS, Record
from edgert.kernels import tiers
from edgert.messages import say
from edgert.threads import thread_count

ROUNDS = 5
WINS = 4  # of these rounds, to be chosen
MARGIN = 0.03  # of the reigning kernel's time that a challenger must save in each of those
LEAST_GAIN_NS = 20  # and as much as reading the clock costs
WHOLE_MARGIN = 0.005  # of the whole model's time, or its choices are not worth having
_SLACK = 64  # kernels may read this far past an activation

_TURNS = 5  # of each plan in a round
_TURN_NS = 2_000_000  # a turn repeats short runs for so long
_MOST_RUNS = 200


class Result(Record):
    """What was found. rows: a `Row` per step. untuned_ns, tuned_ns: one run of the whole model. path: where the choices
    are kept, None if there are none: nothing won, or the whole model was not faster.
    """

    __slots__ = ("rows", "choices", "untuned_ns", "tuned_ns", "threads", "path")


class Row(Record):
    """A step: the node, (tier, variant) of its default and of the winner, their times, and how many were compared."""

    __slots__ = ("node", "op", "shape", "default", "winner", "default_ns", "winner_ns", "candidates")


class Clock:
    """Measures plans on this machine. Tests put their own in its place."""

    def steps(self, plans):
        """For each plan, nanoseconds of each step: the median over turns of the fastest run in a turn."""
        for made in plans:
            made.program.profile(True)
        figures = self._turns(plans, lambda made: made.program.times_ns())
        for made in plans:
            made.program.profile(False)
        return figures

    def whole(self, plans):
        """For each plan, nanoseconds of a whole run, as `steps`."""
        return [times[0] for times in self._turns(plans, None)]

    def _turns(self, plans, times_of):
        minima = [[] for _ in plans]
        for _ in range(_TURNS):
            for made, kept in zip(plans, minima):
                kept.append(_fastest(made, times_of))
        return [[median(times) for times in zip(*kept)] for kept in minima]


def _fastest(made, times_of):
    """The least time of each step (of the whole if times_of is None) in the runs of one turn; a run warms up."""
    inputs = [random_words(tensor, Random(0)) for tensor, _ in made.inputs]
    fastest, runs, done = None, 1, -1
    while done < runs:
        for (_, view), words in zip(made.inputs, inputs):
            view[:] = words
        started = perf_counter_ns()
        made.program.run()
        elapsed_ns = perf_counter_ns() - started
        times = times_of(made) if times_of else [elapsed_ns]
        if done >= 0:
            fastest = times if fastest is None else [min(pair) for pair in zip(fastest, times)]
        else:
            runs = max(1, min(_MOST_RUNS, _TURN_NS // max(elapsed_ns, 1)))
        done += 1
    return fastest


def tune(path, threads=None, native_only=False, clock=None):
    """Measure the model in file `path` and keep what won for later loads of it here. Returns: a `Result`.

    threads: as for `edgert.load`; choices count for that number alone. native_only: leave out the jit tier, whose
    kernels make every start slower. Raises: InputError if EDGERT_TIER forces a tier, and what loading raises.
    """
    forced = os.environ.get("EDGERT_TIER")
    if forced:
        raise InputError(f"EDGERT_TIER forces tier {forced!r}, so there is nothing to choose; unset it to tune")
    loaded, threads, clock = reader.read(path), thread_count(threads), clock or Clock()
    tokens = 1 if any(TOKENS in tensor.shape for tensor in loaded.graph.tensors) else None

    def make(choices):
        return plan.make(loaded.graph, threads=threads, tokens=tokens, choices=choices)

    default = make({})
    offers = _offers(default, threads, native_only)
    times = _rounds(clock, [default] + [make(choices) for choices in _configurations(offers)], offers)
    places = {index: pick(rounds) for index, rounds in times.items()}
    choices = {index: offers[index][place] for index, place in places.items() if place}
    untuned_ns, tuned_ns, path = 0, 0, None
    if choices:
        untuned_ns, tuned_ns, faster = _compare(clock, default, make(choices))
        if faster:
            path = tuned.write(loaded, threads, choices, untuned_ns, tuned_ns)
    if path is None:
        tuned.clear(loaded, threads)
    rows = [_row(default.graph, index, offers[index], places[index], times[index]) for index, *_ in default.steps]
    return Result(rows, choices, untuned_ns, tuned_ns, threads, path)


def pick(rounds):
    """The place of the winner in lists of times, one list a round, the default first."""
    best = 0
    for place in range(1, len(rounds[0])):
        wins = sum(times[place] < times[best] * (1 - MARGIN) - LEAST_GAIN_NS for times in rounds)
        if wins >= WINS * len(rounds) / ROUNDS:
            best = place
    return best


def _offers(default, threads, native_only):
    """Dict from node index to the [(tier, variant)] that give the default's bits, the default first."""
    order = [tier for tier in tiers.available() if tier != "reference" and not (native_only and tier == "jit")]
    order = [tier for tier in order if tier != "scalar"] or order
    offers = {}
    for index, tier, _, _ in default.steps:
        op = default.graph.nodes[index].op
        others = [(name, variant) for name in order for variant in tiers.variants(name, op)]
        others = [offer for offer in others if offer != (tier, "")]
        offers[index] = [(tier, ""), *_alike(default.graph, index, (tier, ""), others, threads)]
    return offers


def _alike(graph, index, default, others, threads):
    """Those of `others` that have a kernel for the node and answer as the default does."""
    expected = _answer(graph, index, default, threads) if others else None
    if expected is None:
        return []
    alike = []
    for offer in others:
        answer = _answer(graph, index, offer, threads)
        if answer == expected:
            alike.append(offer)
        elif answer is not None:
            node, kernel = graph.nodes[index], " ".join(offer).strip()
            say(f"node {index} {node.name!r} ({node.op}): {kernel} differs from {default[0]} and is left out: a bug")
    return alike


def _answer(graph, index, offer, threads):
    """The bytes that a kernel makes of random input, or None if it is not a compiled one or declines."""
    node = graph.nodes[index]
    indices = (*node.inputs, *node.outputs)
    specs = [graph.tensors[i] if i >= 0 else None for i in indices]
    count = len(node.inputs)
    bound = tiers.bind(offer[0], node.op, tuple(specs[:count]), tuple(specs[count:]), node.attrs, offer[1])
    if bound is None or bound[0] != "native":
        return None
    from edgert.kernels.native.program import AlignedBuffer, Program, address_of

    random = Random(index)
    addresses, kept = {-1: 0}, []
    for i, spec in zip(indices, specs):
        if i in addresses:
            continue
        if spec.is_constant:
            addresses[i] = address_of(spec.data)
            continue
        buffer = AlignedBuffer(spec.nbytes + _SLACK)
        memoryview(buffer).cast("B")[: spec.nbytes] = random_words(spec, random)
        addresses[i] = buffer.address
        kept.append(buffer)
    Program([(bound[1], tuple([addresses[i] for i in indices]))], threads).run()
    return bytes(memoryview(kept[-1]).cast("B")[: specs[-1].nbytes])


def random_words(spec, random):
    """Bytes for a tensor: any words, but real numbers of moderate size."""
    if spec.dtype == "float32":
        from array import array

        return array("f", [random.uniform(-8, 8) for _ in range(spec.size)]).tobytes()
    words = random.randbytes(spec.nbytes)
    return bytes([byte & 1 for byte in words]) if spec.dtype == "bool" else words


def _configurations(offers):
    """As many dicts of choices as it takes for every offer to be in one; nodes with fewer keep their default."""
    most = max([len(offer) for offer in offers.values()], default=1)
    for place in range(1, most):
        yield {index: offer[place] for index, offer in offers.items() if len(offer) > place}


def _rounds(clock, plans, offers):
    """Dict from node index to a list per round of the times of its offers."""
    times = {index: [] for index in offers}
    for _ in range(ROUNDS if len(plans) > 1 else 1):
        measured = clock.steps(plans)
        for step, (index, *_) in enumerate(plans[0].steps):
            times[index].append([measured[place][step] for place in range(len(offers[index]))])
    return times


def _compare(clock, default, changed):
    """(nanoseconds of the default, of the changed plan, whether the latter is faster and says the same)."""
    rounds = [clock.whole([default, changed]) for _ in range(ROUNDS)]
    untuned_ns, tuned_ns = [round(median(times)) for times in zip(*rounds)]
    faster = sum(after < before * (1 - WHOLE_MARGIN) for before, after in rounds) >= WINS
    same = _run(default) == _run(changed)
    if not same:
        say("the tuned model's answer differs from the untuned one's, which is kept: a bug")
    return untuned_ns, tuned_ns, faster and same


def _run(made):
    random = Random(1)
    for tensor, view in made.inputs:
        view[:] = random_words(tensor, random)
    made.program.run()
    return [bytes(view) for _, view in made.outputs]


def _row(graph, index, offers, place, rounds):
    node = graph.nodes[index]
    before, after = [median([times[i] for times in rounds]) for i in (0, place)]
    shape = list(graph.tensors[node.outputs[0]].shape)
    return Row(index, node.op, shape, offers[0], offers[place], round(before), round(after), len(offers))
