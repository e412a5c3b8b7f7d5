"""Writes the table of docs/onnx.md: which of ONNX's own node tests pass, found by running them (half a minute).

python tools/onnx_table.py           rewrite the table
python tools/onnx_table.py --check   exit code 1 if it is not what the tests say
"""

import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "onnx.md"
BEGIN, END = "<!-- node tests: tools/onnx_table.py -->\n", "<!-- end of node tests -->\n"
WITHIN = re.compile(r"^test: (an operator is not supported: )?(operator 0 \w+: )?")
NAMES = re.compile(r" \('[^']*'\)| '[^']*'")


def results():
    """Operator -> Results of its node tests."""
    sys.path.insert(0, str(ROOT / "tests" / "convert"))
    import onnx_node_tests as node_tests

    found = {}
    for case in node_tests.cases():
        result = node_tests.run(case)
        found.setdefault(result.op, []).append(result)
    return dict(sorted(found.items()))


def table(found):
    """The section as Markdown."""
    import onnx

    passing = {op: rows for op, rows in found.items() if any(not row.outcome for row in rows)}
    complete = [op for op, rows in passing.items() if counts(rows, "float")[1] and not failures(rows, "float")]
    floats, others = ([counts(rows, kind) for rows in found.values()] for kind in ("float", "other"))
    summary = (
        f"onnx {onnx.__version__} generates {sum(map(len, found.values())):,} tests of {len(found)} operators. "
        f"**{len(complete)} operators pass all of their float tests**, {len(passing) - len(complete)} some of their "
        f"tests, {len(found) - len(passing)} none. In float {sum(p for p, _ in floats)} of {sum(n for _, n in floats)} "
        f"tests pass, with other types {sum(p for p, _ in others)} of {sum(n for _, n in others)}."
    )
    lines = [
        *textwrap.wrap(summary, 118),
        "",
        "| operator | float | other types | what does not pass in float |",
        "|---|---|---|---|",
    ]
    for op, rows in passing.items():
        lines.append(f"| `{op}` | {cell(rows, 'float')} | {cell(rows, 'other')} | {reasons(failures(rows, 'float'))} |")
    missing = [op for op in found if op not in passing]
    lines += ["", *textwrap.wrap("No test passes of " + ", ".join(f"`{op}`" for op in missing) + ".", 118)]
    return "\n".join(lines) + "\n"


def counts(rows, kind):
    """(passed, all) of the tests of a kind."""
    outcomes = [row.outcome for row in rows if row.kind == kind]
    return outcomes.count(""), len(outcomes)


def failures(rows, kind):
    return [row for row in rows if row.kind == kind and row.outcome]


def cell(rows, kind):
    passed, total = counts(rows, kind)
    return "-" if not total else f"{passed}" if passed == total else f"{passed} of {total}"


def reasons(rows):
    """Each reason once, without the names of the tests' tensors."""
    found = [NAMES.sub("", WITHIN.sub("", row.outcome)).replace("|", "/") for row in rows]
    return "; ".join(dict.fromkeys([re.sub(r" has shape \([\d, ]*\)", "", text)[:120] for text in found]))


def with_table(text, new):
    """The page's text with what stands between the markers replaced."""
    head, rest = text.split(BEGIN)
    return head + BEGIN + new + END + rest.split(END)[1]


def main(arguments):
    text = PAGE.read_text(encoding="utf-8")
    new = with_table(text, table(results()))
    if arguments == ["--check"]:
        return int(new != text)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
