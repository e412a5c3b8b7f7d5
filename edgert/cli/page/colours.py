"""The look that all plots share."""

LINES = ("#1f6feb", "#d9822b", "#2da44e", "#8250df", "#cf222e", "#57606a", "#1b7c83", "#bf8700")


def line(index):
    """The colour of the line with this number."""
    return LINES[index % len(LINES)]


def plain(axis):
    """Takes away what shows no data."""
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.grid(axis="y", color="#d0d7de", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8)
