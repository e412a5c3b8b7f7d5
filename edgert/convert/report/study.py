"""The parts of a study's report, from its record (`edgert.convert.optimize.study`)."""

from edgert.convert.report import pictures
from edgert.convert.report.blocks import Code, Heading, Table, Text, number

UNITS = {"accuracy": "%", "latency_ms": "ms", "memory_mb": "MB", "size_mb": "MB"}
MORE_IS_BETTER = ("accuracy",)


def blocks_of(record):
    """The report's blocks, in reading order."""
    variants = record["variants"]
    parts = [
        Heading(record.get("title") or "Optimisation study", 1),
        *_problem(record),
        *_before_and_after(variants["baseline"], variants["all"]),
        *_ablation(record),
        *_trade(record),
        *_peers(record),
        *_layers(record),
        *_resources(variants),
        *how(record),
    ]
    return parts


def _problem(record):
    yield Heading("Problem and target")
    if record["problem"]:
        yield Text(record["problem"])
    rows = [
        (v["name"], f"{'≥' if v['name'] in MORE_IS_BETTER else '≤'} {v['wanted']:g} {UNITS[v['name']]}",
         f"{number(v['found'], 4)} {UNITS[v['name']]}", "pass" if v["passed"] else "FAIL")
        for v in record["verdicts"]
    ]  # fmt: skip
    if rows:
        yield Table(("declared", "wanted", "found, all stages", ""), tuple(rows), "lrrl")


def _before_and_after(before, after):
    yield Heading("Before and after")
    rows = [_compared(*row, before, after) for row in COMPARED]
    yield Table(("", f"baseline: {before['runner']}", f"all stages: {after['runner']}", "change"), tuple(rows), "lrrr")


COMPARED = (
    ("accuracy, %", "accuracy", lambda a, b: f"{b - a:+.2f} points"),
    ("latency of a new input, median, ms", "latency_ms", lambda a, b: f"{a / b:.3g} x less"),
    ("latency, fastest, ms", "least_ms", lambda a, b: f"{a / b:.3g} x less"),
    ("latency of an input seen just before, ms", "repeat_ms", lambda a, b: f"{a / b:.3g} x less"),
    ("first answer after loading, ms", "first_ms", lambda a, b: f"{a / b:.3g} x less"),
    ("peak memory of the process, MB", "memory_mb", lambda a, b: f"{a / b:.3g} x less"),
    ("model file, MB", "size_mb", lambda a, b: f"{a / b:.3g} x less"),
    ("multiply-adds of an answer", "macs", lambda a, b: f"{a / b:.3g} x less"),
    ("parameters", "parameters", lambda a, b: f"{a / b:.3g} x less"),
)


def _compared(label, field, change, before, after):
    a, b = before[field], after[field]
    return label, number(a, 4), number(b, 4), change(a, b) if a is not None and b else "–"


def _ablation(record):
    yield Heading("What each stage does")
    yield Text("Every stage alone, all together, and all but each one, in turns, each in a process of its own.")
    variants = record["variants"]
    rows = [
        (name, v["runner"], number(v["accuracy"], 4), number(v["latency_ms"], 4), number(v["repeat_ms"], 4),
         number(v["memory_mb"], 4), number(v["size_mb"], 4))
        for name, v in variants.items()
    ]  # fmt: skip
    header = ("variant", "run by", "accuracy %", "new input ms", "repeated ms", "memory MB", "file MB")
    yield Table(header, tuple(rows), "llrrrrr")
    names, target = list(variants), record["target"]
    times = [v["latency_ms"] for v in variants.values()]
    caption = "Latency of an input not seen before, median, on a logarithmic axis (shorter is better)."
    yield pictures.bars("latency", caption, names, times, "ms", target.get("latency_ms"), log=True)
    if all(v["accuracy"] is not None for v in variants.values()):
        caption = "Accuracy of each variant (longer is better)."
        scores = [v["accuracy"] for v in variants.values()]
        yield pictures.bars("accuracy", caption, names, scores, "% of the rows", target.get("accuracy"))


def _trade(record):
    variants = record["variants"]
    points = [(name, v["size_mb"], v["accuracy"]) for name, v in variants.items() if v["accuracy"] is not None]
    if not points:
        return
    yield Heading("Accuracy against size")
    target = record["target"]
    caption = "Each variant; up and to the left is better. Red lines are the declared target."
    wanted = (target.get("size_mb"), target.get("accuracy"))
    yield pictures.scatter("accuracy_size", caption, points, "model file, MB", "accuracy, %", wanted)


def _peers(record):
    peers = record.get("peers")
    if not peers:
        return
    yield Heading("Beside other runtimes")
    yield Text("The same network in the same run, the same inputs, the same cores, in turns with the variants above.")
    rows = [
        (p["name"], number(p["accuracy"], 4), number(p["latency_ms"], 4), number(p["least_ms"], 4),
         number(p["first_ms"], 4), number(p["memory_mb"], 4), number(p["size_mb"], 4))
        for p in peers
    ]  # fmt: skip
    header = ("runtime", "accuracy %", "median ms", "fastest ms", "first ms", "memory MB", "file MB")
    yield Table(header, tuple(rows), "lrrrrrr")
    caption = "Latency of one answer, median, on a logarithmic axis (shorter is better)."
    yield pictures.bars("peers", caption, [p["name"] for p in peers], [p["latency_ms"] for p in peers], "ms", log=True)


def _layers(record):
    rows = record.get("layers")
    if not rows:
        return
    yield Heading("Node by node")
    total = sum(row["us"] for row in rows) or 1.0
    table = [
        (row["name"], row["op"], row["tier"], number(row["us"]), f"{100 * row['us'] / total:.0f} %",
         number(row["macs"]), number(row.get("sqnr_db")))
        for row in rows
    ]  # fmt: skip
    yield layer_picture(rows)
    yield Table(("node", "operator", "tier", "µs", "share", "MACs", "SQNR dB"), tuple(table), "lllrrrr")


def layer_picture(rows):
    """Time of each node, and its quantisation error where that was measured."""
    caption = "Time of each node, fastest of its runs"
    if any(row.get("sqnr_db") is not None for row in rows):
        caption += ", and how far its output is above the error that quantisation made up to there"
    return pictures.layers("nodes", caption + ".", rows)


def _resources(variants):
    series = {name: variants[name]["resources"] for name in ("baseline", "all") if variants[name].get("resources")}
    if len(series) < 2:
        return
    yield Heading("Resources over time")
    caption = "The processes of the baseline and of all stages while every variant takes its turns (psutil)."
    yield pictures.over_time("resources", caption, series)


def how(record):
    """Machine, versions, settings and the command."""
    yield Heading("How it was measured")
    machine, settings = record["machine"], record.get("how", {})
    features, memory = ", ".join(machine["features"]), number(machine["memory_gib"])
    system = f"{machine['cpu']} ({features}), {memory} GiB, {machine['system']}"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    yield Text(f"Machine: {machine['pi'] + ', ' if machine['pi'] else ''}{system}.")
    yield Text(f"Versions: edgert {machine['edgert']}, Python {machine['python']}, {versions}.")
    if settings:
        words = [f"{name.replace('_', ' ')} {value}" for name, value in settings.items() if value is not None]
        rows = f", {record['rows']:,} rows of data" if "rows" in record else ""
        yield Text(f"Settings: {', '.join(words)}{rows}.")
    yield Code(machine["command"])
