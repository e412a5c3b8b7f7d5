"""Numbers and tables for people."""


def table(header, rows, align=None):
    """Columns padded to their widest cell. align: one of 'l', 'r' per column; default left."""
    rows = [[printable(str(cell)) for cell in row] for row in rows]
    lines = [list(header), *rows]
    align = align or "l" * len(header)
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            f"{cell:{'>' if side == 'r' else '<'}{width}}" for cell, side, width in zip(line, align, widths)
        ).rstrip()
        for line in lines
    )


def printable(text):
    """Names come from files that strangers make: what could steer a terminal becomes '?'."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)


def json_line(value):
    """One line of JSON: letters of all alphabets as they are, what could steer a terminal or end a line as \\uXXXX."""
    import json

    line = json.dumps(value, ensure_ascii=False)
    if line.isprintable():
        return line
    return "".join([letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in line])


def bytes_text(count):
    """1536 -> '1.5 KiB'."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {unit}" if unit != "B" else f"{count} B"
        count /= 1024
    return f"{count:.3g} GiB"


def count_text(count):
    """1234567 -> '1.23 M'."""
    for unit in ("", " k", " M", " G"):
        if count < 999.5:
            return f"{count:.3g}{unit}"
        count /= 1000
    return f"{count:.3g} T"


def time_text(nanoseconds):
    """Three significant digits in the unit that fits."""
    for unit, size in (("ns", 1), ("us", 1e3), ("ms", 1e6)):
        if nanoseconds < 999.5 * size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds / 1e9:.3g} s"


def shape_text(shape):
    """(1, 8, 8, 3) -> '1x8x8x3'; a scalar is 'scalar'."""
    return "x".join(map(str, shape)) or "scalar"


def shorten(text, width):
    """At most `width` characters, cut in the middle: layer names differ at both ends."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"
