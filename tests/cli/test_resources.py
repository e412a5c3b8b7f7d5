"""Resource records and logs, on this machine and on a made-up Pi in trouble. No number of a real sensor is judged."""

import csv
import json
import resource
import threading

import pytest

from edgert import monitor
from edgert.errors import InputError


@pytest.fixture
def pi(tmp_path):
    """Root of a Pi that is hot, slowed down and short of camera memory."""
    files = {
        "proc/meminfo": "MemTotal: 1000000 kB\nMemAvailable: 512000 kB\nCmaTotal: 65536 kB\nCmaFree: 2048 kB\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "81250\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def words(word):
    return lambda *arguments: f"throttled={word}\n"


def test_a_record_has_every_field_on_every_machine():
    record = monitor.Monitor().record()
    cores = [name for name in record if name.startswith("core")]
    assert [name for name in record if name not in cores] == list(monitor.FIELDS)
    assert cores == [monitor.CORE.format(i) for i in range(len(cores))] != []
    assert record["rss_mb"] > 1
    assert record["threads"] >= 1
    assert (record["answers"], record["latency_p50_ms"]) == (0, None)


def test_a_record_covers_the_answers_since_the_one_before():
    seen = monitor.Monitor()
    for elapsed_ns in range(1_000_000, 101_000_000, 1_000_000):
        seen.answered(elapsed_ns)
    record = seen.record()
    assert record["answers"] == 100
    assert [record[f"latency_p{share}_ms"] for share in (50, 95, 99)] == [50.0, 95.0, 99.0]
    assert record["fps"] > 0
    assert seen.record()["answers"] == 0


def test_the_sensors_of_a_pi_are_read(pi):
    record = monitor.Monitor(str(pi), words("0x50001")).record()
    assert record["temperature_c"] == 81.25
    assert record["clock_mhz"] == 1500.0
    assert record["available_mb"] == 500.0
    assert record["cma_free_mb"] == 2.0
    assert record["trouble"] == "under-voltage; throttled since boot"


def test_a_machine_without_sensors_says_none(tmp_path):
    record = monitor.Monitor(str(tmp_path), lambda *arguments: None).record()
    names = ("temperature_c", "clock_mhz", "available_mb", "cma_free_mb", "trouble")
    assert {name: record[name] for name in names} == dict.fromkeys(names)


def test_a_pi_that_is_well_has_no_trouble(pi):
    assert monitor.Monitor(str(pi), words("0x0")).record()["trouble"] == ""


def test_the_firmware_is_not_asked_at_every_record(pi):
    asked = []
    seen = monitor.Monitor(str(pi), lambda *arguments: asked.append(arguments) or "throttled=0x4")
    assert [seen.record()["trouble"] for _ in range(5)] == ["throttled"] * 5
    assert len(asked) == 1


def test_more_answers_than_a_record_keeps_are_still_counted(monkeypatch):
    monkeypatch.setattr(monitor, "_KEPT_LATENCIES", 10)
    seen = monitor.Monitor()
    for _ in range(25):
        seen.answered(2_000_000)
    record = seen.record()
    assert (record["answers"], record["latency_p99_ms"]) == (25, 2.0)


def test_answers_of_several_threads_are_all_counted():
    seen = monitor.Monitor()
    threads = [threading.Thread(target=lambda: [seen.answered(1) for _ in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen.record()["answers"] == 4000


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_log_reads_back_as_it_was_taken(tmp_path, suffix):
    path = tmp_path / f"log{suffix}"
    with monitor.Sampler(path, interval=60) as sampler:
        sampler.answered(3_000_000)
        sampler._sample()
    records = monitor.read_log(path)
    assert len(records) == len(sampler.records) == 2
    assert sum(record["answers"] for record in records) == 1
    assert max(record["latency_p50_ms"] or 0 for record in records) == 3.0
    assert records[0]["time_s"] == sampler.records[0]["time_s"]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_full_disk_ends_the_log_and_nothing_else(tmp_path, suffix, capsys):
    path = tmp_path / f"log{suffix}"
    path.symlink_to("/dev/full")
    with monitor.Sampler(path, interval=60) as sampler:
        sampler._sample()
        sampler._sample()
        assert sampler.log.trouble == f"{path}: No space left on device; no more records are written there"
    assert len(sampler.records) == 3
    assert capsys.readouterr().err.count("No space left") == 1


def test_a_record_that_does_not_fit_leaves_no_half_line(tmp_path, capsys):
    log = monitor.Log(tmp_path / "log.jsonl")
    log.write({"time_s": 1})
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, resource.RLIM_INFINITY))  # as a disk with room for 20 bytes
    try:
        log.write({"time_s": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert "File too large; no more records" in log.trouble
    assert monitor.read_log(tmp_path / "log.jsonl") == [{"time_s": 1}]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_log_may_go_on_behind_an_earlier_one(tmp_path, suffix):
    path = tmp_path / f"log{suffix}"
    for time_s in (1, 2):
        log = monitor.Log(path, append=True)
        log.write({"time_s": time_s})
        log.close()
    assert [record["time_s"] for record in monitor.read_log(path)] == [1, 2]


def test_the_ring_forgets_the_oldest():
    with monitor.Sampler(interval=60, keep=3) as sampler:
        for _ in range(5):
            sampler._sample()
    assert len(sampler.records) == 3


def test_a_log_that_was_left_at_once_has_one_record(tmp_path):
    with monitor.Sampler(tmp_path / "log.jsonl"):
        pass
    assert len(monitor.read_log(tmp_path / "log.jsonl")) == 1


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf")])
def test_an_interval_must_be_a_time(interval):
    with pytest.raises(InputError, match="interval"):
        monitor.Sampler(interval=interval)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("log.txt", "", r"\.jsonl or \.csv"),
        ("log.jsonl", "", "no records"),
        ("log.csv", "", "no records"),
        ("log.csv", "time_s,fps\nsoon,1\n", "line 2 is no record"),
        ("log.csv", "fps\n1\n", "line 2 is no record"),
        ("log.jsonl", "{}\n", "line 1 is no record"),
        ("log.jsonl", '{"time_s": 1}\n[1]\n', "line 2 is no record"),
        ("log.jsonl", '{"time_s": NaN}\n', "line 1 is no record"),
        ("log.jsonl", '{"time_s": true}\n', "line 1 is no record"),
        ("log.jsonl", "[" * 60_000, "line 1 is no record"),
        ("log.jsonl", "[" * 100_000, "line 1 is no record of a resource log: over 65,536 characters"),
        ("log.csv", "time_s\n1\n" + "1" * 100_000, "line 3 is no record of a resource log: over"),
        ("log.jsonl", "\udcff\x00", "line 1 is no record"),
    ],
)
def test_what_is_no_log_is_named(tmp_path, name, text, complaint):
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=complaint):
        monitor.read_log(path)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_device_without_end_is_no_log(tmp_path, suffix):
    (tmp_path / f"log{suffix}").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="not a regular file"):
        monitor.read_log(tmp_path / f"log{suffix}")
    with pytest.raises(InputError, match="no such file"):
        monitor.read_log(tmp_path / f"none{suffix}")


def test_run_writes_a_log_and_plot_draws_it(edgert, model_files, colour_pictures, tmp_path):
    pytest.importorskip("matplotlib")
    log = tmp_path / "run.csv"
    code, _, _ = edgert("run", model_files / "colours.bin", colour_pictures, "--log-resources", log)
    assert code == 0
    with open(log, newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["answers"]) for row in rows) == 3
    code, out, _ = edgert("plot", log)
    assert code == 0
    assert str(tmp_path / "run.png") in out
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")


def test_a_log_of_trouble_and_gaps_is_drawn(edgert, tmp_path):
    pytest.importorskip("matplotlib")
    troubles = ("", "under-voltage", "under-voltage; <b>$x$</b>", None, 7)
    gaps = {"cpu_percent": None, "fps": 30}
    lines = [{"time_s": 100 + i, **gaps, "trouble": word} for i, word in enumerate(troubles)]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    code, _, _ = edgert("plot", path, "-o", tmp_path / "log.svg")
    assert code == 0
    assert (tmp_path / "log.svg").read_text().lstrip().startswith("<?xml")


def test_wrong_names_are_refused_before_anything_runs(edgert, model_files, colour_pictures, tmp_path):
    code, out, err = edgert("run", model_files / "colours.bin", colour_pictures, "--log-resources", "log.txt")
    assert (code, out) == (1, "")
    assert "log.txt" in err
    (tmp_path / "log.jsonl").write_text('{"time_s": 1}\n')
    code, _, err = edgert("plot", tmp_path / "log.jsonl", "-o", tmp_path / "log.gif")
    assert code == 1
    assert ".png, .svg, .pdf" in err
