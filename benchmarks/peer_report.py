"""What peers.py found, as Markdown."""

US, MS = 1e3, 1e6


def markdown(result):
    """Every table of a result of peers.py, with the record of how it was measured."""
    sections = [record(result["machine"], result["settings"])]
    for threads in sorted({row["threads"] for row in result["latency"]}):
        sections.append(latency(threads, result))
    sections += [cold(result["cold"]), overhead(result.get("overhead")), tuned(result["tuned"])]
    sections.append(left_out(result["left_out"]))
    return "\n\n".join(section for section in sections if section)


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def record(machine, settings):
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    install = "plain install" if settings["plain_install"] else "NOT a plain install: cold starts are too slow"
    load = ", ".join(f"{value:.2f}" for value in machine["load_before"])
    return (
        f"{machine['cpu']} ({', '.join(machine['tier_flags'])}), {machine['cores']} cores, {machine['kernel']}, "
        f"Python {machine['python']}; {packages}. {machine['date']}, load before: {load}. {settings['turns']} turns of "
        f"{settings['turn_seconds']} s per runtime, interleaved, pinned to cores {settings['pinned_to_cores']}, warm; "
        f"edgert: {install}."
    )


def latency(threads, result):
    """Microseconds, least / median; ours also as a share of LiteRT's."""
    rows = [row for row in result["latency"] if row["threads"] == threads]
    runtimes = list(dict.fromkeys(row["runtime"] for row in rows))
    found = {(row["model"], row["runtime"]): row for row in rows}
    ours = [runtime for runtime in runtimes if runtime in ("edgert", "edgert tuned")]
    header = ["us, min / median", *runtimes, *[f"{runtime} / LiteRT" for runtime in ours]]
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        cells = [cell(found.get((model, runtime))) for runtime in runtimes]
        peer = found.get((model, "LiteRT"))
        lines.append([model, *cells, *[share(found.get((model, runtime)), peer) for runtime in ours]])
    means = {mean["runtime"]: mean for mean in result["geometric_mean"] if mean["threads"] == threads}
    one = {"min_ns": 1, "median_ns": 1}
    lines.append(["geometric mean", *[""] * len(runtimes), *[share(means.get(runtime), one) for runtime in ours]])
    return f"### {threads} thread{'s' if threads > 1 else ''}\n\n" + table(header, lines)


def cell(row):
    return f"{row['min_ns'] / US:,.1f} / {row['median_ns'] / US:,.1f}" if row else "-"


def share(ours, peer):
    if not ours or not peer:
        return "-"
    return f"{ours['min_ns'] / peer['min_ns']:.2f} / {ours['median_ns'] / peer['median_ns']:.2f}"


def cold(rows):
    if not rows:
        return ""
    runtimes = list(dict.fromkeys(row["runtime"] for row in rows))
    found = {(row["model"], row["runtime"]): row for row in rows}
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        cells = [found.get((model, runtime)) for runtime in runtimes]
        lines.append([model, *map(cold_cell, cells)])
    return "### Cold start, peak memory of that process, file\n\n" + table(["1 thread", *runtimes], lines)


def cold_cell(row):
    return f"{row['start_ms']:.0f} ms, {row['peak_mb']:.0f} MB, {row['file_bytes'] / 1e3:,.0f} kB" if row else "-"


def overhead(found):
    if not found:
        return ""
    lines = [
        ["kernels", f"{found['kernels_ns'] / US:.2f}"],
        ["beside them, through run_buffers", f"{found['run_buffers_ns'] / US:.2f}"],
        ["beside them, through model(x)", f"{found['model_ns'] / US:.2f}"],
    ]
    return "### A call of the AD model\n\n" + table(["part", "us"], lines)


def tuned(rows):
    """What won where."""
    if not rows:
        return ""
    lines = []
    for row in rows:
        won = [node for node in row["nodes"] if node["winner"] != node["default"]]
        kernels = {}
        for node in won:
            name = f"{node['op']}: {'/'.join(node['winner']).rstrip('/')}"
            kernels[name] = kernels.get(name, 0) + 1
        what = ", ".join(f"{count} x {name}" for name, count in sorted(kernels.items())) or "the defaults"
        whole = f"{row['untuned_ns'] / US:,.1f} -> {row['tuned_ns'] / US:,.1f}" if won else ""
        lines.append([row["model"], row["threads"], what, whole, "yes" if row["kept"] else "no"])
    return "### edgert tune\n\n" + table(["model", "threads", "what won", "whole model, us", "kept"], lines)


def left_out(reasons):
    lines = [
        f"* {runtime}, {', '.join(models)}: {reason}"
        for runtime, by_model in reasons.items()
        for reason in dict.fromkeys(by_model.values())
        for models in [[model for model, why in by_model.items() if why == reason]]
    ]
    return "### Left out\n\n" + "\n".join(lines) if lines else ""
