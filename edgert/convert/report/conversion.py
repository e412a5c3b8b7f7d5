"""The parts of a conversion's report, from its record (`record_of` a model file)."""

import os

from edgert.convert.optimize.layers import layers
from edgert.convert.optimize.study import surroundings
from edgert.convert.report.blocks import Heading, Table, Text, number
from edgert.convert.report.study import how, layer_picture
from edgert.macs import node_macs
from edgert.session import Session


def record_of(path, float_graph=None, rows=None, threads=1):
    """The record of the model file `path`: what is in it, and what each node costs on this machine.

    float_graph, rows (N, ...) float32: the network before quantisation and inputs for it; with both, every node's
    signal to quantisation noise is measured too.
    """
    session = Session(path, threads=threads)
    graph = session.graph
    return {
        "kind": "conversion",
        "title": graph.name or os.path.basename(path),
        "file": os.path.basename(path),
        "file_bytes": session.loaded.size,
        "task": graph.metadata.task,
        "labels": len(graph.metadata.labels),
        "arena_bytes": session.plan.arena_bytes,
        "weight_bytes": sum(tensor.nbytes for tensor in graph.tensors if tensor.is_constant),
        "macs": sum(node_macs(node, session.plan.graph.tensors) for node in graph.nodes),
        "said": list(graph.metadata.report.splitlines()),
        "provenance": dict(graph.metadata.provenance),
        "layers": layers(session, float_graph, rows),
        "how": {"threads": session.threads},
        "machine": surroundings(),
    }


def blocks_of(record):
    """The report's blocks, in reading order."""
    yield_from = [Heading(f"Conversion of {record['title']}", 1), _summary(record)]
    if record["said"]:
        yield_from += [Heading("What the converter said"), *(Text(line) for line in record["said"])]
    if record["layers"]:
        yield_from += [Heading("Node by node"), layer_picture(record["layers"]), _table(record["layers"])]
    if record["provenance"]:
        rows = tuple((name, str(value)) for name, value in record["provenance"].items())
        yield_from += [Heading("Where it comes from"), Table(("what", "value"), rows, "ll")]
    return [*yield_from, *how(record)]


def _summary(record):
    rows = (
        ("file", f"{record['file']}, {record['file_bytes']:,} bytes"),
        ("task", f"{record['task'] or 'none declared'}, {record['labels']} labels"),
        ("weights", f"{record['weight_bytes']:,} bytes"),
        ("memory for activations", f"{record['arena_bytes']:,} bytes"),
        ("multiply-adds of an answer", f"{record['macs']:,}"),
        ("time in kernels", f"{number(sum(row['us'] for row in record['layers']))} µs"),
    )
    return Table(("", ""), rows, "ll")


def _table(rows):
    table = tuple(
        (row["name"], row["op"], row["tier"], number(row["us"]), number(row["macs"]), number(row.get("sqnr_db")))
        for row in rows
    )
    return Table(("node", "operator", "tier", "µs", "MACs", "SQNR dB"), table, "lllrrr")
