"""The governor on sensors and a clock that are faked."""

import pytest

from edgert.governor import CALM_S, COOL_C, WARM_C, Governor, Sensors


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


def test_under_voltage_slows_down_with_a_line_and_recovers_after_calm():
    governor, sensors, clock, said = governed(30)
    frames(governor, clock, 5)
    sensors.bits = 0x1
    frames(governor, clock, 2.1)
    assert said == ["frame rate: at most 24.0 a second (50 degrees, under-voltage)"]
    sensors.bits = 0x10000  # once, not now
    frames(governor, clock, CALM_S - 2.1)
    assert (governor.limit, len(said)) == (24.0, 1)
    frames(governor, clock, 10)
    assert governor.limit == 30
    assert said[-1] == "frame rate: at most 30.0 a second (50 degrees)"


def test_under_voltage_takes_no_more_than_half_of_the_frames_however_long_it_lasts():
    governor, sensors, clock, said = governed(30)
    sensors.bits = 0x50005  # what a Pi says: its clock is throttled for want of power, not for heat
    frames(governor, clock, 600)
    assert governor.limit == 15
    assert len(said) == 4
    sensors.temp = WARM_C
    frames(governor, clock, 60)
    assert governor.limit == 1


@pytest.mark.parametrize(
    ("bits", "word"),
    [(0x1, "under-voltage"), (0x2, "Arm clock capped"), (0x4, "throttled"), (0x8, "soft temperature limit")],
)
def test_each_complaint_of_the_firmware_lowers_the_rate_and_is_named(bits, word):
    governor, sensors, clock, said = governed(30)
    sensors.bits = bits
    frames(governor, clock, 1)
    assert said == [f"frame rate: at most 24.0 a second (50 degrees, {word})"]
    assert governor.troubles() == [word]


def test_trouble_that_comes_and_goes_does_not_make_the_rate_swing():
    governor, sensors, clock, said = governed(30)
    for _ in range(50):
        sensors.bits ^= 0x1
        frames(governor, clock, 4)
    assert all("under-voltage" in line for line in said)
    assert governor.limit == 15


def test_a_rate_that_the_board_never_reached_is_no_limit():
    governor, sensors, clock, said = governed(100)
    frames(governor, clock, 10, work=0.05)
    sensors.bits = 0x4
    frames(governor, clock, 2.1, work=0.05)
    assert said == ["frame rate: at most 16.0 a second (50 degrees, throttled)"]


def test_a_rate_below_one_a_second_is_not_raised_by_trouble():
    governor, sensors, clock, said = governed(0.5)
    sensors.temp, sensors.bits = 90.0, 0x5
    frames(governor, clock, 60)
    assert (governor.limit, said) == (0.5, [])


def test_a_board_without_sensors_is_left_alone(tmp_path):
    clock = Clock()
    governor = Governor(None, Sensors(str(tmp_path), lambda *_: None), clock, clock.pause)
    assert abs(frames(governor, clock, 10) - 1000) <= 2
    assert governor.state() == {"temp_c": None, "throttled": None, "undervolted": False, "fps_limit": None}
    assert governor.troubles() == []


def test_sensors_read_the_kernel_and_the_firmware(tmp_path):
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("61234\n")
    answers = ["throttled=0x50005\n", "error=1 no such command", None]
    sensors = Sensors(str(tmp_path), lambda *_: answers.pop(0))
    assert (sensors.temp_c(), sensors.throttled()) == (61.234, 0x50005)
    assert sensors.throttled() is None
    alarm = tmp_path / "sys/class/hwmon/hwmon1"
    alarm.mkdir(parents=True)
    (alarm / "name").write_text("rpi_volt\n")
    (alarm / "in0_lcrit_alarm").write_text("1\n")
    assert sensors.throttled() == 1  # no vcgencmd: the kernel's own alarm
    (zone / "temp").write_text("hot")
    assert sensors.temp_c() is None
