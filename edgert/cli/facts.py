"""Everything `edgert inspect` shows about a loaded model, as plain dicts and lists: also its JSON."""

import os

from edgert.cli.options import tier_counts
from edgert.graph import TOKENS
from edgert.macs import node_macs

ELIDED = "none"  # the tier of a node that needs no step
_WHY_ELIDED = {"view": "a view of its input", "placed": "its inputs are made in place"}


def gather(session, path):
    """The facts about a session's model. steps: node index of each step; arena slots speak of steps."""
    graph, plan = session.graph, session.plan
    bound = plan.graph  # a symbolic dimension has a number here
    metadata = graph.metadata
    nodes = [_node(index, node, bound, plan.elided) for index, node in enumerate(bound.nodes)]
    for index, tier, kernel, _ in plan.steps:
        nodes[index]["tier"], nodes[index]["kernel"] = tier, kernel
    rule = metadata.preprocess
    return {
        "file": os.path.basename(path),
        "file_bytes": session.loaded.size,
        "name": graph.name,
        "task": metadata.task,
        "threads": session.threads,
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "weight_bytes": sum(tensor.nbytes for tensor in bound.tensors if tensor.is_constant),
        "arena_bytes": plan.arena_bytes,
        "macs": sum(node["macs"] for node in nodes),
        "tiers": tier_counts(plan),
        "nodes": nodes,
        "tensors": [_tensor(index, graph, bound) for index in range(len(graph.tensors))],
        "steps": [step[0] for step in plan.steps],
        "arena": [
            {"tensor": tensor, "offset": offset, "bytes": nbytes, "first_step": first, "last_step": last}
            for tensor, offset, nbytes, first, last in plan.arena_map
        ],
        "labels": list(metadata.labels),
        "preprocess": {name: getattr(rule, name) for name in rule.__slots__} if rule else None,
        "golden": len(metadata.golden),
        "provenance": dict(metadata.provenance),
        "report": metadata.report,
    }


def _node(index, node, graph, elided):
    constants = {i for i in node.inputs if i >= 0 and graph.tensors[i].is_constant}
    return {
        "index": index,
        "op": node.op,
        "title": f"{node.op} {node.attrs['function']}" if "function" in node.attrs else node.op,
        "name": node.name,
        "inputs": list(node.inputs),
        "outputs": list(node.outputs),
        "attrs": dict(node.attrs),
        "tier": ELIDED,
        "kernel": _WHY_ELIDED.get(elided.get(index), ""),
        "macs": node_macs(node, graph.tensors),
        "weight_bytes": sum(graph.tensors[i].nbytes for i in constants),
    }


def _tensor(index, graph, bound):
    """The shape keeps its symbol; the bytes are those of the plan that was made."""
    tensor = graph.tensors[index]
    quant = tensor.quant
    return {
        "index": index,
        "name": tensor.name,
        "role": _role(index, graph),
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "bytes": bound.tensors[index].nbytes,
        "scale": list(quant.scale) if quant else None,
        "zero_point": quant.zero_point if quant else None,
        "symbolic": TOKENS in tensor.shape,
    }


def _role(index, graph):
    tensor = graph.tensors[index]
    if tensor.is_constant:
        return "constant"
    if tensor.state:
        return "state"
    if index in graph.inputs:
        return "input"
    return "output" if index in graph.outputs else "activation"
