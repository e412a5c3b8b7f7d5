"""What the tests of conversion share: bytes to graphs, random inputs, LiteRT's answers."""

import numpy as np
import pytest

from edgert import convert, opset
from edgert.convert import evaluate
from edgert.convert.importers import tflite


def converted(data, folder, **options):
    """The Graph of a .tflite file given as bytes."""
    path = folder / "model.tflite"
    path.write_bytes(data)
    return convert.tflite(path, **options)


def imported(data):
    """The Graph before any fusion."""
    graph = tflite.load(data, "model.tflite", "model").finish()
    opset.validate(graph)
    return graph


def random_inputs(graph, seed=0):
    """One array per input: any word for int8, three standard deviations around 0 for float."""
    rng = np.random.default_rng(seed)
    return [_random(rng, graph.tensors[i]) for i in graph.inputs]


def _random(rng, tensor):
    if tensor.dtype == "int8":
        return rng.integers(-128, 128, tensor.shape).astype(np.int8)
    if tensor.dtype == "float32":
        return rng.normal(0, 3, tensor.shape).astype(np.float32)
    return rng.integers(-500, 5000, tensor.shape).astype(tensor.dtype)


def answers(graph, seed=0):
    """The reference tier's outputs for one random input."""
    return evaluate.graph(graph, random_inputs(graph, seed))


def litert(path, inputs, plain=False):
    """LiteRT's outputs for our inputs, uint8 ones as our shifted words; skips the test where LiteRT is not installed.

    plain: its own kernels one by one, without the XNNPACK delegate.
    """
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is not installed")
    resolvers = interpreter.OpResolverType
    resolver = resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else resolvers.BUILTIN
    try:
        model = interpreter.Interpreter(str(path), num_threads=1, experimental_op_resolver_type=resolver)
        model.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        pytest.skip(f"LiteRT refuses this model: {str(error)[:100]}")
    for detail, array in zip(model.get_input_details(), inputs):
        model.set_tensor(detail["index"], array.view(np.uint8) ^ 0x80 if detail["dtype"] == np.uint8 else array)
    model.invoke()
    outputs = [model.get_tensor(detail["index"]) for detail in model.get_output_details()]
    return [(out ^ 0x80).view(np.int8) if out.dtype == np.uint8 else out for out in outputs]


def ops(graph):
    return [node.op for node in graph.nodes]
