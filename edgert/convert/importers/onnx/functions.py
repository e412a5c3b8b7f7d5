"""Operators that are written in others: the model's own functions, and those that the standard defines by a body."""

import numpy as np
import onnx
from onnx import AttributeProto, FunctionProto, NodeProto, helper

from edgert.errors import ConversionError
from edgert.graph import DTYPE_SIZES

MAX_DEPTH = 16
ELEMENT_TYPES = {name: helper.np_dtype_to_tensor_dtype(np.dtype(name)) for name in DTYPE_SIZES}


def find(importer, node):
    """The FunctionProto that defines an operator, None if there is none."""
    own = importer.file.functions.get((node.domain, node.op_type))
    if own is not None or node.domain not in ("", "ai.onnx"):
        return own
    try:
        schema = onnx.defs.get_schema(node.op_type, importer.opset, "")
    except onnx.defs.SchemaError:
        return None
    if schema.has_function:
        return schema.function_body
    if not schema.has_context_dependent_function:
        return None
    types = [_type(importer, name) for name in node.input]
    if None in types:
        return None
    body = schema.get_context_dependent_function(node.SerializeToString(), [t.SerializeToString() for t in types])
    return FunctionProto.FromString(body) if body else None


def _type(importer, name):
    """The TypeProto of a value, an empty one where it is absent."""
    if not name:
        return onnx.TypeProto()
    value = importer.value(name)
    if value is None:
        return None
    tensor = importer.draft.tensors[value] if isinstance(value, int) else value
    dtype = tensor.dtype if isinstance(value, int) else tensor.dtype.name
    if dtype not in ELEMENT_TYPES:
        return None
    return helper.make_tensor_type_proto(ELEMENT_TYPES[dtype], tensor.shape)


def expand(importer, node, function, at):
    """Builds the function's operators in place of `node`."""
    if importer.depth >= MAX_DEPTH:
        raise ConversionError(f"functions call each other more than {MAX_DEPTH} deep")
    if len(node.input) > len(function.input) or len(node.output) > len(function.output):
        raise ConversionError(f"has {len(node.input)} inputs, the function takes {len(function.input)}")
    importer.calls += 1
    prefix = f"{next(filter(None, node.output), '')}/{importer.calls}"
    names = dict.fromkeys(function.input, "") | dict(zip(function.input, node.input))
    names |= {inner: outer for inner, outer in zip(function.output, node.output) if outer}
    given = {a.name: a for a in function.attribute_proto} | {a.name: a for a in node.attribute}

    def rename(name):
        return names.get(name, f"{prefix}/{name}") if name else ""

    versions = {row.domain: row.version for row in function.opset_import}
    before = importer.opset
    importer.opset, importer.depth = versions.get("", before), importer.depth + 1
    try:
        importer.walk([_renamed(inner, rename, given) for inner in function.node], at)
    finally:
        importer.opset, importer.depth = before, importer.depth - 1


def _renamed(node, rename, given):
    """A copy of a node of a function, with its tensors' names outside and the caller's attributes."""
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [rename(name) for name in node.input]
    copy.output[:] = [rename(name) for name in node.output]
    del copy.attribute[:]
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            found = attribute
        elif attribute.ref_attr_name in given:
            found = given[attribute.ref_attr_name]
        else:
            continue  # the operator's own default
        place = copy.attribute.add()
        place.CopyFrom(found)
        place.name = attribute.name
        if place.type == AttributeProto.GRAPH:
            _rename_graph(place.g, rename, given)
    return copy


def _rename_graph(graph, rename, given):
    nodes = [_renamed(node, rename, given) for node in graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    for row in (*graph.output, *graph.input, *graph.initializer):
        row.name = rename(row.name)
