"""A scale for each channel of a layer's answer, where an activation follows: one table for each channel undoes them.

Channels of one tensor share a scale, and where one of them reaches 100 and its neighbour 0.4, the neighbour has one
word left. `equalise` helps where a ReLU follows, which commutes with a factor; SiLU, hard-swish and the like do not.
But in int8 they are tables, and a table for each channel takes any scale and offset in, and gives any scale out:

    layer -> z -> f -> y -> layer       becomes       layer' -> z' -> f'[c] -> y' -> layer'

with z = factor[c] * z' + offset[c], folded into the first layer's weights and biases, and y = gain[c] * y', folded into
the weights of the layers that read y (gain 1 where anything else reads it). Real numbers stay what they were.
"""

import numpy as np

from edgert.convert.quantize import equalise, functions
from edgert.convert.quantize.observers import LEVELS, rounded
from edgert.convert.quantize.recipe import weight_and_bias
from edgert.graph import Node, Tensor

LEAST_GAIN_DB = 3.0  # less is not worth a table for each channel
LOWEST = np.linspace(0.0, 0.98, 25)  # shares of a channel's range that the search cuts off below
EVERY = 3  # of the positions that observers keep: estimates need no more
# A channel's negative side gets a quarter of the words at most: SiLU's -0.28 is all that quiet channels have there, and
# one zero point serves all channels.
NEGATIVE_SHARE = 4.0


class Site:
    """A layer whose answer `z` is read through function `y` of it alone. layers: positions of the readers of y.

    layers is None where not all of them are layers. before_db, after_db: SQNR of y with one scale, and with one a
    channel. noise: the share of y's power that the repair takes away.
    """

    def __init__(self, at, z, y, layers):
        self.at, self.z, self.y, self.layers = at, z, y, layers


def sites(graph, recipe, seen):
    """The sites that gain, the worst first. recipe: as it is now; seen: tensor index -> Observer."""
    found = functions.find(graph, recipe.in_float)
    through = {}
    for out, function in found.items():
        through.setdefault(function.root, []).append(out)
    readers = {}
    for at, node in enumerate(graph.nodes):
        for i in node.inputs:
            readers.setdefault(i, []).append(at)
    gaining = []
    for at in range(len(graph.nodes)):
        site = _site(graph, recipe, at, through, readers, found)
        if site is None or site.z not in seen or site.y not in seen:
            continue
        _estimate(graph, recipe, seen, site, found[site.y])
        if site.after_db > site.before_db + LEAST_GAIN_DB:
            gaining.append(site)
    return sorted(gaining, key=lambda site: -site.noise)


def _site(graph, recipe, at, through, readers, found):
    node = graph.nodes[at]
    z = node.outputs[0]
    if node.op not in equalise.LAYERS or at in recipe.in_float or z in recipe.pinned or z in graph.outputs:
        return None
    if any(i >= 0 and len(readers[i]) > 1 for i in node.inputs[1:]) or {"clamp_min", "clamp_max"} & set(node.attrs):
        return None
    if any(graph.nodes[reader].outputs[0] not in found for reader in readers.get(z, [])):
        return None
    last = [out for out in through.get(z, []) if _is_read(graph, found, readers, out)]
    channels = graph.tensors[z].shape[-1]
    if len(last) != 1 or found[last[0]].channels or not 1 < channels <= functions.MAX_CHANNELS:
        return None
    behind = readers.get(last[0], [])
    if last[0] in graph.outputs or not all(_takes_gain(graph, recipe, k, last[0], readers) for k in behind):
        behind = None
    return Site(at, z, last[0], behind)


def _is_read(graph, found, readers, out):
    return out in graph.outputs or any(graph.nodes[at].outputs[0] not in found for at in readers.get(out, []))


def _takes_gain(graph, recipe, at, y, readers):
    """Whether the node is a layer whose weights can take a factor per channel of y."""
    node = graph.nodes[at]
    own = all(len(readers[i]) == 1 for i in node.inputs[1:] if i >= 0)
    fits = node.op in equalise.LAYERS and node.inputs[0] == y and node.attrs.get("groups", 1) == 1
    return fits and own and at not in recipe.in_float


def _estimate(graph, recipe, seen, site, function):
    """Fills the site's SQNRs in, from the positions that the observers kept."""
    site.low, site.high = _ends(seen[site.z], function)
    site.gain, site.range = _gains(graph, seen[site.y], site)
    z = _rows(seen[site.z])
    wanted = function.apply(z)
    weight = _power(graph, site, wanted.shape[1])
    one = rounded(function.apply(rounded(z, *recipe.words_range(site.z))), *recipe.words_range(site.y))
    steps = (site.high - site.low) / LEVELS
    many = function.apply(np.clip(np.rint((z - site.low) / steps), 0, LEVELS) * steps + site.low)
    many = rounded(many / site.gain, *site.range) * site.gain
    signal = float((wanted**2).mean(0) @ weight)
    noise = [max(float(((got - wanted) ** 2).mean(0) @ weight), 1e-12 * signal) for got in (one, many)]
    site.before_db, site.after_db = (10 * np.log10(max(signal, 1e-30) / max(n, 1e-30)) for n in noise)
    site.noise = (noise[0] - noise[1]) / max(signal, 1e-30)


def _rows(observer):
    return np.concatenate(observer.rows)[::EVERY].astype(np.float64)


def _power(graph, site, channels):
    """How much each channel of y counts: what the layers that read it make of it."""
    if not site.layers:
        return np.ones(channels)
    power = np.zeros(channels)
    for at in site.layers:
        weight, _ = weight_and_bias(graph, graph.nodes[at])
        each = (weight.astype(np.float64) ** 2).reshape(-1, weight.shape[-1]).sum(0)
        power += each.reshape(channels, -1).sum(1)
    return power


def _ends(observer, function):
    """(low, high) per channel: to the maximum that was seen, from where the function is no longer flat."""
    rows = _rows(observer)
    wanted = function.apply(rows)
    high = np.maximum(observer.channel_high.astype(np.float64), observer.channel_low + 1e-6)
    best, least = observer.channel_low.astype(np.float64), np.full(rows.shape[1], np.inf)
    for share in LOWEST:
        low = high - (high - observer.channel_low) * (1.0 - share)
        steps = (high - low) / LEVELS
        got = function.apply(np.clip(np.rint((rows - low) / steps), 0, LEVELS) * steps + low)
        error = ((got - wanted) ** 2).mean(0)
        best, least = np.where(error < least, low, best), np.minimum(error, least)
    return best, high


def _gains(graph, observer, site):
    """(gain per channel of y, the range of y / gain)."""
    low, high = observer.channel_low.astype(np.float64), observer.channel_high.astype(np.float64)
    if not site.layers:
        gain = np.ones(len(low))
    else:
        spans = np.maximum(high, -low * NEGATIVE_SHARE)
        gain = np.exp(np.mean([np.log(_factor(graph, at, spans)) for at in site.layers], axis=0))
    return gain, (min(float((low / gain).min()), 0.0), max(float((high / gain).max()), 1e-6))


def _factor(graph, at, spans):
    node = graph.nodes[at]
    return equalise.factor(weight_and_bias(graph, node)[0], node.op == "depthwise_conv2d", spans)


def spread(state, chosen):
    """Gives a state (graph, recipe, seen) a scale for each channel at the chosen ones of its sites."""
    graph, recipe = state.graph, state.recipe
    spreading = _Spreading(graph)
    for site in chosen:
        spreading.add(site, state.seen)
    state.seen = state.seen | spreading.seen
    recipe.pinned |= spreading.pinned
    nodes, places = _inserted(spreading.nodes, spreading.behind)
    recipe.move_nodes(places)
    state.graph = recipe.graph = graph.replace(tensors=tuple(spreading.tensors), nodes=nodes)


class _Spreading:
    """tensors, nodes: of the new graph. behind: position -> nodes that follow it. seen, pinned: of new tensors."""

    def __init__(self, graph):
        self.tensors, self.nodes = list(graph.tensors), list(graph.nodes)
        self.behind, self.seen, self.pinned = {}, {}, {}

    def add(self, site, seen):
        name, factor = self.tensors[site.z].name, (site.high - site.low) / LEVELS
        inner, scaled = self._like(site.z, "spread"), self._like(site.z, "scaled")
        self.seen[inner] = seen[site.z].moved(factor, site.low)
        self.pinned |= {inner: (0.0, float(LEVELS)), scaled: (0.0, float((site.high - site.low).max()))}
        self.nodes[site.at] = self._first(self.nodes[site.at], inner, site.low, factor)
        self._follow(site.at, "mul", inner, f"{name}/factor", factor, scaled)
        self._follow(site.at, "add", scaled, f"{name}/offset", site.low, site.z)
        if not site.layers:
            return
        outer = self._like(site.y, "spread")
        self.seen[outer], self.pinned[outer] = seen[site.y].moved(site.gain), site.range
        for at in site.layers:
            equalise.scale(self.tensors, self.nodes[at], site.gain, rows=False)
            self.nodes[at] = self.nodes[at].replace(inputs=(outer, *self.nodes[at].inputs[1:]))
        last = next(at for at, node in enumerate(self.nodes) if site.y in node.outputs)
        self._follow(last, "mul", site.y, f"{self.tensors[site.y].name}/gain", 1.0 / site.gain, outer)

    def _follow(self, at, op, x, name, values, out):
        """Puts a node behind position `at`: x, a constant per channel, and what they give."""
        constant = self._constant(name, values)
        self.behind.setdefault(at, []).append(Node(op, (x, constant), (out,), {}, self.tensors[out].name))

    def _first(self, node, out, offset, factor):
        """The layer that gives (z - offset) / factor."""
        weight, *bias = node.inputs[1:]
        has_bias = bias and bias[0] >= 0
        values = np.frombuffer(self.tensors[bias[0]].data, np.float32) if has_bias else np.zeros(len(factor))
        index = self._constant(f"{self.tensors[out].name}/bias", (values - offset) / factor)
        equalise.scale(self.tensors, node.replace(inputs=(node.inputs[0], weight)), 1.0 / factor, rows=True)
        return node.replace(inputs=(node.inputs[0], weight, index), outputs=(out,))

    def _constant(self, name, values):
        self.tensors.append(Tensor(name, "float32", values.shape, data=values.astype(np.float32).tobytes()))
        return len(self.tensors) - 1

    def _like(self, i, label):
        self.tensors.append(self.tensors[i].replace(name=f"{self.tensors[i].name}/{label}"))
        return len(self.tensors) - 1


def _inserted(nodes, added):
    """(the nodes with those of `added`, {position: nodes behind it}; the new position of each old one)."""
    made, places = [], []
    for at, node in enumerate(nodes):
        places.append(len(made))
        made += [node, *added.get(at, [])]
    return tuple(made), places
