"""The budget: repairs are tried in order of what they cost until the measured loss is within it.

First what costs nothing when the model runs (biases, rounding, ranges, equalisation), then what costs a little (own
scales before a concat, a table for each channel of an activation), at last what costs most: single nodes in float,
those first whose quantisation alone hurts the answer most.
"""

import copy

from edgert.convert.quantize import calibrate, channels, effects, equalise, goals, rebuild

LOST_DB, MENDED_DB = 15.0, 10.0  # a layer whose answer keeps less SQNR than this, where as much is gained by a repair
MAX_FLOAT_NODES = 6


class State:
    """A graph, its observers and a recipe: what repairs change. value: its measure, int8: the graph made of it."""

    def __init__(self, graph, seen, recipe, data):
        self.graph, self.seen, self.recipe, self.data = graph, seen, recipe, data
        self.int8 = self.value = None

    def changed(self):
        state = copy.copy(self)
        state.recipe = copy.copy(self.recipe)
        for name in ("in_float", "apart", "rounded", "biases", "ranges", "pinned"):
            setattr(state.recipe, name, copy.copy(getattr(self.recipe, name)))
        return state


def hold(state, goal, make, record, progress=None):
    """Repairs `state` until `goal` is reached or nothing is left to try; returns the best state.

    make: function(State) -> int8 Graph. record: gets a sentence per step.
    """

    def measured(candidate):
        candidate.int8 = make(candidate)
        candidate.value = goal(candidate.int8)
        return candidate

    best = measured(state)
    record.steps.append(f"plain: {goal.text(best.value)}")
    for n, (name, repair) in enumerate(REPAIRS):
        if best.value >= goal.floor:
            break
        if progress is not None:
            progress(f"trying {name}", n + 1, len(REPAIRS))
        candidate = repair(best.changed())
        if candidate is not None:
            best = _better(best, measured(candidate), name, goal, record)
    if best.value < goal.floor:
        best = _leave_in_float(best, goal, measured, record, progress)
    reached = "holds" if best.value >= goal.floor else "does not hold"
    record.steps.append(f"the budget {reached}: {goal.text(best.value)}, {goal.text(goal.floor)} wanted")
    return best


def mended(state, record):
    """`state`, where one scale for all channels leaves next to nothing of a layer's answer, with a scale for each."""
    lost = [
        site
        for site in channels.sites(state.graph, state.recipe, state.seen)
        if site.before_db < LOST_DB and site.after_db > site.before_db + MENDED_DB
    ]
    for site in lost:
        name = state.graph.tensors[site.z].name
        record.steps.append(
            f"a scale for each of {len(site.low)} channels of '{name}': SQNR there {site.before_db:.1f} to "
            f"{site.after_db:.1f} dB"
        )
    if not lost:
        return state
    state = state.changed()
    channels.spread(state, lost)
    state.recipe.settle()
    return state


def corrected(state, make, record, progress):
    """`state` with its biases corrected, if that brings the outputs nearer to the float ones on some of the samples."""
    goal = goals.Sqnr(state.graph, state.data[-goals.SQNR_SAMPLES :], 0.0)
    candidate = state.changed()
    rebuild.rebuild(
        state.graph, candidate.recipe, state.data, False, lambda at, count: progress("correcting biases", at, count)
    )
    before, after = goal(make(state)), goal(make(candidate))
    kept = "" if after >= before else ", not kept"
    record.steps.append(f"biases corrected: SQNR {before:.1f} to {after:.1f} dB{kept}")
    return candidate if after >= before else state


def _better(best, candidate, name, goal, record):
    keep = candidate.value > best.value
    record.steps.append(f"{name}: {goal.text(candidate.value)}" + ("" if keep else ", not kept"))
    return candidate if keep else best


def _biases(state):
    rebuild.rebuild(state.graph, state.recipe, state.data, fit=False)
    return state


def _rounding(state):
    rebuild.rebuild(state.graph, state.recipe, state.data, fit=True)
    return state


def _ranges(observer):
    def repair(state):
        state.recipe.ranges = calibrate.ranges(state.graph, state.seen, observer)
        return _again(state)

    return repair


def _again(state):
    """Works out scales anew, and biases and rounding where they were repaired before."""
    state.recipe.settle()
    if state.recipe.biases:
        rebuild.rebuild(state.graph, state.recipe, state.data, fit=bool(state.recipe.rounded))
    return state


def _equalised(state):
    state.graph, pairs = equalise.equalise(state.graph, state.seen)
    if not pairs:
        return None
    state.recipe.graph = state.graph
    state.seen = calibrate.observe(state.graph, state.data)
    state.recipe.ranges = calibrate.ranges(state.graph, state.seen)
    return _again(state)


def _apart(state):
    """Inputs of concats keep their own scale where the joint one is much coarser."""
    tensors = {
        i
        for node in state.graph.nodes
        if node.op == "concat"
        for i in node.inputs
        if _span(state, i) < 0.5 * max(_span(state, k) for k in node.inputs)
    }
    if not tensors - state.recipe.apart:
        return None
    state.recipe.apart |= tensors
    return _again(state)


def _spread(count):
    """Channels get scales of their own in front of and behind the activations where they gain most."""

    def repair(state):
        worst = channels.sites(state.graph, state.recipe, state.seen)[:count]
        if not worst:
            return None
        channels.spread(state, worst)
        return _again(state)

    return repair


def _span(state, i):
    low, high = state.recipe.ranges.get(i, (0.0, 0.0))
    return high - low


REPAIRS = (
    ("bias correction", _biases),
    ("weights rounded layer by layer", _rounding),
    ("ranges by minimum and maximum", _ranges("minmax")),
    ("ranges by percentile", _ranges("percentile")),
    ("ranges by what readers make of each channel", _ranges("gain")),
    ("equalised layers", _equalised),
    ("own scales before a concat", _apart),
    ("scales for each channel at the 4 worst activations", _spread(4)),
    ("scales for each channel at the 16 worst activations", _spread(16)),
)


def _leave_in_float(best, goal, measured, record, progress):
    """The nodes that hurt most when they alone are quantised go back to float, one after the other."""
    alone = effects.alone(best, progress)
    for _, at in sorted((db, at) for at, db in alone.items())[:MAX_FLOAT_NODES]:
        candidate = best.changed()
        candidate.recipe.in_float.add(at)
        candidate = measured(_again(candidate))
        name = best.graph.nodes[at].name or best.graph.tensors[best.graph.nodes[at].outputs[0]].name
        text = f"node '{name}' in float (alone it leaves {alone[at]:.1f} dB)"
        best = _better(best, candidate, text, goal, record)
        if best.value >= goal.floor:
            break
    return best
