"""The highest steady frame rate below the board's throttle point: temperature and throttle bits steer it."""

import sys
from time import monotonic, sleep

from edgert import machine

WARM_C, COOL_C = 78.0, 72.0  # a Pi lowers its clock at 80 degrees; between the two nothing changes
STEP_DOWN, STEP_UP = 0.8, 1.1
CHECK_S = 2.0
CALM_S = 10.0  # without trouble, before the rate is raised: bits have no width that a hysteresis could use
SLOWEST_FPS = 1.0
# Lack of power alone takes no more than half of the frames: what half the work does not mend is not its fault.
LEAST_OF_POWER = 0.5
_THROTTLED = 0x2 | 0x4 | 0x8  # frequency capped, throttled, soft temperature limit; now, not in the past
_UNDERVOLTED = 0x1


class Sensors:
    """Temperature and throttle bits of this board; None where it has none. root, vcgencmd: as in `machine`."""

    def __init__(self, root="", vcgencmd=None):
        self.root, self.vcgencmd = root, vcgencmd

    def temp_c(self):
        return machine.temperature_c(self.root)

    def throttled(self):
        return machine.throttled(self.root, self.vcgencmd)


class Governor:
    """Holds a frame rate.

    fps: the most that is wanted, None for as many as come. wait() returns when the next frame may be taken. One line is
    said per change.
    """

    def __init__(self, fps=None, sensors=None, clock=monotonic, pause=sleep, say=None):
        self.wanted, self.limit = fps, fps
        self.sensors, self.clock, self.pause = sensors or Sensors(), clock, pause
        self.say = say or (lambda text: print(f"edgert: {text}", file=sys.stderr, flush=True))
        self.next_frame = self.next_check = self.calm_from = self.clock()
        self.recent = []
        self.full = None  # the rate before the first step down
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
        """Read the sensors; a board in trouble gets fewer frames, one that is well again more, up to what is wanted."""
        self.temp_c, self.bits = self.sensors.temp_c(), self.sensors.throttled()
        bits, hot = self.bits or 0, self.temp_c is not None and self.temp_c >= WARM_C
        if hot or bits & (_THROTTLED | _UNDERVOLTED):
            self.calm_from = now + CALM_S
            self._slow_down(hot or not bits & _UNDERVOLTED)
        elif self.limit != self.wanted and now >= self.calm_from and (self.temp_c is None or self.temp_c <= COOL_C):
            faster = self.limit * STEP_UP
            enough = faster >= (self.wanted or 120.0)
            self._change(self.wanted if enough else faster)

    def state(self):
        """For a page: temperature, throttle bits and the limit now."""
        undervolted = bool(self.bits and self.bits & _UNDERVOLTED)
        return {
            "temp_c": self.temp_c, "throttled": self.bits, "undervolted": undervolted, "fps_limit": self.limit,
        }  # fmt: skip

    def troubles(self):
        """What the firmware complains of now, in words."""
        return [what for _, what, now in machine.throttle_states(self.bits or 0) if now]

    def _slow_down(self, by_heat):
        """The firmware says "throttled" for want of power, too; then it is heat only if the board is hot."""
        if self.limit == self.wanted:
            reached = self._rate() or self.wanted or 30.0
            self.full = min(reached, self.wanted or reached)  # a limit that is never reached steers nothing
        now = self.limit if self.limit != self.wanted else self.full
        least = SLOWEST_FPS if by_heat else max(SLOWEST_FPS, self.full * LEAST_OF_POWER)
        self._change(min(now, max(least, now * STEP_DOWN)))

    def _rate(self):
        span = self.recent[-1] - self.recent[0] if len(self.recent) > 1 else 0
        return (len(self.recent) - 1) / span if span > 0 else None

    def _change(self, limit):
        if limit == self.limit:
            return
        self.limit = limit
        warm = [] if self.temp_c is None else [f"{self.temp_c:.0f} degrees"]
        why = ", ".join(warm + self.troubles()) or "the board is well again"
        self.say(f"frame rate: {f'at most {limit:.1f} a second' if limit else 'as many as come'} ({why})")
