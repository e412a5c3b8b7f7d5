"""doctor on machines made of files: a healthy Pi, a troubled one, one without the firmware's tools."""

import json
import sys

import pytest

from edgert import machine
from edgert.cli import doctor
from edgert.cli.main import main

PI5_CPUINFO = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b

Model\t\t: Raspberry Pi 5 Model B Rev 1.0
"""
X86_CPUINFO = "processor : 0\nmodel name : Some Xeon\nflags : fpu sse4_1 avx2 avx512_vnni avx512f\n"
MEMINFO = "MemTotal:  8000000 kB\nMemFree: 100 kB\nMemAvailable:  {} kB\n"


@pytest.fixture
def pi(tmp_path):
    """A Raspberry Pi 5 as a folder; the function it returns writes one more file."""

    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return str(tmp_path)

    write("proc/cpuinfo", PI5_CPUINFO)
    write("proc/meminfo", MEMINFO.format(4_000_000))
    write("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    write("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    write("sys/class/thermal/thermal_zone0/temp", "48312\n")
    write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n")
    return write


def findings(root, vcgencmd=lambda *args: None):
    return doctor.examine(root, vcgencmd)


def values(found, what):
    return [finding["value"] for finding in found if finding["what"] == what]


def test_a_healthy_pi_has_no_trouble_of_its_own(pi):
    found = findings(pi("x", ""), lambda *args: "throttled=0x0\n")
    assert values(found, "board") == ["Raspberry Pi 5 Model B Rev 1.0"]
    assert values(found, "cpu")[0].startswith("Cortex-A76, ")
    assert values(found, "cpu features") == ["asimd asimddp"]
    assert values(found, "temperature") == ["48 °C"]
    assert values(found, "clock governor") == ["ondemand"]
    assert values(found, "throttling") == ["none since boot (0x0)"]
    assert not [f for f in found if f["mend"] and f["what"] in ("temperature", "throttling", "memory")]


def test_a_hungry_and_hot_pi_gets_a_mend_for_each_trouble(pi):
    pi("sys/class/thermal/thermal_zone0/temp", "83000\n")
    root = pi("proc/meminfo", MEMINFO.format(30_000))
    found = findings(root, lambda *args: "throttled=0xd0005\n")
    assert values(found, "throttling") == [
        "under-voltage now (0xd0005)",
        "throttled now (0xd0005)",
        "soft temperature limit since boot, not now (0xd0005)",
    ]
    assert values(found, "temperature") == ["83 °C (the clock is lowered from 80 °C)"]
    troubled = {f["what"] for f in found if f["state"] == "warn"}
    assert {"throttling", "temperature", "memory"} <= troubled
    assert all(f["mend"] for f in found if f["state"] != "ok")


@pytest.mark.parametrize(
    ("word", "states"),
    [
        (0x0, []),
        (0x1, [(0, "under-voltage", True)]),
        (0x50000, [(0, "under-voltage", False), (2, "throttled", False)]),
        (0x80008, [(3, "soft temperature limit", True)]),
        (0xF000F, [(bit, what, True) for bit, what in machine.THROTTLE_BITS.items()]),
    ],
)
def test_throttle_words_are_decoded(word, states):
    assert machine.throttle_states(word) == states


def test_without_vcgencmd_the_word_comes_from_sysfs(pi):
    root = pi("sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n")
    assert machine.throttled(root, lambda *args: None) == 0x50005


def test_without_either_the_voltage_sensor_still_tells(pi):
    pi("sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    root = pi("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    assert machine.throttled(root, lambda *args: None) == 1


def test_when_nothing_tells_doctor_says_how_to_find_out(pi):
    [finding] = [f for f in findings(pi("x", "")) if f["what"] == "throttling"]
    assert finding["state"] == "warn"
    assert "raspi-utils" in finding["mend"]


def test_nonsense_from_the_firmware_is_no_crash(pi):
    assert machine.throttled(pi("x", ""), lambda *args: "error=1 error_msg=bad\n") is None
    pi("sys/class/thermal/thermal_zone0/temp", "cold\n")
    assert machine.temperature_c(pi("proc/cpuinfo", "CPU part : zz\n")) is None
    assert machine.cpu_model(pi("proc/cpuinfo", "CPU part : zz\n")) == ""


def test_an_x86_machine_has_no_board(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(X86_CPUINFO)
    found = findings(str(tmp_path))
    assert values(found, "cpu")[0].startswith("Some Xeon")
    assert values(found, "cpu features") == ["sse4_1 avx2 avx512f avx512_vnni"]
    assert not values(found, "board")


def test_a_missing_extension_is_explained_by_the_installers_note(tmp_path, monkeypatch):
    import edgert.kernels.native as native

    (tmp_path / "not_built.txt").write_text("no compiler:\n gcc not found\n")
    monkeypatch.setattr(native, "__path__", [str(tmp_path)])
    monkeypatch.setitem(sys.modules, "edgert.kernels.native.program", None)
    [finding] = [f for f in findings("") if f["what"] == "compiled kernels"]
    assert "no compiler: gcc not found" in finding["value"]
    assert "apt install gcc python3-dev" in finding["mend"]


def test_an_extension_for_another_python_is_recognised(tmp_path, monkeypatch):
    import edgert.kernels.native as native

    (tmp_path / "program.cpython-38-aarch64-linux-gnu.so").write_bytes(b"")
    monkeypatch.setattr(native, "__path__", [str(tmp_path)])
    monkeypatch.setitem(sys.modules, "edgert.kernels.native.program", None)
    [finding] = [f for f in findings("") if f["what"] == "compiled kernels"]
    assert "cpython-38" in finding["value"]


def test_an_impossible_tier_makes_doctor_fail_with_the_mend(monkeypatch, capsys):
    monkeypatch.setenv("EDGERT_TIER", "abacus")
    assert main(["doctor"]) == 1
    assert "unset EDGERT_TIER" in capsys.readouterr().out


def test_json_is_one_object(monkeypatch, capsys):
    monkeypatch.delenv("EDGERT_TIER", raising=False)
    assert main(["doctor", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    report = json.loads(lines[0])
    assert report["ok"] is True
    assert {"what", "value", "state", "mend"} == set(report["findings"][0])
