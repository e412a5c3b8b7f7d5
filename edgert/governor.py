"""The highest steady frame rate below the board's throttle point: temperature and throttle bits steer it."""

import os
import subprocess
import sys
from time import monotonic, sleep

WARM_C, COOL_C = 78.0, 72.0  # a Pi lowers its clock at 80 degrees; between the two nothing changes
STEP_DOWN, STEP_UP = 0.8, 1.1
CHECK_S = 2.0
SLOWEST_FPS = 1.0
_THROTTLED = 0x2 | 0x4 | 0x8  # frequency capped, throttled, soft temperature limit; now, not in the past
_UNDERVOLTED = 0x1


class Sensors:
    """Temperature and throttle bits of this board; None where it has none."""

    def __init__(self, thermal="/sys/class/thermal/thermal_zone0/temp", command=("vcgencmd", "get_throttled")):
        self.thermal, self.command = thermal, command
        self.has_command = any(
            os.access(os.path.join(folder, command[0]), os.X_OK) for folder in os.get_exec_path()
        )

    def temp_c(self):
        try:
            with open(self.thermal, encoding="ascii") as file:
                return int(file.read()) / 1000
        except (OSError, ValueError):
            return None

    def throttled(self):
        """The bits of `vcgencmd get_throttled`, or None."""
        if not self.has_command:
            return None
        try:
            answer = subprocess.run(self.command, capture_output=True, text=True, timeout=2, check=True).stdout
            return int(answer.strip().partition("=")[2], 16)
        except (OSError, ValueError, subprocess.SubprocessError):
            return None


class Governor:
    """Holds a frame rate.

    fps: the most that is wanted, None for as many as come. wait() returns when the next frame may be taken. One line is
    said per change.
    """

    def __init__(self, fps=None, sensors=None, clock=monotonic, pause=sleep, say=None):
        self.wanted, self.limit = fps, fps
        self.sensors, self.clock, self.pause = sensors or Sensors(), clock, pause
        self.say = say or (lambda text: print(f"edgert: {text}", file=sys.stderr, flush=True))
        self.next_frame = self.next_check = self.clock()
        self.recent = []
        self.temp_c = self.bits = None

    def wait(self):
        now = self.clock()
        if now >= self.next_check:
            self.next_check = now + CHECK_S
            self.check(now)
        if self.limit:
            if now < self.next_frame:
                self.pause(self.next_frame - now)
            self.next_frame = max(self.next_frame, now) + 1 / self.limit
        self.recent = [*self.recent[-99:], self.clock()]

    def check(self, now):
        """Read the sensors; a hot or throttled board gets fewer frames, a cool one more, up to what is wanted."""
        self.temp_c, self.bits = self.sensors.temp_c(), self.sensors.throttled()
        throttled = bool(self.bits and self.bits & _THROTTLED)
        if throttled or (self.temp_c is not None and self.temp_c >= WARM_C):
            self._change(max(SLOWEST_FPS, (self.limit or self._rate() or 30.0) * STEP_DOWN), self._why(throttled))
        elif self.limit != self.wanted and (self.temp_c is None or self.temp_c <= COOL_C):
            faster = self.limit * STEP_UP
            enough = faster >= (self.wanted or 120.0)
            self._change(self.wanted if enough else faster, self._why(False))

    def state(self):
        """For a page: temperature, throttle bits and the limit now."""
        undervolted = bool(self.bits and self.bits & _UNDERVOLTED)
        return {
            "temp_c": self.temp_c, "throttled": self.bits, "undervolted": undervolted, "fps_limit": self.limit,
        }  # fmt: skip

    def _rate(self):
        span = self.recent[-1] - self.recent[0] if len(self.recent) > 1 else 0
        return (len(self.recent) - 1) / span if span > 0 else None

    def _why(self, throttled):
        warm = "" if self.temp_c is None else f"{self.temp_c:.0f} degrees"
        return ", ".join(filter(None, (warm, "throttled" if throttled else "")))

    def _change(self, limit, why):
        if limit == self.limit:
            return
        self.limit = limit
        self.say(f"frame rate: {f'at most {limit:.1f} a second' if limit else 'as many as come'} ({why})")
