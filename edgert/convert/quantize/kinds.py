"""How each node of a float graph is done in int8."""

from edgert.convert.quantize import functions

# op -> how `lower` does it. What is not listed has no int8 form and stays in float.
_KINDS = {
    **dict.fromkeys(("conv2d", "depthwise_conv2d", "transpose_conv2d", "linear"), "weighted"),
    **dict.fromkeys(("add", "sub", "mul", "minimum", "maximum", "squared_difference", "batch_matmul"), "arithmetic"),
    **dict.fromkeys(("avg_pool2d", "softmax"), "arithmetic"),
    **dict.fromkeys(("max_pool2d", "concat", "slice", "pad", "reshape", "transpose", "gather", "gather_nd"), "copy"),
    **dict.fromkeys(("space_to_batch", "batch_to_space", "space_to_depth", "depth_to_space", "resize"), "copy"),
    **dict.fromkeys(("arg_max", "arg_min"), "index"),
}


class Kinds:
    """of: node position -> "weighted", "arithmetic", "copy", "function", "index" or "unchanged".

    functions: tensor index -> `functions.Function` of the nodes that become lookups. read: tensors that other nodes
    than these read, and the graph's outputs. in_float: positions of nodes that are to stay in float.
    """

    def __init__(self, graph, in_float=()):
        self.functions = functions.find(graph, in_float)
        self.of = [
            "unchanged" if at in in_float else _kind(graph, node, self.functions) for at, node in enumerate(graph.nodes)
        ]
        readers = (node for at, node in enumerate(graph.nodes) if self.of[at] != "function")
        self.read = {*graph.outputs}.union(*[node.inputs for node in readers])

    def is_int8(self, at):
        return self.of[at] != "unchanged"


def _kind(graph, node, found):
    tensors = graph.tensors
    if not any(i >= 0 and tensors[i].dtype == "float32" for i in node.inputs):
        return "unchanged"
    if node.outputs[0] in found:
        return "function"
    if node.op == "reduce":
        function = node.attrs["function"]
        return {"mean": "arithmetic", "sum": "arithmetic", "max": "copy", "min": "copy"}.get(function, "unchanged")
    return _KINDS.get(node.op, "unchanged")
