"""/metrics: every figure under its name, what is unknown left out, and a dashboard that asks only for what exists."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("starlette")

from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from edgert.monitor import Monitor
from edgert.serve.web import metrics

DASHBOARD = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "edgert.json"


def full():
    """The state of a service that has everything."""
    frames, answers = metrics.Durations(), metrics.Durations()
    for elapsed_ms in (0.5, 15, 15, 40, 60_000):
        frames.add(elapsed_ms * 1e6)
    answers.add(2e9)
    record = dict(Monitor().record(), cma_free_mb=12.5, temperature_c=51.2, clock_mhz=2400.0, core0_percent=10.0)
    return {
        "degraded": 2,
        "record": {**record, "trouble": "under-voltage; throttled since boot"},
        "vision": {"fps": 29.9, "frames": 5, "dropped": 2, "reopened": 1, "camera": "ok", "seconds": frames},
        "text": {"model": "m", "waiting": 3, "running": 1, "answers": 7, "refused": 2, "cancelled": 1, "failed": 0,
                 "prompt_tokens": 60, "tokens": 400, "prefill_tokens_per_s": 900.0, "decode_tokens_per_s": 45.5},
        "text_seconds": answers,
        "restarts": {"worker": 2, "camera": 4},
        "models": {"detect": "street", "generate": "shakespeare"},
    }  # fmt: skip


def scrape(state):
    """{(sample name, labels as text): value} of what /metrics says, read by Prometheus' own parser."""
    testclient = pytest.importorskip("starlette.testclient")
    answer = testclient.TestClient(Starlette(routes=metrics.routes(lambda: state))).get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_every_figure_has_its_name():
    found = scrape(full())
    assert found["edgert_degraded", ""] == 2
    assert found["edgert_frame_rate", ""] == 29.9
    assert found["edgert_frames_total", ""] == 5
    assert found["edgert_frames_dropped_total", ""] == 2
    assert found["edgert_camera_up", ""] == 1
    assert found["edgert_cma_free_bytes", ""] == 12.5 * 2**20
    assert found["edgert_clock_hertz", ""] == 2.4e9
    assert found["edgert_core_percent", "core=0"] == 10
    assert found["edgert_trouble", "what=under-voltage"] == 1
    assert found["edgert_trouble", "what=throttled"] == 0
    assert found["edgert_trouble_since_boot", "what=throttled"] == 1
    assert found["edgert_prompts_total", "result=answered"] == 7
    assert found["edgert_tokens_per_second", "phase=decode"] == 45.5
    assert found["edgert_restarts_total", "part=camera"] == 4
    assert found["edgert_model_info", "model=street,task=detect"] == 1


def test_the_histogram_counts_up_and_ends_with_all():
    found = scrape(full())
    buckets = {labels: v for (name, labels), v in found.items() if name == "edgert_frame_seconds_bucket"}
    at = {float(labels.partition("=")[2]): count for labels, count in buckets.items()}
    assert [at[bound] for bound in (0.001, 0.01, 0.02, 0.05, 30.0, float("inf"))] == [1, 1, 3, 4, 4, 5]
    assert found["edgert_frame_seconds_count", ""] == 5
    assert found["edgert_frame_seconds_sum", ""] == pytest.approx(60.0705)


def test_what_a_service_does_not_have_is_left_out():
    assert scrape({}) == {}
    found = scrape({"record": Monitor(root="/nowhere", vcgencmd=lambda *words: None).record(), "text": None})
    assert ("edgert_temperature_celsius", "") not in found
    assert ("edgert_trouble", "what=throttled") not in found
    assert found["edgert_resident_bytes", ""] > 1e6


def test_names_with_quotes_and_new_lines_stay_one_label():
    found = scrape({"models": {"detect": 'a"b\nc\\d'}})
    assert found == {("edgert_model_info", 'model=a"b\nc\\d,task=detect'): 1}


def asked_by(dashboard):
    """The expressions of a Grafana dashboard, its variables' too."""
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def test_the_dashboard_asks_only_for_metrics_that_exist():
    expressions = list(asked_by(json.loads(DASHBOARD.read_text())))
    asked = {name for expression in expressions for name in re.findall(r"edgert_\w+", expression)}
    assert len(asked) > 15
    assert asked <= {name for name, _ in scrape(full())}


def test_the_dashboard_asks_only_for_labels_that_exist():
    labels = {pair.partition("=")[0] for _, pairs in scrape(full()) for pair in pairs.split(",")} | {"instance"}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels
            assert set(re.findall(r"(\w+)=~?\"", target["expr"])) <= labels


def test_panels_of_the_dashboard_do_not_overlap():
    taken = set()
    panels = json.loads(DASHBOARD.read_text())["panels"]
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)
