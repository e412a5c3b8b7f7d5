"""Writes the op x tier table of kernels/README.md: the element types that each tier takes, found by asking it.

    python tools/op_table.py           rewrite the table
    python tools/op_table.py --check   exit code 1 if it is not what the kernels say

What is asked are the conformance cases. All native tiers share their binders, so the one that every machine has,
scalar, speaks for them.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "kernels" / "README.md"
BEGIN, END = "<!-- op table: tools/op_table.py -->\n", "<!-- end of op table -->\n"
ORDER = ["int8", "uint8", "int16", "int32", "int64", "bool", "float32"]


def table():
    """The table as Markdown."""
    sys.path.insert(0, str(ROOT / "tests" / "kernels"))
    from cases import CASES, build

    from edgert.kernels import jit, reference, tiers

    types = {op: {"native": set(), "jit": set(), "reference": set()} for op in reference.OPS}
    for name in CASES:
        case = build(name)
        row, dtype = types[case.op], the_type(case)
        for column, tier in ("native", "scalar"), ("reference", "reference"):
            if tiers.bind(tier, case.op, case.inputs, (case.output,), case.attrs) is not None:
                row[column].add(dtype)
        if jit.module_of(case.op, case.inputs, (case.output,), case.attrs):  # to bind would compile
            row["jit"].add(dtype)
    lines = ["| op | native | jit | reference |", "|---|---|---|---|"]
    for op, row in types.items():
        lines.append(f"| `{op}` | {cell(row['native'])} | {cell(row['jit'])} | {cell(row['reference'])} |")
    return "\n".join(lines) + "\n"


def the_type(case):
    """The element type that tells the kernels of an op apart: what quantize and select make, what the others read."""
    return case.output.dtype if case.op in ("quantize", "select") else case.inputs[0].dtype


def cell(dtypes):
    """What is shown for six types is "any": such an op only moves or converts words."""
    return "any" if len(dtypes) >= 6 else ", ".join(sorted(dtypes, key=ORDER.index)) or "-"


def with_table(text, new):
    """The README's text with the table between the markers replaced."""
    head, rest = text.split(BEGIN)
    return head + BEGIN + new + END + rest.split(END)[1]


def main(arguments):
    text = README.read_text(encoding="utf-8")
    new = with_table(text, table())
    if arguments == ["--check"]:
        return int(new != text)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
