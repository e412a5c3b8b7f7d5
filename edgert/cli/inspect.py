"""`edgert inspect`: what is in a model file, and what would run each node here."""

import os
import sys

from edgert.cli import options
from edgert.cli.facts import gather
from edgert.cli.text import bytes_text, count_text, json_line, shape_text, shorten, table

EXAMPLE = """
edgert inspect model.bin
edgert inspect model.bin --html model.html
"""


def configure(parser):
    options.add_model(parser)
    parser.add_argument("--html", metavar="FILE", help="write one self-contained page ('-': stdout)")
    options.add_execution(parser)
    options.add_json(parser)


def run(args):
    facts = gather(options.load(args).session, args.model)
    if args.html:
        return _write_page(facts, args.html)
    if args.json:
        print(json_line(facts))
        return 0
    print(_summary(facts))
    print()
    print(_node_table(facts))
    return 0


def _write_page(facts, path):
    """Beside the target first, then renamed over it: a full disk leaves no half page."""
    from edgert.cli.page.document import page

    text = page(facts)
    if path == "-":
        sys.stdout.write(text)
        return 0
    part = f"{path}.part"
    try:
        with open(part, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(part, path)
    except OSError:
        if os.path.exists(part):
            os.remove(part)
        raise
    print(f"edgert: wrote {path}", file=sys.stderr)
    return 0


def _summary(facts):
    tiers = ", ".join(f"{tier} {count}" for tier, count in facts["tiers"].items())
    rows = [
        ("model", facts["name"] or facts["file"]),
        ("task", facts["task"] + (f", {len(facts['labels'])} labels" if facts["labels"] else "")),
        ("file", bytes_text(facts["file_bytes"])),
        ("weights", bytes_text(facts["weight_bytes"])),
        ("arena", bytes_text(facts["arena_bytes"])),
        ("work", f"{count_text(facts['macs'])} MACs"),
        ("tiers", tiers),
    ]
    for side in ("inputs", "outputs"):
        rows += [(side[:-1], _tensor_text(facts["tensors"][i])) for i in facts[side]]
    return table(("", ""), [row for row in rows if row[1]]).strip("\n")


def _tensor_text(tensor):
    text = f"{tensor['name']} {tensor['dtype']} {shape_text(tensor['shape'])}"
    if tensor["scale"] and len(tensor["scale"]) == 1:
        text += f", scale {tensor['scale'][0]:.6g}, zero point {tensor['zero_point']}"
    return text


def _node_table(facts):
    tensors = facts["tensors"]
    rows = []
    for node in facts["nodes"]:
        given = next((tensors[i] for i in node["inputs"] if i >= 0), None)
        made = tensors[node["outputs"][0]]
        rows.append(
            (
                node["index"],
                node["title"],
                shape_text(given["shape"]) if given else "",
                shape_text(made["shape"]),
                made["dtype"],
                node["tier"],
                shorten(node["kernel"], 34),
                bytes_text(node["weight_bytes"]) if node["weight_bytes"] else "",
                count_text(node["macs"]) if node["macs"] else "",
            )
        )
    header = ("#", "op", "in", "out", "type", "tier", "kernel", "weights", "MACs")
    return table(header, rows, "rllllllrr")
