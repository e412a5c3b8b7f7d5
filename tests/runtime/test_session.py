"""Session: bytes or arrays in and out, and every way a caller can be wrong."""

import os
import subprocess
import sys
from threading import Thread

import numpy as np
import pytest
from random_graphs import random_graph, run_without_sharing
from test_plan import counting_graph

from edgert import plan
from edgert.errors import InputError, ModelFormatError, TierError
from edgert.format import writer
from edgert.graph import Graph, Node, Quant, Tensor
from edgert.session import Session


def sum_graph():
    """y int8 = a + b, and z float32 = its real values."""
    q = Quant((0.5,), 1)
    tensors = (
        Tensor("a", "int8", (1, 4), q),
        Tensor("b", "int8", (1, 4), q),
        Tensor("y", "int8", (1, 4), q),
        Tensor("z", "float32", (1, 4)),
    )
    nodes = (Node("add", (0, 1), (2,)), Node("dequantize", (2,), (3,)))
    return Graph("sum", tensors, nodes, (0, 1), (2, 3))


@pytest.fixture
def summing():
    return Session(writer.to_bytes(sum_graph()), threads=1)


A, B = np.array([[1, 2, 3, -4]], np.int8), np.array([[1, 1, 2, 5]], np.int8)
SUM = np.array([[1, 2, 4, 0]], np.int8)


def test_bytes_and_arrays_give_the_same(summing):
    y, z = summing.run([A, B])
    assert (y.dtype, z.dtype, y.tolist()) == (np.int8, np.float32, SUM.tolist())
    assert z.tolist() == ((SUM - 1) * 0.5).tolist()
    assert [bytes(view) for view in summing.run_buffers([A.tobytes(), B])] == [y.tobytes(), z.tobytes()]


def test_inputs_and_outputs_say_what_they_are(summing):
    assert [(t.name, t.shape, t.dtype) for t in summing.inputs] == [("a", (1, 4), "int8"), ("b", (1, 4), "int8")]
    assert [(t.name, t.dtype, t.quant) for t in summing.outputs] == [
        ("y", "int8", Quant((0.5,), 1)),
        ("z", "float32", None),
    ]


def test_results_are_not_changed_by_the_next_run(summing):
    first, _ = summing.run_buffers([A, B])
    kept, _ = summing.run([A, B])
    summing.run([B, B])
    assert bytes(first) == SUM.tobytes()
    assert kept.tolist() == SUM.tolist()
    kept[0, 0] = 9  # and belong to the caller


def test_arrays_need_not_be_contiguous(summing):
    wide = np.repeat(A, 2, axis=1)[:, ::2]
    assert summing.run([wide, B])[0].tolist() == SUM.tolist()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ([A], "2 arrays, got 1"),
        ([A, B, B], "got 3"),
        ([A.astype(np.uint8), B], "'a' takes int8 (1, 4), got uint8 (1, 4)"),
        ([A.astype(np.float32), B], "got float32"),
        ([A, B[0]], "'b' takes int8 (1, 4), got int8 (4)"),
        ([A, np.repeat(B, 2, axis=0)], "got int8 (2, 4)"),
        ([A, np.int8(3)], "got int8 ()"),
        ([A, [[1], [1, 2]]], "no arrays"),
        ([A, None], "got object"),
        ([A, "text"], "got <U4"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_arrays_are_named(summing, arrays, words):
    with pytest.raises(InputError) as caught:
        summing.run(arrays)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("buffers", "words"),
    [
        ([b"1234"], "2 inputs, got 1"),
        ([b"123", b"1234"], "'a' takes 4 bytes (int8 (1, 4)), got 3"),
        ([b"1234", b"12345"], "'b' takes 4 bytes (int8 (1, 4)), got 5"),
        ([b"", b"1234"], "got 0"),
        ([b"1234", None], "'b'"),
        ([b"1234", "1234"], "'b'"),
        ([b"1234", memoryview(b"12345678")[::2]], "'b'"),
        ([b"1234", np.zeros((2, 8), np.int8)[:, ::4]], "'b'"),
        ([b"1234", np.zeros(4, ">i2")], "'b'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_buffers_are_named_and_nothing_runs(summing, buffers, words):
    summing.run_buffers([A, B])
    before = bytes(summing.plan.inputs[0][1])
    with pytest.raises(InputError) as caught:
        summing.run_buffers(buffers)
    assert words in str(caught.value)
    assert bytes(summing.plan.inputs[0][1]) == before


def test_a_wrong_tier_or_file_is_named(tmp_path):
    with pytest.raises(TierError, match="abacus"):
        Session(writer.to_bytes(sum_graph()), tier="abacus")
    with pytest.raises(ModelFormatError, match="missing"):
        Session(tmp_path / "missing.bin")
    with pytest.raises(ModelFormatError, match="0 bytes"):
        Session(b"")


@pytest.mark.parametrize("threads", [1, 3])
def test_random_graphs_run_from_a_file(threads, tmp_path):
    for seed in range(400, 420):
        graph = random_graph(seed)
        writer.write(graph, tmp_path / "model.bin")
        loaded = Session(tmp_path / "model.bin", threads=threads)
        inputs = [os.urandom(tensor.nbytes) for tensor in loaded.inputs]
        assert [bytes(view) for view in loaded.run_buffers(inputs)] == run_without_sharing(graph, inputs)


def test_two_threads_may_call_one_session(summing):
    wrong = []

    def work(a, b, expected):
        wrong.extend(i for i in range(200) if bytes(summing.run_buffers([a, b])[0]) != expected)

    doubled = np.array([[1, 1, 3, 9]], np.int8).tobytes()
    threads = [Thread(target=work, args=(A, B, SUM.tobytes())), Thread(target=work, args=(B, B, doubled))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_number_of_tokens_follows_the_input():
    counting = Session(writer.to_bytes(counting_graph()), threads=1)
    ones = np.ones((5, 4), np.float32)
    assert counting.run([ones])[0].tolist() == [[10.0] * 4]
    assert np.frombuffer(counting.run_buffers([ones[:2]])[0], np.float32).tolist() == [14.0] * 4
    for wrong in (b"", bytes(15), bytes(17)):
        with pytest.raises(InputError, match="rows of 16 bytes"):
            counting.run_buffers([wrong])
    with pytest.raises(InputError, match=r"\(tokens, 4\)"):
        counting.run([np.ones((2, 3), np.float32)])


def test_plans_of_many_lengths_are_not_all_kept():
    counting = Session(writer.to_bytes(counting_graph()), threads=1)
    for n in range(1, 30):
        counting.run([np.zeros((n, 4), np.float32)])
    assert len(counting._plans) == 9  # that of one row and the last eight others


def test_profile_times_every_step(summing):
    for buffers in (None, [A, B]):
        result = summing.profile(buffers, runs=3)
        assert [step for step, _ in result] == summing.plan.steps
        assert all(ns >= 0 for _, ns in result)


def test_a_forked_child_has_memory_of_its_own(summing):
    summing.run_buffers([A, B])
    child = os.fork()
    if child == 0:
        summing.plan.inputs[0][1][:] = b"\7\7\7\7"
        os._exit(0)
    os.waitpid(child, 0)
    assert bytes(summing.plan.inputs[0][1]) != b"\7\7\7\7"


def test_loading_and_running_buffers_imports_no_numpy(tmp_path):
    if plan.Program is None:
        pytest.skip("the native tier is not built")
    tensors = (*sum_graph().tensors[:2], sum_graph().tensors[2])
    writer.write(Graph("add", tensors, (Node("add", (0, 1), (2,)),), (0, 1), (2,)), tmp_path / "model.bin")
    if os.environ.get("EDGERT_TIER") in ("jit", "reference"):
        pytest.skip("this tier needs NumPy")
    code = (
        "import sys; before = set(sys.modules); from edgert.session import Session\n"
        "Session(sys.argv[1]).run_buffers([b'1234'] * 2)\n"
        "heavy = 'numpy flatbuffers PIL hashlib dataclasses enum typing re pathlib collections functools inspect'\n"
        "print(sorted((set(sys.modules) - before) & set(heavy.split())))"
    )
    result = subprocess.run([sys.executable, "-c", code, tmp_path / "model.bin"], capture_output=True, text=True)
    assert (result.stdout.strip(), result.stderr) == ("[]", "")
