"""Places a directed graph on layers from top to bottom (Sugiyama's method).

Source: Sugiyama, Tagawa, Toda (1981), steps 2 to 4; the horizontal placement of a layer is the exact least-squares
answer to "near your neighbours, no overlap", found by pooling adjacent violators.
"""

from bisect import bisect_right, insort
from itertools import pairwise

_ORDER_SWEEPS = 12
_PLACE_SWEEPS = 24


class Layout:
    """x: centre of each vertex; layer: its row; routes: per edge, the points (x, layer) that it runs through."""

    def __init__(self, x, layer, routes, width, n_layers):
        self.x, self.layer, self.routes = x, layer, routes
        self.width, self.n_layers = width, n_layers


def place(n_vertices, edges, vertex_width, lane_width):
    """Lay out vertices 0..n-1 with edges (source, target), both in topological order: source < target.

    Edges that span several layers get a lane of `lane_width` through those between.
    """
    layer = _layers(n_vertices, edges)
    chains, vertex_layer = _with_lanes(edges, layer)
    segments = [pair for chain in chains for pair in pairwise(chain)]
    rows = _ordered_rows(vertex_layer, segments)
    widths = [vertex_width if v < n_vertices else lane_width for v in range(len(vertex_layer))]
    weights = _weights(n_vertices, edges, len(vertex_layer))
    x = _coordinates(rows, segments, widths, weights)
    left = min((x[v] - widths[v] / 2 for v in range(len(x))), default=0)
    x = [value - left for value in x]
    width = max((x[v] + widths[v] / 2 for v in range(len(x))), default=0)
    routes = [[(x[v], vertex_layer[v]) for v in chain] for chain in chains]
    return Layout(x[:n_vertices], layer, routes, width, len(rows))


def _layers(n_vertices, edges):
    """The longest path from a source; sources themselves sit right above their first consumer."""
    layer = [0] * n_vertices
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        layer[target] = max(layer[target], layer[source] + 1)
    above, below = _neighbours(n_vertices, edges)
    for vertex in range(n_vertices):
        if below[vertex] and not above[vertex]:
            layer[vertex] = min(layer[target] for target in below[vertex]) - 1
    return layer


def _with_lanes(edges, layer):
    """Break each edge into one-layer steps. Returns (vertex chain per edge, layer of every vertex, lanes included)."""
    vertex_layer = list(layer)
    chains = []
    for source, target in edges:
        chain = [source]
        for between in range(layer[source] + 1, layer[target]):
            chain.append(len(vertex_layer))
            vertex_layer.append(between)
        chains.append([*chain, target])
    return chains, vertex_layer


def _neighbours(n_vertices, segments):
    above, below = [[] for _ in range(n_vertices)], [[] for _ in range(n_vertices)]
    for source, target in segments:
        below[source].append(target)
        above[target].append(source)
    return above, below


def _ordered_rows(vertex_layer, segments):
    """Order each layer by its neighbours' mean position, down and up; the order with fewest crossings wins."""
    rows = [[] for _ in range(max(vertex_layer, default=-1) + 1)]
    for vertex, row in enumerate(vertex_layer):
        rows[row].append(vertex)
    above, below = _neighbours(len(vertex_layer), segments)
    position = [0] * len(vertex_layer)
    for row in rows:
        _number(row, position)
    best, best_crossings = [list(row) for row in rows], _crossings(rows, below)
    for sweep in range(_ORDER_SWEEPS):
        if not best_crossings:
            break
        downwards = sweep % 2 == 0
        for row in rows if downwards else reversed(rows):
            _sort_by_neighbours(row, position, above if downwards else below)
        crossings = _crossings(rows, below)
        if crossings < best_crossings:
            best, best_crossings = [list(row) for row in rows], crossings
    return best


def _sort_by_neighbours(row, position, neighbours):
    def mean_position(vertex):
        near = neighbours[vertex]
        return sum(position[v] for v in near) / len(near) if near else position[vertex]

    row.sort(key=mean_position)
    _number(row, position)


def _number(row, position):
    for i, vertex in enumerate(row):
        position[vertex] = i


def _crossings(rows, below):
    total = 0
    for upper, lower in pairwise(rows):
        position = {v: i for i, v in enumerate(lower)}
        seen = []
        for vertex in upper:
            ends = sorted(position[v] for v in below[vertex])
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _weights(n_vertices, edges, n_with_lanes):
    """How little a vertex gives way: the backbone, a longest path, stays one straight line; lanes yield most."""
    _, below = _neighbours(n_vertices, edges)
    height = [0] * n_vertices
    for vertex in reversed(range(n_vertices)):
        height[vertex] = max((height[v] + 1 for v in below[vertex]), default=0)
    weights = [1e-3] * n_vertices + [1e-6] * (n_with_lanes - n_vertices)
    vertex = max(range(n_vertices), key=height.__getitem__, default=None)
    while vertex is not None:
        weights[vertex] = 1.0
        vertex = max(below[vertex], key=height.__getitem__, default=None)
    return weights


def _coordinates(rows, segments, widths, weights):
    """Pull every vertex towards the weighted mean of its neighbours, layer by layer, down and up."""
    above, below = _neighbours(len(widths), segments)
    x = [0.0] * len(widths)
    for row in rows:
        _spread(row, [0.0] * len(row), x, widths, weights)
    for sweep in range(_PLACE_SWEEPS):
        downwards = sweep % 2 == 0
        for row in rows if downwards else reversed(rows):
            wishes = []
            for v in row:
                near = (above if downwards else below)[v] or (below if downwards else above)[v]
                pull = sum(weights[u] for u in near)
                wishes.append(sum(x[u] * weights[u] for u in near) / pull if near else x[v])
            _spread(row, wishes, x, widths, weights)
    return x


def _spread(row, wishes, x, widths, weights):
    """Set x of a row as near to `wishes` as order and widths allow: isotonic regression of wish minus offset."""
    offsets, offset = [], 0.0
    for i, vertex in enumerate(row):
        if i:
            offset += (widths[row[i - 1]] + widths[vertex]) / 2
        offsets.append(offset)
    pools = []  # [weighted mean, weight, how many]
    for vertex, wish, shift in zip(row, wishes, offsets):
        pools.append([wish - shift, weights[vertex], 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, weight, count = pools.pop()
            last = pools[-1]
            last[0] = (last[0] * last[1] + mean * weight) / (last[1] + weight)
            last[1] += weight
            last[2] += count
    means = [mean for mean, _, count in pools for _ in range(count)]
    for vertex, mean, shift in zip(row, means, offsets):
        x[vertex] = mean + shift
