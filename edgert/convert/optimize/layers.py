"""Node by node: the time of each step, and how much of its output is quantisation's error."""

import numpy as np

from edgert.convert import evaluate
from edgert.convert.optimize.words import to_words
from edgert.macs import node_macs

SAMPLES = 8  # rows whose activations are compared; a node's SQNR over them is stable to a few tenths of a decibel
RUNS = 30


def layers(session, float_graph=None, rows=None):
    """A dict for each step of a loaded model: name, op, tier, us, macs, sqnr_db (None where nothing compares with it).

    float_graph: the same network before quantisation; a tensor is compared with the one of its name there.
    rows (N, ...) float32: inputs in real numbers.
    """
    graph = session.plan.graph
    errors = sqnr(float_graph, session.graph, rows) if float_graph is not None and rows is not None else {}
    inputs = _words(graph, rows[0]) if rows is not None and len(graph.inputs) == 1 else None
    found = []
    for (index, tier, _, _), elapsed_ns in session.profile(inputs, runs=RUNS):
        node = graph.nodes[index]
        output = graph.tensors[node.outputs[0]].name
        found.append(
            {
                "name": node.name or output,
                "op": node.op,
                "tier": tier,
                "us": elapsed_ns / 1e3,
                "macs": node_macs(node, graph.tensors),
                "sqnr_db": errors.get(output),
            }
        )
    return found


def _words(graph, row):
    tensor = graph.tensors[graph.inputs[0]]
    return [np.ascontiguousarray(to_words(tensor, row[None]).reshape(tensor.shape))]


def sqnr(float_graph, int8_graph, rows):
    """{tensor name: decibels} of the signal over the quantisation error, for each tensor that both graphs have.

    The error is what has gathered on the way from the input, not that of the node alone.
    """
    signal, noise = {}, {}
    for row in rows[:SAMPLES]:
        exact, seen = _real_values(float_graph, row), _real_values(int8_graph, row)
        for name in exact.keys() & seen.keys():
            if exact[name].shape == seen[name].shape:
                signal[name] = signal.get(name, 0.0) + float(np.square(exact[name]).sum())
                noise[name] = noise.get(name, 0.0) + float(np.square(exact[name] - seen[name]).sum())
    return {name: 10 * float(np.log10(signal[name] / noise[name])) for name in signal if signal[name] and noise[name]}


def _real_values(graph, row):
    """{tensor name: float64 array} of everything a graph computes from one row."""
    values = {}

    def visit(index, array):
        tensor = graph.tensors[index]
        real = array.astype(np.float64)
        if tensor.quant is not None and len(tensor.quant.scale) == 1:
            real = (real - tensor.quant.zero_point) * tensor.quant.scale[0]
        values[tensor.name] = real

    tensor = graph.tensors[graph.inputs[0]]
    evaluate.graph(graph, [to_words(tensor, row[None]).reshape(tensor.shape)], visit)
    return values
