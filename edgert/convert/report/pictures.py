"""The plots: matplotlib to PNG bytes, no window, no global state."""

import io

from matplotlib.figure import Figure

from edgert import plots
from edgert.convert.report.blocks import Picture

SHAPES = "osD^vPXd<>"
DPI = 110


def bars(name, caption, labels, values, unit, wanted=None, log=False):
    """Horizontal bars, the first on top, each with its number; `wanted` draws the declared target's line."""
    figure, axis = _start(7.6, 0.32 * len(labels) + 0.9)
    places = range(len(labels))
    axis.barh(places, values, color=[plots.COLOURS[0] if value else "#d0d7de" for value in values], height=0.68)
    axis.set_yticks(places, labels, fontsize=8)
    axis.invert_yaxis()
    if log:
        axis.set_xscale("log")
        axis.set_xlim(min(v for v in values if v) / 2, max(values) * 4)
    else:
        axis.set_xlim(0, max([*values, wanted or 0]) * 1.16)
    for place, value in zip(places, values):
        text = {"xytext": (3, 0), "textcoords": "offset points", "va": "center", "fontsize": 8}
        axis.annotate(f"{value:,.3g}", (value, place), **text)
    if wanted is not None:
        axis.axvline(wanted, color=plots.COLOURS[4], linewidth=1, linestyle="--")
        place = {"ha": "center", "va": "bottom", "annotation_clip": False}
        axis.annotate("target", (wanted, -0.75), color=plots.COLOURS[4], fontsize=7, **place)
    axis.set_xlabel(unit, fontsize=8)
    plots.plain(axis, "x", labelsize=7)
    return _finish(figure, name, caption)


def scatter(name, caption, points, x_label, y_label, wanted=(None, None)):
    """points: (label, x, y), told apart by colour and shape in the legend; wanted: lines of the declared target."""
    figure, axis = _start(7.6, 3.8)
    for number, (label, x, y) in enumerate(points):
        colour, shape = plots.colour(number), SHAPES[number % len(SHAPES)]
        axis.scatter([x], [y], s=44, color=colour, marker=shape, alpha=0.85, zorder=3, label=label)
    for value, draw in zip(wanted, (axis.axvline, axis.axhline)):
        if value is not None:
            draw(value, color=plots.COLOURS[4], linewidth=1, linestyle="--")
    axis.set_xlim(left=0)
    axis.margins(x=0.12, y=0.2)
    axis.set_xlabel(x_label, fontsize=8)
    axis.set_ylabel(y_label, fontsize=8)
    axis.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    plots.plain(axis, "both", labelsize=7)
    return _finish(figure, name, caption)


def layers(name, caption, rows):
    """Two panels over the same nodes: share of the time, and signal to quantisation noise where it was measured.

    rows: dicts with name, us, sqnr_db (may be None).
    """
    measured = any(row.get("sqnr_db") is not None for row in rows)
    figure, axis = _start(9.2 if measured else 7.6, 0.26 * len(rows) + 0.9, 2 if measured else 1)
    left, *right = axis if measured else [axis]
    places = range(len(rows))
    left.barh(places, [row["us"] for row in rows], color=plots.COLOURS[0], height=0.7)
    left.set_yticks(places, [row["name"][-34:] for row in rows], fontsize=7)
    left.invert_yaxis()
    left.set_xlabel("µs of one answer", fontsize=8)
    plots.plain(left, "x", labelsize=7)
    for panel in right:
        values = [row.get("sqnr_db") for row in rows]
        panel.barh(places, [value or 0 for value in values], color=plots.COLOURS[2], height=0.7)
        panel.set_yticks(places, [])
        panel.invert_yaxis()
        panel.set_xlabel("signal to quantisation noise, dB (more is better)", fontsize=8)
        plots.plain(panel, "x", labelsize=7)
    return _finish(figure, name, caption)


def over_time(name, caption, series):
    """Resource use of several processes over time. series: {label: list of resource records}."""
    panels = (("cpu_percent", "CPU %"), ("rss_mb", "RSS, MiB"), ("temperature_c", "°C"))
    panels = [panel for panel in panels if any(r.get(panel[0]) is not None for rows in series.values() for r in rows)]
    figure, axes = _start(7.6, 1.7 * len(panels) + 0.5, len(panels), stacked=True)
    for axis, (field, label) in zip(axes if len(panels) > 1 else [axes], panels):
        for number, (who, rows) in enumerate(series.items()):
            rows = [row for row in rows if row.get(field) is not None]
            start = rows[0]["time_s"] if rows else 0
            times, values = [row["time_s"] - start for row in rows], [row[field] for row in rows]
            axis.plot(times, values, color=plots.colour(number), label=who, linewidth=1.2)
        axis.set_ylabel(label, fontsize=8)
        axis.set_ylim(bottom=0)
        plots.plain(axis, "y", labelsize=7)
    last = figure.axes[-1]
    last.set_xlabel("seconds (each runs in turns)", fontsize=8)
    figure.axes[0].legend(fontsize=7, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1.0))
    return _finish(figure, name, caption)


def _start(width, height, panels=1, stacked=False):
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(panels if stacked else 1, 1 if stacked else panels, sharex=stacked)


def _finish(figure, name, caption):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return Picture(name, buffer.getvalue(), caption)
