"""A resource log as a picture: one panel for each kind of number that the log has, all over the same time."""

from edgert import plots
from edgert.cli.text import printable

COLUMNS = 2
PANEL_INCHES = 4.9, 1.8


def draw(records, path, title):
    """Writes the picture of `records` (of monitor.read_log) to `path`; its suffix says the format."""
    from matplotlib.figure import Figure

    panels = [panel for panel in PANELS if any(_has(records, field) for field, _ in _fields(panel, records))]
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(COLUMNS * PANEL_INCHES[0], rows * PANEL_INCHES[1] + 0.6), layout="constrained")
    figure.suptitle(printable(title), fontsize=11, x=0.01, ha="left")
    axes = figure.subplots(rows, COLUMNS, sharex=True, squeeze=False).ravel()
    for axis in axes[len(panels) :]:
        axis.remove()
    axes = axes[: len(panels)]
    for axis, panel in zip(axes, panels):
        _draw_panel(axis, panel, records)
    for axis in axes[-COLUMNS:]:
        axis.set_xlabel("seconds", fontsize=8)
        axis.tick_params(labelbottom=True)
    axes[0].set_xlim(0, max(1.0, records[-1]["time_s"] - records[0]["time_s"]))
    _mark_trouble(axes, records)
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.endswith(".svg") else None)


# (label of the axis, ((field, legend), ...)); a field with {} stands for one field of each core.
PANELS = (
    ("CPU %\n(100 = a core)", (("cpu_percent", "this process"),)),
    ("cores, busy %", (("core{}_percent", "core {}"),)),
    ("RSS, MiB", (("rss_mb", "this process"),)),
    ("free, MiB", (("available_mb", "memory"), ("cma_free_mb", "CMA"))),
    ("°C", (("temperature_c", "CPU"),)),
    ("clock, MHz", (("clock_mhz", "first core"),)),
    ("answers / s", (("fps", "answers"),)),
    ("latency, ms", (("latency_p50_ms", "median"), ("latency_p95_ms", "p95"), ("latency_p99_ms", "p99"))),
)


def _fields(panel, records):
    """(field, legend) of a panel, each core's own where it has them."""
    for field, legend in panel[1]:
        if "{}" not in field:
            yield field, legend
            continue
        core = 0
        while field.format(core) in records[0]:
            yield field.format(core), legend.format(core)
            core += 1


def _draw_panel(axis, panel, records):
    start = records[0]["time_s"]
    times = [record["time_s"] - start for record in records]
    fields = [pair for pair in _fields(panel, records) if _has(records, pair[0])]
    for index, (field, legend) in enumerate(fields):
        values = [_number(record.get(field)) for record in records]
        marker = "o" if len(records) < 30 else None  # a line through few points hides how few
        axis.plot(times, values, color=plots.colour(index), label=legend, linewidth=1.3, marker=marker, markersize=3)
    axis.set_ylabel(panel[0], fontsize=8)
    axis.set_ylim(bottom=0)
    plots.plain(axis)
    if len(fields) > 1:
        axis.legend(fontsize=7, ncols=min(len(fields), 8), loc="upper left", frameon=False)


def _mark_trouble(axes, records):
    """Grey where the firmware complained, with its words at the first moment of each complaint."""
    start, before = records[0]["time_s"], ""
    for record, following in zip(records, [*records[1:], records[-1]]):
        words = record.get("trouble") or ""
        if words and isinstance(words, str):
            for axis in axes:
                axis.axvspan(record["time_s"] - start, following["time_s"] - start, color="#d9822b", alpha=0.15, lw=0)
        if words and words != before:
            place = record["time_s"] - start, 0.92
            look = {"fontsize": 7, "color": "#8a4b08", "va": "top"}
            axes[0].annotate(printable(str(words)), place, xycoords=("data", "axes fraction"), **look)
        before = words


def _has(records, field):
    return any(_number(record.get(field)) is not None for record in records)


def _number(value):
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
