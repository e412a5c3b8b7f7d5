"""The activation arena over time as SVG: x is the step that runs, y the byte offset, one box per tensor."""

from html import escape

from edgert.cli.text import bytes_text, shape_text, shorten

WIDTH, HEIGHT = 1000, 340
LEFT, TOP, BOTTOM = 74, 10, 30
_GOLDEN_ANGLE = 137.508  # consecutive hues that never come close to each other


def draw_arena(facts):
    """The SVG element, or a sentence if no tensor lives in the arena."""
    slots, n_steps = facts["arena"], len(facts["steps"])
    if not slots or not n_steps or not facts["arena_bytes"]:
        return "<p>No tensor lives in the arena.</p>"
    scale = _Scale(n_steps, facts["arena_bytes"])
    parts = [f'<svg class="arena" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="arena offsets over steps">']
    parts += _grid(scale)
    for slot in slots:
        parts.append(_box(slot, facts, scale))
    parts.append(_alive_line(alive_bytes(facts), scale))
    return "\n".join([*parts, "</svg>"])


def alive_bytes(facts):
    """Bytes in use at each step: its peak is the least that any plan needs."""
    alive = [0] * len(facts["steps"])
    for slot in facts["arena"]:
        for step in range(slot["first_step"], min(slot["last_step"] + 1, len(alive))):
            alive[step] += slot["bytes"]
    return alive


class _Scale:
    def __init__(self, n_steps, n_bytes):
        self.n_steps, self.n_bytes = n_steps, n_bytes

    def x(self, step):
        return LEFT + (WIDTH - LEFT - 4) * min(step, self.n_steps) / self.n_steps

    def y(self, offset):
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - offset / self.n_bytes)


def _grid(scale):
    for offset in _round_steps(scale.n_bytes, 5):
        y = scale.y(offset)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - 4}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{bytes_text(offset)}</text>'
    top = scale.y(scale.n_bytes)
    yield f'<path class="limit" d="M{LEFT} {top:.1f}H{WIDTH - 4}"/>'
    stride = max(1, -(-scale.n_steps // 16))
    for step in range(0, scale.n_steps, stride):
        x = (scale.x(step) + scale.x(step + 1)) / 2
        yield f'<text x="{x:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{step}</text>'


def _round_steps(limit, about):
    """Multiples of a power of two, from 0 to below `limit`, some `about` of them."""
    step = 1
    while step * about < limit:
        step *= 2
    return range(0, limit, step)


def _box(slot, facts, scale):
    tensor = facts["tensors"][slot["tensor"]]
    last_step = min(slot["last_step"], scale.n_steps - 1)  # an output lives on after the last step
    maker = facts["steps"][min(slot["first_step"], scale.n_steps - 1)]
    x, right = scale.x(slot["first_step"]), scale.x(last_step + 1)
    bottom, top = scale.y(slot["offset"]), scale.y(slot["offset"] + slot["bytes"])
    width, height = right - x, max(1.0, bottom - top)
    span = f"steps {slot['first_step']} to {last_step}"
    text = (
        f"{tensor['name']}\n{tensor['dtype']} {shape_text(tensor['shape'])}, {bytes_text(slot['bytes'])} "
        f"at {slot['offset']:,}\n{span}"
    )
    label = ""
    letters = int(width / 6.2) - 1
    if height > 15 and letters >= 6:
        label = (
            f'<text class="name" x="{x + 5:.1f}" y="{top + 13:.1f}">{escape(shorten(tensor["name"], letters))}</text>'
        )
    hue = slot["tensor"] * _GOLDEN_ANGLE % 360
    return (
        f'<g class="slot" style="--hue:{hue:.0f}" data-node="{maker}"><title>{escape(text)}</title>'
        f'<rect x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"/>{label}</g>'
    )


def _alive_line(alive, scale):
    path = "".join(
        f"{'L' if i else 'M'}{scale.x(i):.1f} {scale.y(n):.1f}H{scale.x(i + 1):.1f}" for i, n in enumerate(alive)
    )
    return f'<path class="alive" d="{path}"><title>bytes in use</title></path>'
