"""The look that all plots share."""

COLOURS = ("#1f6feb", "#d9822b", "#2da44e", "#8250df", "#cf222e", "#57606a", "#1b7c83", "#bf8700")


def colour(index):
    """The colour of the line or point with this number."""
    return COLOURS[index % len(COLOURS)]


def plain(axis, grid="y", labelsize=8):
    """Takes away what shows no data; grid: "x", "y" or "both"."""
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.grid(axis=grid, color="#d0d7de", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=labelsize)
