"""/metrics for Prometheus: what the service counts and what the monitor saw last, read when somebody asks.

`state` is a function to a dict; what a service does not have is left out of it:

    degraded   how many reasons /health gives
    record     the newest record of edgert.monitor
    vision     {"fps", "frames", "dropped", "reopened", "camera": "ok" or what is wrong, "seconds": Durations}
    text       `Answerer.state()`; "text_seconds": Durations of its answers
    restarts   {part: how often it was started again}
    models     {task: name}
"""

import threading
from bisect import bisect_left

from edgert.optional import require

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.033, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TROUBLES = ("under-voltage", "Arm clock capped", "throttled", "soft temperature limit")
_RECORD = {  # field of a record -> (metric, factor, help)
    "cpu_percent": ("edgert_cpu_percent", 1, "CPU of the service, 100 for each core that it keeps busy"),
    "rss_mb": ("edgert_resident_bytes", 1 << 20, "resident memory of the service"),
    "threads": ("edgert_threads", 1, "threads of the service"),
    "available_mb": ("edgert_available_bytes", 1 << 20, "memory that programs can still get"),
    "cma_free_mb": ("edgert_cma_free_bytes", 1 << 20, "free memory for cameras and video (CMA)"),
    "temperature_c": ("edgert_temperature_celsius", 1, "of the CPU"),
    "clock_mhz": ("edgert_clock_hertz", 1_000_000, "clock of the first core"),
}
_VISION = {
    "fps": ("edgert_frame_rate", "gauge", "answers to frames, a second"),
    "frames": ("edgert_frames", "counter", "frames answered"),
    "dropped": ("edgert_frames_dropped", "counter", "frames that a newer one replaced before they were looked at"),
    "reopened": ("edgert_camera_reopened", "counter", "times that the camera was opened again"),
}
_TEXT = {
    "waiting": ("edgert_prompts_waiting", "gauge", "prompts that wait for their turn"),
    "running": ("edgert_prompts_running", "gauge", "prompts that are being answered"),
    "prompt_tokens": ("edgert_prompt_tokens", "counter", "tokens of the prompts answered"),
    "tokens": ("edgert_tokens", "counter", "tokens of the answers"),
}


class Durations:
    """A histogram that counts without any package; any thread may add to it."""

    def __init__(self, bounds=SECONDS):
        self.bounds, self.total_s = bounds, 0.0
        self._counts, self._lock = [0] * (len(bounds) + 1), threading.Lock()

    def add(self, elapsed_ns):
        seconds = elapsed_ns / 1e9
        with self._lock:
            self._counts[bisect_left(self.bounds, seconds)] += 1
            self.total_s += seconds

    def buckets(self):
        """([(upper bound as text, how many were not above it)], their sum in seconds)."""
        with self._lock:
            counts, total_s = list(self._counts), self.total_s
        found, sum_of_counts = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), counts):
            sum_of_counts += count
            found.append((bound, sum_of_counts))
        return found, total_s


def routes(state):
    """The route /metrics over `state`. Raises: EdgertError if prometheus-client is missing."""
    require("starlette", "/metrics")
    client = require("prometheus_client", "/metrics")
    from starlette.responses import Response
    from starlette.routing import Route

    registry = client.CollectorRegistry(auto_describe=False)
    registry.register(_Collector(state))

    async def give(request):
        return Response(client.generate_latest(registry), headers={"Content-Type": _TYPE, "Cache-Control": "no-store"})

    return [Route("/metrics", give)]


class _Collector:
    def __init__(self, state):
        self._state = state

    def collect(self):
        """Prometheus' families, made anew from what is known now."""
        from prometheus_client import core

        families = Families(core)
        state = self._state()
        _record(families, state.get("record") or {})
        _vision(families, state.get("vision"))
        _text(families, state.get("text"), state.get("text_seconds"))
        words = "how many reasons /health gives for not being well"
        families.add("edgert_degraded", "gauge", words, state.get("degraded"))
        for part, count in state.get("restarts", {}).items():
            families.add("edgert_restarts", "counter", "times that a part was started again", count, part=part)
        for task, name in state.get("models", {}).items():
            families.add("edgert_model_info", "gauge", "the models that are served", 1, task=task, model=name)
        return families.made.values()


class Families:
    """Metric families of prometheus_client, by name; what is None is left out."""

    def __init__(self, core):
        self.made = {}
        self._kinds = {"gauge": core.GaugeMetricFamily, "counter": core.CounterMetricFamily}
        self._histogram = core.HistogramMetricFamily

    def add(self, name, kind, words, value, **labels):
        if value is None:
            return
        if name not in self.made:
            self.made[name] = self._kinds[kind](name, words, labels=tuple(labels))
        self.made[name].add_metric(tuple(map(str, labels.values())), value)

    def histogram(self, name, words, durations):
        buckets, total_s = durations.buckets()
        family = self.made[name] = self._histogram(name, words)
        family.add_metric((), buckets, total_s)


def _record(families, record):
    for field, (name, factor, words) in _RECORD.items():
        value = record.get(field)
        families.add(name, "gauge", words, None if value is None else value * factor)
    for field, value in record.items():
        if field.startswith("core") and field.endswith("_percent"):
            core = field.removeprefix("core").removesuffix("_percent")
            families.add("edgert_core_percent", "gauge", "how busy a core is, whoever keeps it so", value, core=core)
    trouble = record.get("trouble")
    said = () if trouble is None else trouble.split("; ")
    for what in TROUBLES if trouble is not None else ():
        now, ever = int(what in said), int(what in said or f"{what} since boot" in said)
        families.add("edgert_trouble", "gauge", "1 where the firmware complains of it now", now, what=what)
        families.add("edgert_trouble_since_boot", "gauge", "1 where it did so since boot", ever, what=what)


def _vision(families, vision):
    if vision is None:
        return
    for field, (name, kind, words) in _VISION.items():
        families.add(name, kind, words, vision.get(field))
    if "camera" in vision:
        families.add("edgert_camera_up", "gauge", "1 while the camera gives frames", int(vision["camera"] == "ok"))
    if "seconds" in vision:
        families.histogram("edgert_frame_seconds", "from the capture of a frame to its answer", vision["seconds"])


def _text(families, text, seconds):
    if text is None:
        return
    for field, (name, kind, words) in _TEXT.items():
        families.add(name, kind, words, text.get(field))
    for result in ("answers", "refused", "cancelled", "failed"):
        words = "prompts, by what became of them"
        families.add("edgert_prompts", "counter", words, text.get(result), result=result.replace("answers", "answered"))
    for phase in ("prefill", "decode"):
        words = "tokens a second of the newest answer: of its prompt (prefill), of itself (decode)"
        families.add("edgert_tokens_per_second", "gauge", words, text.get(f"{phase}_tokens_per_s"), phase=phase)
    if seconds is not None:
        families.histogram("edgert_answer_seconds", "from the first to the last token of an answer", seconds)
