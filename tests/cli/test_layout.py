"""The drawn graph: vertices do not overlap, edges run downwards, skips do not cross what they need not."""

import numpy as np
import pytest

from edgert.cli.page.layout import place


def random_graph(n, seed):
    rng = np.random.default_rng(seed)
    edges = [(int(rng.integers(max(0, v - 6), v)), v) for v in range(1, n)]
    edges += [(int(a), int(b)) for a, b in rng.integers(0, n, (n // 2, 2)) if a < b]
    return sorted(set(edges))


@pytest.mark.parametrize("n", [1, 2, 7, 40, 200])
def test_vertices_of_a_layer_keep_their_distance_and_edges_run_down(n):
    edges = random_graph(n, n)
    layout = place(n, edges, vertex_width=100, lane_width=10)
    rows = {}
    for vertex, row in enumerate(layout.layer):
        rows.setdefault(row, []).append(layout.x[vertex])
    for xs in rows.values():
        assert np.diff(sorted(xs)).min(initial=100) >= 100 - 1e-6
        assert min(xs) >= 50 - 1e-6
        assert max(xs) <= layout.width - 50 + 1e-6
    for (source, target), route in zip(edges, layout.routes):
        assert route[0] == (layout.x[source], layout.layer[source])
        assert route[-1] == (layout.x[target], layout.layer[target])
        assert [row for _, row in route] == list(range(layout.layer[source], layout.layer[target] + 1))


def test_a_chain_is_one_straight_line():
    layout = place(5, [(i, i + 1) for i in range(4)], vertex_width=100, lane_width=10)
    assert layout.x == [50.0] * 5
    assert layout.layer == [0, 1, 2, 3, 4]


def test_a_skip_runs_in_its_own_lane_beside_the_chain():
    layout = place(4, [(0, 1), (1, 2), (2, 3), (0, 3)], vertex_width=100, lane_width=10)
    lane = layout.routes[3][1:-1]
    assert len(lane) == 2
    assert all(abs(x - layout.x[1]) >= 55 - 1e-6 for x, _ in lane)


def test_two_crossed_pairs_are_uncrossed():
    layout = place(4, [(0, 3), (1, 2)], vertex_width=10, lane_width=1)
    assert (layout.x[0] < layout.x[1]) == (layout.x[3] < layout.x[2])


def test_a_late_input_sits_above_its_consumer():
    layout = place(4, [(0, 2), (2, 3), (1, 3)], vertex_width=10, lane_width=1)
    assert layout.layer == [0, 1, 1, 2]


def test_nothing_to_place_is_an_empty_drawing():
    layout = place(0, [], vertex_width=10, lane_width=1)
    assert (layout.width, layout.n_layers) == (0, 0)
