"""A report as one HTML page that loads nothing."""

import base64
from html import escape

from edgert.convert.report.blocks import Code, Heading, Picture, Table, Text

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #d0d7de }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; font-size: .9rem }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #eaeef2; text-align: left } th { background: #f6f8fa }
.r { text-align: right } figure { margin: 1rem 0 } img { max-width: 100% }
figcaption { color: #57606a; font-size: .9rem }
pre { background: #f6f8fa; padding: .7rem; overflow-x: auto } .pass { color: #1a7f37 } .FAIL { color: #cf222e }
"""


def page(parts):
    """The page's text."""
    title = next((part.text for part in parts if isinstance(part, Heading)), "Report")
    body = "\n".join(_MAKERS[type(part)](part) for part in parts)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    head += f"<style>{STYLE}</style>"
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _heading(part):
    return f"<h{part.level}>{escape(part.text)}</h{part.level}>"


def _table(part):
    sides = [' class="r"' if side == "r" else "" for side in part.align]
    head = "".join(f"<th{side}>{escape(word)}</th>" for side, word in zip(sides, part.header))
    rows = "\n".join("<tr>" + "".join(map(_cell, sides, row)) + "</tr>" for row in part.rows)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table>"


def _cell(side, word):
    if word in ("pass", "FAIL"):
        side = f' class="{word}"'
    return f"<td{side}>{escape(word)}</td>"


def _picture(part):
    data = base64.b64encode(part.png).decode()
    caption = escape(part.caption)
    image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


_MAKERS = {
    Heading: _heading,
    Text: lambda part: f"<p>{escape(part.text)}</p>",
    Table: _table,
    Code: lambda part: f"<pre>{escape(part.text)}</pre>",
    Picture: _picture,
}
