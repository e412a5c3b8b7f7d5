"""Small float graphs to quantise, and typical inputs for them."""

import numpy as np
from tiny import GraphBuilder

from edgert.graph import Metadata, Preprocess


def builder(name="net", seed=0):
    b = GraphBuilder(name)
    b.rng = np.random.default_rng(seed)
    return b


def conv(b, x, name, c_in, c_out, size, k=3, stride=1, **attrs):
    """A 3x3 (or k x k) convolution with random weights whose output is about as large as its input."""
    weight = b.rng.normal(0, 1.4 / np.sqrt(k * k * c_in), (c_out, k, k, c_in))
    b.tensor(f"{name}.weight", "float32", weight.shape, data=weight)
    b.tensor(f"{name}.bias", "float32", (c_out,), data=b.rng.normal(0, 0.1, c_out))
    b.tensor(name, "float32", (1, size // stride, size // stride, c_out))
    pads = {"pad_top": k // 2, "pad_left": k // 2, "pad_bottom": k // 2, "pad_right": k // 2} if k > 1 else {}
    if stride == 2:
        pads["pad_top"] = pads["pad_left"] = 0
    b.node("conv2d", [x, f"{name}.weight", f"{name}.bias"], name, stride_h=stride, stride_w=stride, **pads, **attrs)
    return name


def linear(b, x, name, c_in, c_out):
    b.tensor(f"{name}.weight", "float32", (c_out, c_in), data=b.rng.normal(0, 1.4 / np.sqrt(c_in), (c_out, c_in)))
    b.tensor(f"{name}.bias", "float32", (c_out,), data=b.rng.normal(0, 0.1, c_out))
    b.tensor(name, "float32", (1, c_out))
    b.node("linear", [x, f"{name}.weight", f"{name}.bias"], name)
    return name


def classifier(classes=5):
    """Picture (1, 16, 16, 3) -> conv, residual block, mean, linear, softmax."""
    b = builder("classifier")
    b.tensor("image", "float32", (1, 16, 16, 3))
    conv(b, "image", "stem", 3, 8, 16, stride=2, clamp_min=0.0)
    conv(b, "stem", "block", 8, 8, 8)
    b.tensor("sum", "float32", (1, 8, 8, 8))
    b.node("add", ["stem", "block"], "sum", clamp_min=0.0)
    b.tensor("mean", "float32", (1, 8))
    b.node("reduce", "sum", "mean", function="mean", axes=(1, 2))
    linear(b, "mean", "logits", 8, classes)
    b.tensor("scores", "float32", (1, classes))
    b.node("softmax", "logits", "scores")
    return b.graph(
        ["image"], ["scores"], Metadata("classify", preprocess=Preprocess("RGB", "stretch", (0.0,), (255.0,)))
    )


def copying():
    """A tensor goes through every op that only moves words, and two branches are joined."""
    b = builder("copying")
    b.tensor("x", "float32", (1, 8, 8, 4))
    conv(b, "x", "a", 4, 4, 8)
    conv(b, "x", "b", 4, 4, 8)
    for name, op, source, shape, attrs in (
        ("padded", "pad", "a", (1, 10, 10, 4), {"before": (0, 1, 1, 0), "after": (0, 1, 1, 0), "value": 0.5}),
        ("pooled", "max_pool2d", "padded", (1, 5, 5, 4), {"kh": 2, "kw": 2, "stride_h": 2, "stride_w": 2}),
        ("larger", "resize", "pooled", (1, 8, 8, 4), {"mode": "nearest"}),
    ):
        b.tensor(name, "float32", shape)
        b.node(op, source, name, **attrs)
    b.tensor("joined", "float32", (1, 8, 8, 8))
    b.node("concat", ["larger", "b"], "joined", axis=3)
    b.tensor("part", "float32", (1, 8, 8, 5))
    b.node("slice", "joined", "part", begin=(0, 0, 0, 1))
    conv(b, "part", "last", 5, 3, 8, k=1)
    b.tensor("flat", "float32", (1, 64, 3))
    b.node("reshape", "last", "flat")
    b.tensor("turned", "float32", (1, 3, 64))
    b.node("transpose", "flat", "turned", perm=(0, 2, 1))
    return b.graph(["x"], ["turned"])


def silu_net(alone=False):
    """conv, x * sigmoid(x) written as two nodes, conv. alone: written as one SiLU."""
    b = builder("silu")
    b.tensor("x", "float32", (1, 8, 8, 4))
    conv(b, "x", "first", 4, 8, 8)
    b.tensor("gate", "float32", (1, 8, 8, 8))
    b.tensor("act", "float32", (1, 8, 8, 8))
    if alone:
        b.node("unary", "first", "act", function="silu")
    else:
        b.node("unary", "first", "gate", function="sigmoid")
        b.node("mul", ["first", "gate"], "act")
    conv(b, "act", "second", 8, 4, 8)
    return b.graph(["x"], ["second"])


def inputs(graph, count=16, seed=1, low=-1.0, high=1.0):
    """Tuples of random arrays, one per input."""
    rng = np.random.default_rng(seed)
    return [
        tuple(rng.uniform(low, high, graph.tensors[i].shape).astype(np.float32) for i in graph.inputs)
        for _ in range(count)
    ]
