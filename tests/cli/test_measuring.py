"""verify, bench, profile and eval on tiny models: what they print and what they refuse. No time is judged."""

import json

import numpy as np
import pytest
import tiny
from PIL import Image

from edgert.cli import profile, timing
from edgert.cli.peak import Roof
from edgert.format import writer
from edgert.session import Session


@pytest.fixture
def golden_file(tmp_path):
    """Function writing the colour model with one golden answer, wrong on request."""

    def write(wrong=False):
        graph = tiny.colour_classifier()
        given = bytes(192)
        want = bytearray(Session(writer.to_bytes(graph)).run_buffers([given])[0])
        want[2] ^= wrong
        golden = (((given,), (bytes(want),)),)
        writer.write(graph.replace(metadata=graph.metadata.replace(golden=golden)), tmp_path / "golden.bin")
        return tmp_path / "golden.bin"

    return write


def test_verify_compares_the_golden_answers(edgert, golden_file):
    code, out, _ = edgert("verify", golden_file())
    assert code == 0
    assert "1 of 1 golden answers bit for bit" in out


def test_verify_takes_every_tier_of_this_cpu(edgert, golden_file, monkeypatch):
    from edgert.kernels import tiers

    code, out, _ = edgert("verify", golden_file(), "--every-tier", "--json")
    assert code == 0
    assert json.loads(out)["golden_checked"] == dict.fromkeys(tiers.available(), 1)


def test_verify_fails_on_a_wrong_answer_and_says_where(edgert, golden_file):
    code, out, err = edgert("verify", golden_file(wrong=True))
    assert (code, out) == (1, "")
    assert "output 'probabilities' differs in 1 of 3 bytes" in err
    assert "first at 2" in err


def test_verify_finds_damaged_weights_that_loading_cannot_see(edgert, golden_file):
    path = golden_file()
    data = bytearray(path.read_bytes())
    start = data.rindex(bytes([127]))
    data[start] ^= 1
    path.write_bytes(data)
    code, _, err = edgert("verify", path)
    assert code == 3
    assert "weights are damaged" in err


def test_bench_says_times_runs_threads_and_tiers(edgert, model_files):
    code, out, _ = edgert("bench", model_files / "colours.bin", "--runs", 7, "--warmup", 1, "--threads", 1)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[:3]] == ["min", "median", "p95"]
    assert "7 runs, 1 thread" in out
    code, out, _ = edgert("bench", model_files / "two_heads.bin", "--runs", 3, "--json", "--tier", "reference")
    result = json.loads(out)
    assert (result["runs"], result["tiers"]) == (3, {"reference": 4})
    assert 0 < result["min_ns"] <= result["median_ns"] <= result["p95_ns"]


def test_bench_can_be_pinned(edgert, model_files):
    import os

    before = os.sched_getaffinity(0)
    try:
        core = min(before)
        _, out, _ = edgert("bench", model_files / "colours.bin", "--runs", 3, "--pin", core, "--json")
        assert json.loads(out)["pinned"] == [core]
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, 50), (0.95, 95), (1, 100), (0.001, 1)],
)
def test_percentiles_are_nearest_rank(share, expected):
    assert timing.percentile(list(range(1, 101)), share) == expected


def test_example_inputs_fit_every_input(model_files):
    for name in ("colours", "residual", "two_heads"):
        session = Session(model_files / f"{name}.bin")
        session.run_buffers(timing.example_inputs(session))


@pytest.fixture
def roof(monkeypatch):
    """A made-up CPU of 100 GMAC/s and 50 GB/s in place of this one."""
    made = Roof(100.0, 50.0, 262144, 10.0, 1 << 27)
    monkeypatch.setattr(profile, "measure_roof", lambda threads, tier, model_bytes: made)
    return made


def test_profile_lists_every_step_with_time_work_and_tier(edgert, model_files, roof):
    code, out, _ = edgert("profile", model_files / "colours.bin", "--runs", 2, "--threads", 1)
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()[1:5]] == ["conv2d", "reduce", "linear", "softmax"]
    assert "1.74 k MACs" in out
    assert "one answer" in out
    assert "  100 GMAC/s int8\n  50 GB/s read from 256 KiB, which is what this model takes\n  10 GB/s read" in out


def test_profile_json_is_a_line_for_the_machine_and_one_a_step(edgert, model_files, roof):
    _, out, _ = edgert("profile", model_files / "colours.bin", "--runs", 2, "--json", "--by-time")
    machine, *steps = [json.loads(line) for line in out.splitlines()]
    assert (machine["peak_gmacs"], machine["bandwidth_gbs"], machine["memory_gbs"]) == (100, 50, 10)
    assert machine["answer_ns"] == machine["kernels_ns"] + machine["executor_ns"] + machine["call_ns"]
    assert all(machine[f"{part}_ns"] >= 0 for part in ("kernels", "executor", "call"))
    assert sorted(step["node"] for step in steps) == [0, 1, 2, 3]
    assert [step["ns"] for step in steps] == sorted((step["ns"] for step in steps), reverse=True)
    conv = next(step for step in steps if step["op"] == "conv2d")
    assert (conv["macs"], conv["bytes"], conv["bound"]) == (1728, 192 + 108 + 16 + 64, "compute")
    assert conv["roof_share"] == pytest.approx(1728 / 100 / conv["ns"])


def labelled_folder(folder):
    for name, colour in (("Red", (255, 0, 0)), ("2", (0, 0, 255)), ("green", (0, 255, 0))):
        (folder / name).mkdir()
        Image.new("RGB", (9, 9), colour).save(folder / name / "right.png")
    Image.new("RGB", (9, 9), (255, 0, 0)).save(folder / "green" / "wrong.png")
    return folder


def test_eval_of_a_folder_matches_labels_and_numbers(edgert, model_files, tmp_path):
    code, out, err = edgert("eval", model_files / "colours.bin", labelled_folder(tmp_path), "--json")
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert (result["samples"], result["top_1"], result["top_5"]) == (4, 0.75, 1.0)


def test_eval_skips_a_bad_picture_and_says_so(edgert, model_files, tmp_path):
    (labelled_folder(tmp_path) / "Red" / "broken.png").write_bytes(b"\x89PNG")
    code, out, err = edgert("eval", model_files / "colours.bin", tmp_path)
    assert code == 0
    assert "top-1  75.00 %" in out
    assert "4 samples, 1 skipped" in out
    assert "broken.png" in err


@pytest.mark.parametrize("kind", ["pictures", "words"])
def test_eval_of_an_npz_takes_pictures_or_words(edgert, model_files, tmp_path, kind):
    pictures = np.zeros((3, 8, 8, 3), np.uint8)
    for index in range(3):
        pictures[index, ..., index] = 255
    x = pictures if kind == "pictures" else (pictures.astype(int) - 128).astype(np.int8)
    np.savez(tmp_path / "test.npz", x=x, y=np.array([[0], [1], [0]]))
    code, out, _ = edgert("eval", model_files / "colours.bin", tmp_path / "test.npz", "--json")
    assert code == 0
    assert json.loads(out)["top_1"] == pytest.approx(2 / 3)
    _, out, _ = edgert("eval", model_files / "colours.bin", tmp_path / "test.npz", "--json", "--limit", 2)
    assert json.loads(out)["top_1"] == 1.0


def test_eval_names_what_is_wrong_with_its_data(edgert, model_files, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd" / "purple").mkdir(parents=True)
    (tmp_path / "noise.npz").write_bytes(b"PK\x03\x04 nonsense")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "float.npz", x=np.zeros((2, 8, 8, 3), np.float32), y=np.zeros(2, int))
    np.savez(tmp_path / "lengths.npz", x=np.zeros((2, 8, 8, 3), np.uint8), y=np.zeros(3, int))
    np.savez(tmp_path / "pickle.npz", x=np.array([{}], object), y=np.zeros(1, int))
    for name, message in (
        ("absent", "neither a folder nor an .npz file"),
        ("absent.npz", "no such file"),
        ("empty", "no class folders"),
        ("odd", "folder 'purple' is no class of the model (red, green, blue)"),
        ("noise.npz", "not an .npz file"),
        ("other.npz", "has a; it must have x and y"),
        ("float.npz", "x is float32"),
        ("lengths.npz", "y needs one class number per x"),
        ("pickle.npz", "not an .npz file"),
    ):
        code, out, err = edgert("eval", model_files / "colours.bin", tmp_path / name)
        assert (code, out) == (1, "")
        assert message in err
        assert err.count("\n") == 1


def test_eval_refuses_a_model_that_does_not_classify(edgert, model_files, tmp_path):
    code, _, err = edgert("eval", model_files / "two_heads.bin", tmp_path)
    assert code == 1
    assert "does not classify" in err
