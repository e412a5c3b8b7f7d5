"""Golden vectors of a language model: what the reference kernels answer to a prompt, and to one more token behind it.

They are run in order on the same caches, so that prefill and decode are both checked, and what one leaves to the other.
"""

import numpy as np

from edgert import opset
from edgert.convert import evaluate

PROMPT = 19  # tokens: more than one tile of rows and a rest in every tier, more positions than a vector has lanes
MAX_BYTES = 2 * 2**20  # of logits
MAX_WORK = 4 * 10**10  # multiplications: half a minute of the reference kernels


def vectors(graph, context, notes):
    """((inputs, outputs), ...) as bytes; () where they would be large, slow or not exact, which `notes` then says."""
    logits = graph.tensors[graph.outputs[0]]
    if any(node.op == "linear" for node in graph.nodes):
        notes.append("no golden vectors: float sums may differ in their last bits from processor to processor")
        return ()
    if 2 * logits.nbytes > MAX_BYTES or _weights(graph) * (PROMPT + 1) > MAX_WORK:
        notes.append("no golden vectors: the model is too large for them")
        return ()
    count = min(PROMPT, context - 1)
    ids = np.random.default_rng(0).integers(0, logits.shape[-1], count + 1).astype(np.int32)
    states = {i: np.zeros(t.shape, t.dtype) for i, t in enumerate(graph.tensors) if t.state}
    return tuple([_answered(graph, ids[a:b], a, states) for a, b in ((0, count), (count, count + 1))])


def _answered(graph, ids, position, states):
    inputs = [ids, np.array([position], np.int32)]
    outputs = evaluate.graph(opset.bind_tokens(graph, len(ids)), inputs, states=states)
    return tuple([a.tobytes() for a in inputs]), tuple([a.tobytes() for a in outputs])


def _weights(graph):
    return sum([graph.tensors[node.inputs[1]].size for node in graph.nodes if node.op == "dynamic_linear"])
