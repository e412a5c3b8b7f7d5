"""The graph as SVG: one card per node, coloured by the tier that runs it, edges through their lanes."""

from html import escape

from edgert.cli.page.layout import place
from edgert.cli.text import bytes_text, count_text, shape_text, shorten

CARD_WIDTH, CARD_HEIGHT = 236, 46
LANE_WIDTH = 22
COLUMN_GAP = 18
ROW_HEIGHT = 78
MARGIN = 16
MAX_DRAWN_NODES = 2000  # more is no picture any more, and a page of tens of megabytes

_ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" '
    'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.8 L7 4 L0 7.2 z"/></marker></defs>'
)


def draw_graph(facts):
    """The SVG element, or a sentence if the graph is too large to draw."""
    nodes = facts["nodes"]
    if len(nodes) > MAX_DRAWN_NODES:
        return f"<p>{len(nodes):,} nodes are too many to draw; the table lists them.</p>"
    vertices, edges = _vertices_and_edges(facts)
    pairs = [(source, target) for source, target, _ in edges]
    layout = place(len(vertices), pairs, CARD_WIDTH + COLUMN_GAP, LANE_WIDTH)
    width = layout.width + 2 * MARGIN
    height = layout.n_layers * ROW_HEIGHT - (ROW_HEIGHT - CARD_HEIGHT) + 2 * MARGIN
    parts = [
        f'<svg class="graph" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        'role="img" aria-label="the graph, inputs at the top">',
        _ARROW,
    ]
    for (source, target, tensor), route in zip(edges, layout.routes):
        parts.append(_edge(vertices, source, target, facts["tensors"][tensor], route))
    most_macs = max((node["macs"] for node in nodes), default=0)
    for vertex, x, row in zip(vertices, layout.x, layout.layer):
        left, top = x + MARGIN - CARD_WIDTH / 2, row * ROW_HEIGHT + MARGIN
        kind, item = vertex
        card = _node_card(item, facts, most_macs) if kind == "node" else _end_card(kind, item)
        parts.append(f'<g transform="translate({left:.1f} {top:.1f})" {card}</g>')
    return "\n".join([*parts, "</svg>"])


def _vertices_and_edges(facts):
    """Inputs, nodes and outputs in topological order; edges (source, target, tensor index), constants left out."""
    tensors = facts["tensors"]
    vertices = [("input", tensors[i]) for i in facts["inputs"]]
    made_by = {index: vertex for vertex, index in enumerate(facts["inputs"])}
    edges = []
    for node in facts["nodes"]:
        vertex = len(vertices)
        vertices.append(("node", node))
        edges += [(made_by[i], vertex, i) for i in dict.fromkeys(node["inputs"]) if i in made_by]
        made_by.update(dict.fromkeys(node["outputs"], vertex))
    for i in facts["outputs"]:
        if i in made_by:
            edges.append((made_by[i], len(vertices), i))
        vertices.append(("output", tensors[i]))
    return vertices, edges


def _node_card(node, facts, most_macs):
    shapes = " ".join(shape_text(facts["tensors"][i]["shape"]) for i in node["outputs"])
    share = node["macs"] / most_macs if most_macs else 0
    bar = f'<rect class="load" x="5" y="{CARD_HEIGHT - 4}" width="{(CARD_WIDTH - 6) * share:.1f}" height="3"/>'
    title = f"{node['name'] or node['op']}\n{node['tier']}: {node['kernel']}\n{count_text(node['macs'])} MACs"
    return (
        f'class="card {tier_class(node["tier"])}" data-node="{node["index"]}"><title>{escape(title)}</title>'
        f'<rect class="box" width="{CARD_WIDTH}" height="{CARD_HEIGHT}" rx="5"/>'
        f'<path class="stripe" d="M5 0 H4 A4 4 0 0 0 0 5 V{CARD_HEIGHT - 5} A4 4 0 0 0 4 {CARD_HEIGHT} H5 z"/>'
        f'<text class="op" x="14" y="19">{escape(shorten(node["title"], 20))}</text>'
        f'<text class="shape" x="{CARD_WIDTH - 8}" y="19" text-anchor="end">{escape(shorten(shapes, 18))}</text>'
        f'<text class="kernel" x="14" y="35">{escape(shorten(runs_as(node), 38))}</text>{bar if share else ""}'
    )


def _end_card(kind, tensor):
    text = f"{tensor['dtype']} {shape_text(tensor['shape'])}"
    return (
        f'class="end"><title>{escape(tensor["name"])}: {bytes_text(tensor["bytes"])}</title>'
        f'<rect class="box" width="{CARD_WIDTH}" height="{CARD_HEIGHT}" rx="{CARD_HEIGHT / 2}"/>'
        f'<text class="op" x="{CARD_WIDTH / 2}" y="19" text-anchor="middle">{kind}: '
        f"{escape(shorten(tensor['name'], 22))}</text>"
        f'<text class="kernel" x="{CARD_WIDTH / 2}" y="35" text-anchor="middle">{escape(text)}</text>'
    )


def _edge(vertices, source, target, tensor, route):
    """A curve from card to card; in a lane it runs straight past the cards of that row."""
    x, row = route[0]
    x, y = x + MARGIN, row * ROW_HEIGHT + MARGIN + CARD_HEIGHT
    path = f"M{x:.1f} {y:.1f}"
    for i, (next_x, row) in enumerate(route[1:], 1):
        next_x, top = next_x + MARGIN, row * ROW_HEIGHT + MARGIN
        bend = (top - y) / 2
        path += f" C{x:.1f} {y + bend:.1f} {next_x:.1f} {top - bend:.1f} {next_x:.1f} {top:.1f}"
        x, y = next_x, top
        if i < len(route) - 1:
            y += CARD_HEIGHT
            path += f" V{y:.1f}"
    ends = " ".join(f"e{item['index']}" for kind, item in (vertices[source], vertices[target]) if kind == "node")
    title = escape(f"{tensor['name']}: {tensor['dtype']} {shape_text(tensor['shape'])}, {bytes_text(tensor['bytes'])}")
    return f'<path class="edge {ends}" d="{path}" marker-end="url(#arrow)"><title>{title}</title></path>'


def kernel_text(node):
    """The kernel's name without the instruction set that the tier says already."""
    return node["kernel"].removesuffix(f"__{node['tier']}")


def runs_as(node):
    """The tier in words, as colour alone does not reach everyone, and the kernel where its name adds to the op's."""
    kernel = kernel_text(node)
    if node["tier"] == "none":
        return kernel
    return node["tier"] if kernel == node["op"] else f"{node['tier']} · {kernel}"


def tier_class(tier):
    """The CSS class that colours a tier: every native instruction set alike, the plain one and Python apart."""
    return {"reference": "tier-reference", "scalar": "tier-scalar", "jit": "tier-jit", "none": "tier-none"}.get(
        tier, "tier-native"
    )
