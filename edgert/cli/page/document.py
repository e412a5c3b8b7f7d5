"""The whole page: figures, graph, arena, tables, what the file says about itself. Style and script are inlined."""

import os
from html import escape

from edgert.cli.page.arena_svg import alive_bytes, draw_arena
from edgert.cli.page.graph_svg import draw_graph, kernel_text, tier_class
from edgert.cli.text import bytes_text, count_text, shape_text

_TIER_WORDS = {"none": "no step needed"}
_MANY = 40  # rows of a table before the rest folds away


def page(facts):
    """A self-contained HTML document about a model. facts: see `edgert.cli.facts`."""
    title = escape(facts["name"] or facts["file"])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · edgert inspect</title>
<style>
{_part("style.css")}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="file">{escape(facts["file"])}{_task(facts)}</p>
{_figures(facts)}
</header>
<main>
<section class="pane">
<h2>Graph</h2>
{_legend(facts)}
<div class="scroll">
{draw_graph(facts)}
</div>
<div id="detail" hidden></div>
</section>
<div class="column">
<section>
<h2>Arena over time</h2>
<p class="note">Each box is a tensor: across, the steps it lives through; up, the bytes it occupies.
The line is what is in use at each step.</p>
{draw_arena(facts)}
<p class="axis">step</p>
</section>
<section>
<h2>Nodes</h2>
{_node_table(facts)}
</section>
<section>
<h2>Tensors, largest first</h2>
{_tensor_table(facts)}
</section>
{_about(facts)}
</div>
</main>
{_details(facts)}
<script>
{_part("script.js")}</script>
</body>
</html>
"""


def _part(name):
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()


def _task(facts):
    task = facts["task"] or "arrays in, arrays out"
    labels = f", {len(facts['labels']):,} labels" if facts["labels"] else ""
    return f" · {escape(task)}{labels}"


def _figures(facts):
    alive = max(alive_bytes(facts), default=0)
    figures = [
        ("file", bytes_text(facts["file_bytes"]), ""),
        ("weights", bytes_text(facts["weight_bytes"]), ""),
        ("arena", bytes_text(facts["arena_bytes"]), f"at least {bytes_text(alive)}"),
        ("work", f"{count_text(facts['macs'])} MACs", ""),
        ("nodes", f"{len(facts['nodes']):,}", ""),
        ("native", _native_share(facts), "of the MACs" if facts["macs"] else "nodes"),
    ]
    cells = "".join(
        f"<div><dt>{name}</dt><dd>{escape(value)}</dd><dd class=sub>{escape(sub)}</dd></div>"
        for name, value, sub in figures
    )
    return f'<dl class="figures">{cells}</dl>'


def _native_share(facts):
    """Share of the multiply-accumulates that compiled kernels do; of the nodes, where there are none to count."""
    native = [node for node in facts["nodes"] if node["tier"] not in ("reference", "jit")]
    if facts["macs"]:
        return f"{100 * sum(node['macs'] for node in native) / facts['macs']:.3g} %"
    return f"{len(native)} of {len(facts['nodes'])}"


def _legend(facts):
    counts = {}
    for node in facts["nodes"]:
        counts[node["tier"]] = counts.get(node["tier"], 0) + 1
    items = "".join(
        f'<li class="{tier_class(tier)}"><i></i>{escape(_TIER_WORDS.get(tier, tier))} <b>{count}</b></li>'
        for tier, count in sorted(counts.items(), key=lambda item: -item[1])
    )
    return f'<ul class="legend">{items}</ul>'


def _node_table(facts):
    tensors = facts["tensors"]
    most_macs = max((node["macs"] for node in facts["nodes"]), default=0)
    most_bytes = max((node["weight_bytes"] for node in facts["nodes"]), default=0)
    rows = []
    for node in facts["nodes"]:
        shapes = ", ".join(shape_text(tensors[i]["shape"]) for i in node["outputs"])
        rows.append(
            f'<tr data-node="{node["index"]}"><td class=n>{node["index"]}</td><td><b>{escape(node["title"])}</b></td>'
            f"<td class=mono>{escape(shapes)}</td>"
            f'<td class="{tier_class(node["tier"])}"><span class=chip>{escape(node["tier"])}</span> '
            f"<span class=mono>{escape(kernel_text(node))}</span></td>"
            f"{_bar_cell(node['macs'], most_macs, count_text)}"
            f"{_bar_cell(node['weight_bytes'], most_bytes, bytes_text)}</tr>"
        )
    head = "<tr><th class=n>#<th>op<th>output<th>runs as<th class=n>MACs<th><th class=n>weights<th></tr>"
    return f'<div class="wide"><table class="nodes"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'


def _bar_cell(value, most, text):
    share = 100 * value / most if most else 0
    bar = f'<i style="width:{share:.1f}%"></i>' if value else ""
    return f"<td class=n>{text(value) if value else '·'}</td><td class=bar>{bar}</td>"


def _tensor_table(facts):
    tensors = sorted(facts["tensors"], key=lambda tensor: -tensor["bytes"])
    most = tensors[0]["bytes"] if tensors else 0
    rows = [
        f'<tr><td class=name title="{escape(t["name"])}">{escape(t["name"])}</td>'
        f"{_bar_cell(t['bytes'], most, bytes_text)}<td>{t['role']}</td><td>{t['dtype']}</td>"
        f"<td class=mono>{shape_text(t['shape'])}</td><td class=mono>{escape(quant_text(t))}</td></tr>"
        for t in tensors
    ]
    head = "<tr><th>name<th class=n>bytes<th><th>role<th>type<th>shape<th>scale, zero point</tr>"
    table = '<div class="wide"><table><thead>{}</thead><tbody>{}</tbody></table></div>'
    shown = table.format(head, "".join(rows[:_MANY]))
    if len(rows) <= _MANY:
        return shown
    rest = table.format(head, "".join(rows[_MANY:]))
    return f"{shown}<details><summary>{len(rows) - _MANY} smaller tensors</summary>{rest}</details>"


def quant_text(tensor):
    """'0.0235, -3'; per channel how many scales and their range."""
    scale = tensor["scale"]
    if not scale:
        return ""
    if len(scale) == 1:
        return f"{scale[0]:.4g}, {tensor['zero_point']}"
    return f"{len(scale)} of {min(scale):.3g} … {max(scale):.3g}"


def _about(facts):
    """What the file says of its origin, its preprocessing, its labels and its conversion."""
    pairs = dict(facts["provenance"])
    if facts["preprocess"]:
        rule = facts["preprocess"]
        pairs["preprocessing"] = (
            f"{rule['channels']}, {rule['resize']}, mean {_numbers(rule['mean'])}, std {_numbers(rule['std'])}"
        )
    if facts["labels"]:
        pairs["labels"] = ", ".join(facts["labels"][:12]) + (" …" if len(facts["labels"]) > 12 else "")
    rows = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in pairs.items() if value)
    about = f'<section><h2>Where it comes from</h2><dl class="about">{rows}</dl></section>' if rows else ""
    if facts["report"]:
        about += f"<section><h2>Conversion report</h2><pre>{escape(facts['report'])}</pre></section>"
    return about


def _numbers(values):
    return " ".join(f"{value:g}" for value in values)


def _details(facts):
    """One hidden block per node, shown by the script when the node is chosen anywhere on the page."""
    tensors = facts["tensors"]
    blocks = []
    for node in facts["nodes"]:
        rows = [("in", tensors[i]) for i in node["inputs"] if i >= 0] + [("out", tensors[i]) for i in node["outputs"]]
        lines = "".join(
            f"<tr><td>{side}</td><td class=name>{escape(t['name'])}</td><td class=mono>{t['dtype']} "
            f"{shape_text(t['shape'])}</td><td class=mono>{escape(quant_text(t))}</td></tr>"
            for side, t in rows
        )
        attrs = ", ".join(f"{key} {_attr(value)}" for key, value in node["attrs"].items())
        blocks.append(
            f'<template id="node-{node["index"]}"><h3>{node["index"]} · {escape(node["title"])}'
            f'<button aria-label="close">×</button></h3><p class=mono>{escape(node["kernel"])}</p>'
            f"<p>{escape(attrs)}</p><table>{lines}</table></template>"
        )
    return "\n".join(blocks)


def _attr(value):
    return "[" + " ".join(map(str, value)) + "]" if isinstance(value, (list, tuple)) else str(value)
