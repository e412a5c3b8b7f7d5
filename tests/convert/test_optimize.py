"""The stages, their measurements and targets, on a network that is trained in a blink. No time is judged."""

import json

import numpy as np
import pytest

from edgert.convert import optimize
from edgert.convert.optimize.caching import Cached
from edgert.errors import ConversionError, InputError

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def data():
    """Pictures (60, 8, 8, 3) that are brightest in the colour of their label."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    x = rng.normal(0, 0.3, (60, 8, 8, 3)).astype(np.float32)
    x[np.arange(60), :, :, y] += 1.0
    return optimize.Data(x, y)


@pytest.fixture(scope="module")
def network():
    """conv, ReLU, mean, linear: the channel's mean decides."""
    torch.manual_seed(0)
    made = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 3),
    )
    with torch.no_grad():
        made[0].weight *= 0.1
        made[4].weight.zero_()
        for colour in range(3):
            made[0].weight[colour, colour, 1, 1] = 1.0
            made[4].weight[colour, colour] = 4.0
    return made.eval()


@pytest.fixture(scope="module")
def begin(network, data):
    return optimize.start(network, (torch.zeros(1, 3, 8, 8),), data)


@pytest.fixture(scope="module")
def quantised(begin, data):
    return optimize.apply_quantization(begin[0], [row[None] for row in data.x[:20]])


def test_the_start_is_the_network_in_pytorch(begin):
    candidate, measured = begin
    assert (candidate.runner, candidate.stages, measured.accuracy) == ("PyTorch eager", (), 100.0)
    assert measured.latency_ms >= measured.least_ms > 0
    assert measured.memory_mb > 10
    assert measured.size_mb == pytest.approx(4 * (3 * 16 * 9 + 16 + 16 * 3 + 3) / 1e6)


def test_quantisation_alone_runs_by_the_definitions(quantised):
    candidate, measured = quantised
    assert (candidate.runner, candidate.stages) == ("edgert reference", ("quantization",))
    assert measured.accuracy == 100.0


def test_acceleration_of_an_int8_model_takes_the_native_kernels_and_changes_no_answer(begin, quantised):
    candidate, measured = optimize.apply_acceleration(quantised[0])
    assert (candidate.runner, measured.accuracy) == ("edgert native", quantised[1].accuracy)
    assert candidate.stages == ("quantization", "acceleration")
    assert measured.memory_mb < begin[1].memory_mb / 2  # of its own process, in which there is no torch
    assert measured.resources
    assert {"cpu_percent", "rss_mb"} <= measured.resources[-1].keys()


def test_caching_counts_as_a_stage_and_is_measured(quantised):
    candidate, measured = optimize.apply_caching(quantised[0], entries=4)
    assert (candidate.entries, candidate.stages) == (4, ("quantization", "caching"))
    assert measured.answers > 0


def test_pruning_scores_and_trains_a_copy_of_the_network(begin, network, data):
    seen = []

    def losses(copied):
        pixels = torch.from_numpy(data.x[:8]).permute(0, 3, 1, 2)
        seen.append(copied)
        yield torch.nn.functional.cross_entropy(copied(pixels), torch.from_numpy(data.y[:8]))

    options = {"losses": losses, "finetune": lambda copied, part, parts: seen.append(copied), "parts": 1}
    candidate, _ = optimize.apply_pruning(begin[0], "60 %", measured=False, **options)
    assert candidate.parameters < begin[0].parameters
    assert candidate.stages == ("pruning",)
    assert all(copied is candidate.network for copied in seen)
    assert network[0].out_channels == 16


def test_a_stage_leaves_its_candidate_as_it_was(begin):
    candidate = begin[0]
    optimize.apply_caching(candidate, 2, measured=False)
    optimize.apply_acceleration(candidate, measured=False)
    assert (candidate.entries, candidate.accelerated, candidate.stages) == (0, False, ())


def test_a_cache_keeps_the_last_used_and_never_mixes_inputs():
    asked = []
    run = Cached(lambda arrays: asked.append(int(arrays[0][0])) or asked[-1], 2)
    inputs = [(np.array([i]),) for i in range(3)]
    assert [run(inputs[i]) for i in (0, 1, 0, 2, 0, 1)] == [0, 1, 0, 2, 0, 1]
    assert asked == [0, 1, 2, 1]


def test_what_cannot_be_applied_is_refused(begin, quantised, data):
    calibration = [row[None] for row in data.x[:4]]
    with pytest.raises(InputError, match="quantised already; prune first"):
        optimize.apply_pruning(quantised[0], "50 %")
    with pytest.raises(ConversionError, match="quantised already"):
        optimize.apply_quantization(quantised[0], calibration)
    for entries in (0, -1, 2.5, True, "4"):
        with pytest.raises(InputError, match="entries"):
            optimize.apply_caching(begin[0], entries)
    with pytest.raises(InputError, match="data="):
        optimize.start(begin[0].graph)


@pytest.mark.parametrize(
    ("x", "y", "complaint"),
    [
        (np.zeros((0, 4)), None, "no row"),
        (np.zeros((3, 4)), [0, 1], "3 rows"),
        (np.zeros((2, 4)), [[0, 1]], "one class"),
    ],
)
def test_data_that_does_not_fit_is_refused(x, y, complaint):
    with pytest.raises(InputError, match=complaint):
        optimize.Data(x, y)


def test_a_target_passes_or_fails_with_the_numbers(quantised):
    wanted = {"accuracy": 75.0, "latency_ms": 1e6, "memory_mb": 1e6, "size_mb": 1e-9}
    verdicts = optimize.check(quantised[1], wanted)
    assert [verdict.passed for verdict in verdicts] == [True, True, True, False]
    assert str(verdicts[0]) == "pass  accuracy: 100 %, wanted >= 75 %"
    assert str(verdicts[3]).startswith("FAIL  size_mb: ")


@pytest.mark.parametrize(
    "target", [{"speed": 1}, {"accuracy": "90"}, {"latency_ms": -1}, {"size_mb": float("nan")}, {"size_mb": True}]
)
def test_a_target_that_means_nothing_is_refused(target):
    with pytest.raises(InputError, match="target"):
        optimize.parse_target(target)


def test_accuracy_that_was_not_measured_passes_no_target(begin):
    from dataclasses import replace

    [verdict] = optimize.check(replace(begin[1], accuracy=None), {"accuracy": 0})
    assert not verdict.passed
    assert "not measured" in str(verdict)


@pytest.fixture(scope="module")
def record(begin, data):
    """A study of two stages, through JSON."""
    calibration = [row[None] for row in data.x[:20]]
    stages = {
        "quantization": lambda c: optimize.apply_quantization(c, calibration, measured=False),
        "caching": lambda c: optimize.apply_caching(c, measured=False),
    }
    target = {"accuracy": 75.0, "size_mb": 10}
    made = optimize.study(begin[0], stages, target, problem="Which colour is it?", turns=1, seconds=0.05, seed=0)
    return json.loads(json.dumps(made))


def test_a_study_measures_each_alone_and_all(record):
    assert list(record["variants"]) == ["baseline", "quantization alone", "caching alone", "all"]
    assert record["variants"]["all"]["stages"] == ["quantization", "caching"]
    assert [verdict["passed"] for verdict in record["verdicts"]] == [True, True]
    assert any(row["sqnr_db"] and row["sqnr_db"] > 20 for row in record["layers"])


def test_the_report_of_a_study_is_one_page_with_its_pictures(record, tmp_path):
    pytest.importorskip("matplotlib")
    from edgert.convert import report

    hostile = json.loads(json.dumps(record)) | {"problem": "<script>alert(1)</script> | `x` [a](b)"}
    report.write(hostile, tmp_path / "study.html")
    page = (tmp_path / "study.html").read_text()
    assert "<script>" not in page
    assert page.count("data:image/png;base64,") >= 4
    assert "http" not in page.replace("http-equiv", "")
    report.write(hostile, tmp_path / "study.md")
    text = (tmp_path / "study.md").read_text()
    assert r"\<script\>" in text
    for picture in (tmp_path / "study_files").iterdir():
        assert f"study_files/{picture.name}" in text
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_study_without_stages_is_refused(begin):
    with pytest.raises(InputError, match="at least one stage"):
        optimize.study(begin[0], {}, {})


@pytest.mark.parametrize("record", [None, [], {}, {"kind": "novel"}, {"kind": "study"}, {"kind": "conversion"}])
def test_what_is_no_record_is_named(record, tmp_path):
    pytest.importorskip("matplotlib")
    from edgert.convert import report

    with pytest.raises(InputError, match="record"):
        report.write(record, tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_the_report_verb_tells_of_a_conversion(edgert, model_files, tmp_path):
    pytest.importorskip("matplotlib")
    kept = tmp_path / "r.json"
    code, out, _ = edgert("report", model_files / "colours.bin", "-o", tmp_path / "r.html", "--save", kept)
    assert code == 0
    assert "r.html" in out
    assert "Conversion of colours" in (tmp_path / "r.html").read_text()
    code, _, _ = edgert("report", kept, "-o", tmp_path / "again.md")
    assert code == 0
    assert "# Conversion of colours" in (tmp_path / "again.md").read_text()


def test_the_report_verb_refuses_what_it_cannot_write_or_read(edgert, model_files, tmp_path):
    code, _, err = edgert("report", model_files / "colours.bin", "-o", tmp_path / "r.pdf")
    assert (code, "r.pdf" in err) == (1, True)
    (tmp_path / "bad.json").write_text("{")
    code, _, err = edgert("report", tmp_path / "bad.json")
    assert (code, "no JSON" in err) == (1, True)
    code, _, err = edgert("report", model_files / "colours.bin", "--float", "a.tflite")
    assert (code, "belong together" in err) == (1, True)
