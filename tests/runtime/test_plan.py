"""Sharing memory changes nothing but the memory: every plan gives what separate arrays would."""

import random

import numpy as np
import pytest
from random_graphs import QUANT, random_graph, run_without_sharing

from edgert import opset, plan, storage
from edgert.errors import InputError, ModelFormatError, TierError
from edgert.graph import TOKENS, Graph, Node, Quant, Tensor


def int8(name, *shape, **fields):
    return Tensor(name, "int8", shape, QUANT, **fields)


def graph_of(tensors, nodes, inputs, outputs):
    graph = Graph("g", tuple(tensors), tuple(nodes), inputs, outputs)
    opset.validate(graph)
    return graph


def run(made, inputs):
    for (_, view), content in zip(made.inputs, inputs):
        view[:] = content
    made.program.run()
    return [bytes(view) for _, view in made.outputs]


def noise(graph, seed=0):
    rng = random.Random(seed)
    return [rng.randbytes(graph.tensors[index].nbytes) for index in graph.inputs]


@pytest.fixture(params=["native", "python"])
def program(request, monkeypatch):
    """Both executors: the compiled one, and the one of an installation without a compiler."""
    if request.param == "python":
        monkeypatch.setattr(plan, "Program", None)
        monkeypatch.setattr(plan, "address_of", None)
        monkeypatch.setenv("EDGERT_TIER", "reference")
    elif plan.Program is None:
        pytest.skip("the native tier is not built")


@pytest.mark.parametrize("block", range(8))
def test_random_graphs_give_what_separate_arrays_give(block, program):
    for seed in range(40 * block, 40 * block + 40):
        graph = random_graph(seed)
        opset.validate(graph)
        made = plan.make(graph)
        for repeat in range(2):
            inputs = noise(graph, repeat)
            assert run(made, inputs) == run_without_sharing(graph, inputs), f"seed {seed}"


def test_random_graphs_use_every_way_to_share():
    kinds = {"in place": 0, "view": 0, "placed": 0, "step": 0}
    for seed in range(320):
        graph = random_graph(seed)
        decided = storage.plan_storage(graph)
        kinds["step"] += len(decided.steps)
        for reason in decided.elided.values():
            kinds[reason] += 1
        for index in decided.steps:
            node = graph.nodes[index]
            kinds["in place"] += decided.places[node.outputs[0]] in [decided.places[i] for i in node.inputs]
    assert min(kinds.values()) > 50, kinds


def test_blocks_alive_together_do_not_overlap_and_are_aligned():
    for seed in range(320):
        decided = storage.plan_storage(random_graph(seed))
        for i, a in enumerate(decided.blocks):
            assert a.offset % 64 == 0
            assert a.offset + a.nbytes + storage.SLACK <= decided.arena_bytes
            for b in decided.blocks[:i]:
                alive = a.first_step <= b.last_step and b.first_step <= a.last_step
                apart = a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset
                assert apart or not alive, f"seed {seed}: {a} {b}"


def chain(n, op="transpose"):
    """n nodes in a row; transposes cannot work in place."""
    tensors = [int8(f"t{i}", 16, 16) for i in range(n + 1)]
    nodes = [Node(op, (i,), (i + 1,), {"perm": (1, 0)} if op == "transpose" else {}) for i in range(n)]
    return graph_of(tensors, nodes, (0,), (n,))


def test_a_chain_needs_two_buffers():
    made = plan.make(chain(20))
    assert made.arena_bytes == 2 * 256 + storage.SLACK
    assert len(made.steps) == 20
    assert {offset for _, offset, _, _, _ in made.arena_map} == {0, 256}
    assert [life[3:] for life in sorted(made.arena_map)] == [(max(i - 1, 0), i) for i in range(21)]


def test_a_graph_of_views_needs_no_step(program):
    made = plan.make(chain(3, "reshape"))
    assert (made.steps, made.elided) == ([], {0: "view", 1: "view", 2: "view"})
    assert run(made, [bytes(range(256))]) == [bytes(range(256))]


def test_an_elementwise_op_overwrites_an_input_that_ends_there():
    table = int8("table", 256, data=bytes(256))
    tensors = [int8("x", 4, 4), table, int8("a", 4, 4), int8("b", 4, 4), int8("c", 4, 4)]
    nodes = [Node("lookup", (0, 1), (2,)), Node("transpose", (2,), (3,), {"perm": (1, 0)}), Node("add", (2, 3), (4,))]
    places = storage.plan_storage(graph_of(tensors, nodes, (0,), (4,))).places
    assert places[2] == (0, 0)
    assert places[4] == (0, 0)
    places = storage.plan_storage(graph_of(tensors, nodes, (0,), (2, 4))).places  # now `a` is read after the run
    assert places[4] == (3, 0)


def test_an_op_does_not_overwrite_memory_that_its_other_input_lies_in():
    tensors = [int8("x", 1, 2, 4), int8("top", 1, 1, 4), int8("y", 1, 2, 4)]
    nodes = [Node("slice", (0,), (1,), {"begin": (0, 1, 0)}), Node("add", (0, 1), (2,))]
    graph = graph_of(tensors, nodes, (0,), (2,))
    assert storage.plan_storage(graph).places[2] == (2, 0)
    assert run(plan.make(graph), [bytes(range(8))]) == run_without_sharing(graph, [bytes(range(8))])


def test_concat_inputs_are_made_inside_the_output_at_any_alignment(program):
    tensors = [int8("x", 1, 3), int8("table", 256, data=bytes(range(256))), int8("a", 1, 3), int8("b", 1, 3)]
    tensors += [int8("cat", 1, 6), int8("whole", 1, 9)]
    nodes = [Node("lookup", (0, 1), (2,)), Node("transpose", (2,), (3,), {"perm": (0, 1)})]
    nodes += [Node("concat", (2, 3), (4,), {"axis": 1}), Node("concat", (4, 0), (5,), {"axis": 1})]
    graph = graph_of(tensors, nodes, (0,), (5,))
    decided = storage.plan_storage(graph)
    assert decided.elided == {2: "placed", 3: "placed"}
    assert [decided.places[i] for i in (2, 3, 4, 0)] == [(5, 0), (5, 3), (5, 0), (5, 6)]
    assert run(plan.make(graph), [b"abc"]) == run_without_sharing(graph, [b"abc"])


def test_a_concat_over_several_rows_is_copied():
    nodes = [Node("concat", (0, 1), (2,), {"axis": 1})]
    graph = graph_of([int8("x", 2, 3), int8("y", 2, 3), int8("cat", 2, 6)], nodes, (0, 1), (2,))
    assert storage.plan_storage(graph).elided == {}


@pytest.mark.parametrize(
    ("shape", "out", "begin", "step", "offset"),
    [
        ((4, 6), (2, 6), (1, 0), (), 6),
        ((4, 6), (1, 3), (2, 2), (), 14),
        ((4, 6), (2, 3), (1, 0), (), None),
        ((4, 6), (2, 6), (0, 0), (2, 1), None),
        ((4, 6), (1, 1), (3, 5), (2, -1), 23),
        ((1, 4, 6), (1, 2, 6), (0, 2, 0), (), 12),
        ((2, 4, 6), (2, 2, 6), (0, 2, 0), (), None),
        ((4,), (4,), (3,), (-1,), None),
    ],
)
def test_which_slices_are_views(shape, out, begin, step, offset):
    attrs = {"begin": begin, "step": step} if step else {"begin": begin}
    assert storage.contiguous_slice(shape, out, attrs, 1) == offset
    if offset is not None:
        assert storage.contiguous_slice(shape, out, attrs, 4) == 4 * offset


def test_a_constant_is_copied_because_kernels_read_past_the_end_of_activations(program):
    tensors = [int8("x", 4), int8("w", 2, 2, data=b"abcd"), int8("v", 4), int8("y", 4)]
    graph = graph_of(tensors, [Node("reshape", (1,), (2,)), Node("add", (2, 0), (3,))], (0,), (3,))
    assert storage.plan_storage(graph).elided == {}
    assert run(plan.make(graph), [b"1234"]) == run_without_sharing(graph, [b"1234"])


def counting_graph():
    """sum over tokens of x (tokens, 4) is added to the state `total` (1, 4); y is total's double."""
    tensors = [Tensor("x", "float32", (TOKENS, 4)), Tensor("sum", "float32", (1, 4))]
    tensors += [Tensor("total", "float32", (1, 4), state=True), Tensor("y", "float32", (1, 4))]
    nodes = [Node("reduce", (0,), (1,), {"function": "sum", "axes": (0,), "keep_dims": 1}), Node("add", (2, 1), (2,))]
    nodes += [Node("add", (2, 2), (3,))]
    return graph_of(tensors, nodes, (0,), (3,))


def test_states_outlive_runs_and_are_shared_by_plans_of_different_lengths(program):
    graph = counting_graph()
    one = plan.make(graph, tokens=1)
    three = plan.make(graph, tokens=3, state=one.state)
    ones = np.ones(12, np.float32).tobytes()
    results = [run(one, [ones[:16]]), run(three, [ones]), run(one, [ones[:16]])]
    assert [np.frombuffer(r[0], np.float32).tolist() for r in results] == [[2.0] * 4, [8.0] * 4, [10.0] * 4]
    fresh = plan.make(graph, tokens=3)
    assert np.frombuffer(run(fresh, [ones])[0], np.float32).tolist() == [6.0] * 4


def test_a_node_may_not_rearrange_the_state_it_reads():
    tensors = [int8("x", 2, 2), int8("state", 2, 2, state=True), int8("y", 2, 2)]
    nodes = [Node("transpose", (1,), (1,), {"perm": (1, 0)}), Node("add", (0, 1), (2,))]
    with pytest.raises(ModelFormatError, match="'state' while it writes it"):
        plan.make(graph_of(tensors, nodes, (0,), (2,)))


@pytest.mark.parametrize("tokens", [None, 0, -1, 1.5, True])
def test_a_wrong_number_of_tokens_is_an_input_error(tokens):
    with pytest.raises(InputError, match="tokens"):
        plan.make(counting_graph(), tokens=tokens)


def test_working_memory_beyond_the_machine_is_refused_before_any_is_taken():
    tensors = [int8("x", 2**20, 2**19), int8("y", 2**20, 2**19), int8("z", 2**19, 2**20)]
    nodes = [Node("add", (0, 0), (1,)), Node("transpose", (1,), (2,), {"perm": (1, 0)})]
    with pytest.raises(ModelFormatError, match="working memory"):
        plan.make(graph_of(tensors, nodes, (0,), (2,)))


def test_an_unknown_tier_is_a_tier_error():
    with pytest.raises(TierError, match="abacus"):
        plan.make(chain(1), tier="abacus")


def test_steps_name_tier_and_kernel_in_the_programs_order(program):
    made = plan.make(chain(2), tier="reference")
    assert made.steps == [
        (0, "reference", "transpose__reference", (0, 1)),
        (1, "reference", "transpose__reference", (1, 2)),
    ]
    made.program.profile(True)
    run(made, [bytes(256)])
    assert [ns > 0 for ns in made.program.times_ns()] == [True, True]


def test_a_case_that_no_tier_does_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(plan.tiers, "bind", lambda *args: None)
    with pytest.raises(ModelFormatError, match=r"node 0 .*transpose.*no tier"):
        plan.make(chain(1))


def test_planning_time_does_not_explode_with_long_chains_of_views():
    graph = chain(30_000, "reshape")
    assert storage.plan_storage(graph).steps == []


def test_graphs_longer_than_the_search_go_without_reuse(monkeypatch):
    monkeypatch.setattr(storage, "_MAX_SEARCHED_BLOCKS", 10)
    made = plan.make(chain(20))
    assert made.arena_bytes == 21 * 256 + storage.SLACK
    assert run(made, [bytes(range(256))]) == [bytes(range(256))]


def test_an_absent_bias_reaches_the_kernel_as_none(program):
    weight = Tensor("w", "int8", (1, 2), Quant((0.5,), 0), b"\1\2")
    graph = graph_of([int8("x", 1, 2), weight, int8("y", 1, 1)], [Node("linear", (0, 1, -1), (2,))], (0,), (2,))
    assert run(plan.make(graph), [b"\3\4"]) == run_without_sharing(graph, [b"\3\4"])
