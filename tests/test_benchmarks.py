"""What benchmarks/ computes and prints from figures; nothing is measured here."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

import peer_onnx
import peer_worker
import peers
from peer_report import markdown
from record import machine_record


def row(model, runtime, min_ns, threads=1):
    return {"model": model, "threads": threads, "runtime": runtime, "min_ns": min_ns, "median_ns": 2 * min_ns}


ROWS = [
    row("A", "edgert", 1000), row("A", "LiteRT", 2000), row("A", "PyTorch", 9000),
    row("B", "edgert", 8000), row("B", "LiteRT", 4000),
    row("C", "edgert", 1),
]  # fmt: skip


def test_means_are_geometric_and_only_of_models_that_both_take():
    [mean] = peers.geometric_means(ROWS)
    assert (mean["threads"], mean["runtime"], mean["models"]) == (1, "edgert", 2)
    assert mean["min_ns"] == pytest.approx(1.0)
    assert mean["median_ns"] == pytest.approx(1.0)


def test_the_report_has_every_table_and_its_record():
    offer = {"node": 0, "op": "conv2d", "default": ["avx2", ""], "winner": ["avx2", "band8k"]}
    result = {
        "machine": machine_record(),
        "settings": {"turns": 2, "turn_seconds": 0.1, "pinned_to_cores": [0], "plain_install": False},
        "latency": ROWS,
        "geometric_mean": peers.geometric_means(ROWS),
        "cold": [{"model": "A", "runtime": "edgert", "start_ms": 29.6, "peak_mb": 12.2, "file_bytes": 94_000}],
        "overhead": {"kernels_ns": 2000, "run_buffers_ns": 700, "model_ns": 1400},
        "tuned": [{"model": "A", "threads": 1, "nodes": [offer], "untuned_ns": 9000, "tuned_ns": 8000, "kept": "x"}],
        "left_out": {"ncnn": {"A": "why", "B": "why"}},
    }
    text = markdown(result)
    assert "NOT a plain install" in text
    assert "| A | 1.0 / 2.0 | 2.0 / 4.0 | 9.0 / 18.0 | 0.50 / 0.50 |" in text
    assert "| C | 0.0 / 0.0 | - | - | - |" in text
    assert "| geometric mean |  |  |  | 1.00 / 1.00 |" in text
    assert "| A | 30 ms, 12 MB, 94 kB |" in text
    assert "| beside them, through run_buffers | 0.70 |" in text
    assert "| A | 1 | 1 x conv2d: avx2/band8k | 9.0 -> 8.0 | yes |" in text
    assert "* ncnn, A, B: why" in text


def test_the_record_says_what_a_reader_needs():
    record = machine_record()
    assert {"date", "command", "cpu", "tier_flags", "kernel", "python", "load_before", "packages"} <= set(record)


def test_rebuilt_graphs_are_deterministic_and_refuse_what_they_lack():
    graph = tiny.residual_block()
    assert peer_onnx.to_onnx(graph) == peer_onnx.to_onnx(graph)
    assert b"QLinearConv" in peer_onnx.to_onnx(graph)
    with pytest.raises(peer_onnx.Unsupported, match="dequantize"):
        peer_onnx.to_onnx(tiny.two_heads())


def test_a_rebuilt_graph_answers_as_ours_does():
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    from edgert.format import writer
    from edgert.session import Session

    graph = tiny.residual_block()
    x = np.random.default_rng(0).integers(-128, 128, (1, 6, 6, 8), np.int8)
    expected = Session(writer.to_bytes(graph), threads=1).run([x])[0].transpose(0, 3, 1, 2)
    session = onnxruntime.InferenceSession(peer_onnx.to_onnx(graph), providers=["CPUExecutionProvider"])
    answer = session.run(None, {session.get_inputs()[0].name: peer_worker.shifted(x)})[0]
    assert peer_worker.difference(answer, expected) <= 1


def test_answers_are_compared_in_words_whatever_their_type():
    expected = np.array([[-128, 0, 127]], np.int8)
    assert peer_worker.difference(np.array([[0, 128, 255]], np.uint8), expected) == 0
    assert peer_worker.difference([memoryview(expected.tobytes())], expected) == 0
    assert peer_worker.difference(np.array([-128, 0, 120], np.int8), expected) == 7
