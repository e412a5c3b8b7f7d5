"""A model's nodes under the roofs of a CPU, as SVG: work per byte to the right, speed upwards, both logarithmic.

Source: Williams, Waterman, Patterson, Roofline: an insightful visual performance model, CACM 52(4), 2009.
"""

from html import escape
from math import atan2, ceil, cos, degrees, floor, log10, pi, sin

from edgert.cli.text import bytes_text, count_text, printable, shape_text, time_text

WIDTH, HEIGHT = 960, 600
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 66, 82
_LARGEST = 19  # radius of a dot that takes half of the time
_SMALLEST = 3.5
_LABELS = 10
_LETTER = 6.6
_COLOURS = {
    "conv2d": "#0a7d72",
    "depthwise_conv2d": "#c0620c",
    "linear": "#2f6fb5",
    "transpose_conv2d": "#a8324a",
    "batch_matmul": "#7a4cc2",
}
_STYLE = """
text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: #1b2127; }
.title { font-size: 17px; font-weight: 650; }
.soft { fill: #5d666f; }
.grid { stroke: #e2e4e6; fill: none; }
.roof { stroke: #1b2127; stroke-width: 2; fill: none; }
.memory { stroke: #1b2127; stroke-width: 1.4; stroke-dasharray: 5 4; fill: none; }
.leader { stroke: #5d666f; stroke-width: 0.8; }
.halo { paint-order: stroke; stroke: #fff; stroke-width: 4px; stroke-linejoin: round; }
"""


def draw_roofline(title, roof, rows):
    """The SVG document.

    roof: a `peak.Roof`. rows: dicts with node, op, shape, kernel, ns, macs, bytes and gmacs, as `profile` makes.
    """
    dots = [row for row in rows if row["gmacs"]]
    scale = _Scale(roof, dots)
    total = sum(row["ns"] for row in rows) or 1
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text class="title" x="{LEFT}" y="28">{escape(printable(title))}</text>',
        *_legend(rows, total),
        *_axes(scale),
        *_roofs(scale, roof),
        *[_dot(scale, row, total) for row in sorted(dots, key=lambda row: -row["ns"])],
        *_labels(scale, dots, total),
        _note(rows, total),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class _Scale:
    """Decades on both axes, wide enough for every dot and for the corners of both roofs."""

    def __init__(self, roof, dots):
        xs = [roof.peak / roof.bandwidth, roof.peak / roof.memory] + [row["macs"] / row["bytes"] for row in dots]
        ys = [roof.peak] + [row["gmacs"] for row in dots]
        self.x_low, self.x_high = _decades(min(xs) / 2, max(xs) * 2)
        self.y_low, self.y_high = _decades(min(ys) / 1.5, max(ys) * 1.5)

    def x(self, intensity):
        share = (log10(intensity) - self.x_low) / (self.x_high - self.x_low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, speed):
        share = (log10(speed) - self.y_low) / (self.y_high - self.y_low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def place(self, row):
        return self.x(row["macs"] / row["bytes"]), self.y(row["gmacs"])


def _decades(low, high):
    """Exponents that enclose low..high, in quarters of a decade."""
    return floor(4 * log10(low)) / 4, ceil(4 * log10(high)) / 4


def _legend(rows, total):
    """The kinds of dots, each with its share of the time."""
    x = LEFT
    ops = {}
    for row in rows:
        if row["gmacs"]:
            ops[row["op"]] = ops.get(row["op"], 0) + row["ns"]
    for op, elapsed_ns in sorted(ops.items(), key=lambda item: -item[1]):
        text = f"{op} {100 * elapsed_ns / total:.0f} %"
        yield f'<circle cx="{x + 6}" cy="46" r="6" fill="{_colour(op)}" fill-opacity="0.75"/>'
        yield f'<text x="{x + 18}" y="50.5">{escape(printable(text))}</text>'
        x += 40 + _LETTER * len(text)


def _axes(scale):
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in _ticks(scale.x_low, scale.x_high):
        x = scale.x(value)
        yield f'<path class="grid" d="M{x:.1f} {TOP}V{bottom}"/>'
        yield f'<text class="soft" x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{value:g}</text>'
    for value in _ticks(scale.y_low, scale.y_high):
        y = scale.y(value)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>'
        yield f'<text class="soft" x="{LEFT - 10}" y="{y + 4.5:.1f}" text-anchor="end">{value:g}</text>'
    middle = (LEFT + right) / 2
    yield f'<text x="{middle}" y="{bottom + 44}" text-anchor="middle">multiplications per byte (MAC/B)</text>'
    middle = (TOP + bottom) / 2
    yield f'<text transform="translate(22 {middle}) rotate(-90)" text-anchor="middle">speed (GMAC/s)</text>'


def _ticks(low, high):
    """1, 2 and 5 of each decade between two exponents."""
    for exponent in range(floor(low), ceil(high) + 1):
        for digit in (1, 2, 5):
            if low <= log10(digit) + exponent <= high:
                yield digit * 10.0**exponent


def _roofs(scale, roof):
    peak_y, right = scale.y(roof.peak), WIDTH - RIGHT
    yield f'<path class="roof" d="M{scale.x(roof.peak / roof.bandwidth):.1f} {peak_y:.1f}H{right}"/>'
    text = f"int8 peak {roof.peak:.3g} GMAC/s"
    yield f'<text class="halo" x="{right - 6}" y="{peak_y - 9:.1f}" text-anchor="end">{text}</text>'
    cached = f"this model's {bytes_text(roof.model_bytes)}: {roof.bandwidth:.3g} GB/s"
    yield from _slope(scale, "roof", roof.bandwidth, roof.peak, cached, -9)
    if roof.memory < 0.8 * roof.bandwidth:
        yield from _slope(scale, "memory", roof.memory, roof.peak, f"from memory: {roof.memory:.3g} GB/s", 18)


def _slope(scale, kind, bandwidth, peak, text, distance):
    """A roof that rises with the work per byte, its text along it."""
    low = max(10**scale.x_low, 10**scale.y_low / bandwidth)
    x, y = scale.x(low), scale.y(low * bandwidth)
    corner_x, corner_y = scale.x(peak / bandwidth), scale.y(peak)
    yield f'<path class="{kind}" d="M{x:.1f} {y:.1f}L{corner_x:.1f} {corner_y:.1f}"/>'
    angle = f"{degrees(atan2(corner_y - y, corner_x - x)):.1f}"
    at = f"{x + 0.04 * (corner_x - x):.1f} {y + 0.04 * (corner_y - y):.1f}"  # the low end is where nodes are few
    yield f'<text class="halo" transform="translate({at}) rotate({angle})" y="{distance}">{text}</text>'


def _dot(scale, row, total):
    x, y = scale.place(row)
    about = (
        f"node {row['node']}: {row['op']} {shape_text(row['shape'])}\n{row['kernel']}\n{time_text(row['ns'])}, "
        f"{100 * row['ns'] / total:.1f} % of the time\n{count_text(row['macs'])} MACs, {bytes_text(row['bytes'])}, "
        f"{row['gmacs']:.3g} GMAC/s"
    )
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_radius(row, total):.1f}" fill="{_colour(row["op"])}" '
        f'fill-opacity="0.6" stroke="#fff"><title>{escape(about)}</title></circle>'
    )


def _radius(row, total):
    """The area is the share of the time."""
    return max(_SMALLEST, min(2 * _LARGEST, _LARGEST * (2 * row["ns"] / total) ** 0.5))


def _labels(scale, dots, total):
    """The numbers of the slowest nodes, each beside its dot, clear of other dots and numbers where there is room."""
    circles = [(*scale.place(row), _radius(row, total)) for row in dots]
    taken = [(x - r, y - r, x + r, y + r) for x, y, r in circles]
    for row in sorted(dots, key=lambda row: -row["ns"])[:_LABELS]:
        text = f"{row['node']}"
        width = len(text) * _LETTER + 6
        x, y = scale.place(row)
        for away, turn in [(away, turn) for away in (3, 14, 26) for turn in range(8)]:
            reach = _radius(row, total) + away
            middle_x, middle_y = x + (reach + width / 2) * cos(turn * pi / 4), y + (reach + 7) * sin(turn * pi / 4)
            box = (middle_x - width / 2, middle_y - 7, middle_x + width / 2, middle_y + 7)
            if all(box[0] > b[2] or box[2] < b[0] or box[1] > b[3] or box[3] < b[1] for b in taken):
                taken.append(box)
                if away > 3:
                    yield f'<path class="leader" d="M{x:.1f} {y:.1f}L{middle_x:.1f} {middle_y:.1f}"/>'
                at = f'x="{middle_x:.1f}" y="{middle_y + 4.5:.1f}"'
                yield f'<text class="halo" {at} text-anchor="middle">{text}</text>'
                break


def _note(rows, total):
    rest = [row for row in rows if not row["gmacs"]]
    share = 100 * sum(row["ns"] for row in rest) / total
    text = "A dot is a node, its area the share of the time."
    if rest:
        text += f" {len(rest)} nodes without multiplications (add, pool, ...) take {share:.0f} % and have no dot."
    return f'<text class="soft" x="{LEFT}" y="{HEIGHT - 12}">{text}</text>'


def _colour(op):
    return _COLOURS.get(op, "#8b939c")
