"""The governor on sensors and a clock that are faked."""

import subprocess

from edgert.governor import COOL_C, WARM_C, Governor, Sensors


class Fake:
    temp, bits = 50.0, 0

    def temp_c(self):
        return self.temp

    def throttled(self):
        return self.bits


class Clock:
    now = 0.0

    def __call__(self):
        return self.now

    def pause(self, seconds):
        self.now += seconds


def governed(fps=None):
    sensors, clock, said = Fake(), Clock(), []
    return Governor(fps, sensors, clock, clock.pause, said.append), sensors, clock, said


def frames(governor, clock, seconds, work=0.01):
    """How many frames fit into so many seconds, each with some work."""
    end, count = clock.now + seconds, 0
    while clock.now < end:
        governor.wait()
        clock.now += work
        count += 1
    return count


def test_the_rate_asked_for_is_held():
    governor, _, clock, _ = governed(20)
    assert abs(frames(governor, clock, 10) - 200) <= 2


def test_a_cool_board_runs_free():
    governor, _, clock, said = governed()
    assert abs(frames(governor, clock, 10) - 1000) <= 2
    assert said == []


def test_a_hot_board_slows_down_and_recovers_with_hysteresis():
    governor, sensors, clock, said = governed()
    frames(governor, clock, 5)
    sensors.temp = WARM_C
    frames(governor, clock, 2.1)
    assert said == [f"frame rate: at most 80.0 a second ({WARM_C:.0f} degrees)"]
    sensors.temp = (WARM_C + COOL_C) / 2  # between the two nothing changes
    frames(governor, clock, 10)
    assert len(said) == 1
    sensors.temp = COOL_C
    frames(governor, clock, 30)
    assert said[-1].startswith("frame rate: as many as come")
    assert governor.limit is None


def test_throttle_bits_slow_down_even_a_cool_board():
    governor, sensors, clock, said = governed(30)
    sensors.bits = 0x4
    frames(governor, clock, 60)
    assert governor.limit >= 1
    assert "throttled" in said[0]
    assert frames(governor, clock, 10) < 40
    sensors.bits = 0x40000  # once throttled, not now
    frames(governor, clock, 120)
    assert governor.limit == 30
    assert governor.state() == {"temp_c": 50.0, "throttled": 0x40000, "undervolted": False, "fps_limit": 30}


def test_sensors_read_files_and_vcgencmd(tmp_path, monkeypatch):
    thermal = tmp_path / "temp"
    thermal.write_text("61234\n")
    tool = tmp_path / "vcgencmd"
    tool.write_text("#!/bin/sh\necho throttled=0x50005\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    sensors = Sensors(str(thermal))
    assert (sensors.temp_c(), sensors.throttled()) == (61.234, 0x50005)
    tool.write_text("#!/bin/sh\nexit 1\n")
    assert sensors.throttled() is None
    thermal.write_text("hot")
    assert sensors.temp_c() is None
    monkeypatch.setattr(subprocess, "run", None)
    assert not Sensors(str(thermal), ("no-such-tool",)).has_command
