"""Imports an ONNX model: its operators, one after the other, into a Draft that still is channels-first.

Convolutions and the like stand between transposes to and from NHWC; `passes.layout` then turns the whole graph.
"""

import numpy as np

from edgert.convert import unsupported
from edgert.convert.draft import Draft
from edgert.convert.importers.onnx import constants, functions
from edgert.convert.importers.onnx.file import DTYPES, EXACT_FLOAT, File, check_node
from edgert.convert.importers.onnx.operators import find, is_built_in
from edgert.convert.importers.onnx.site import Site
from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError, InputError, ModelFormatError
from edgert.graph import MAX_DIM, MAX_NODES, MAX_RANK, Tensor


def load(data, source, name, folder=None, shapes=None):
    """The model in `data` (the bytes of an .onnx file) as a Draft, nothing fused yet.

    source: what to call the file in messages. name: of the graph. folder: where external data may lie. shapes: {input
    name: its sizes} for inputs whose shape the model leaves open.
    Raises: ConversionError for a damaged file or an open shape, UnsupportedOpError listing every operator that cannot
    be expressed, InputError if `shapes` does not fit.
    """
    try:
        return Importer(File(data, source, folder), name).run(shapes or {})
    except Unsupported as reason:  # outside any operator: a graph output
        raise ConversionError(f"{source}: {reason}") from None
    except UnicodeDecodeError:
        raise ConversionError(f"{source}: a name in it is no UTF-8 text: the file is damaged") from None


class Importer:
    """Walks the nodes. values: name -> array (known now), int (a draft tensor) or None (cannot be known).

    words: name -> the int8 words that a constant was made of."""

    def __init__(self, file, name):
        self.file, self.draft = file, Draft(name)
        self.draft.channels_first = True
        self.values, self.words, self.problems = {}, {}, []
        self.opset, self.depth, self.calls, self.built = file.opset, 0, 0, 0

    def run(self, shapes):
        graph, draft = self.file.graph, self.draft
        if len(graph.node) > MAX_NODES:
            raise ConversionError(f"{self.file.source}: {len(graph.node)} operators, more than {MAX_NODES}")
        for tensor in graph.initializer:
            self.values[tensor.name] = self.file.array(tensor)
        self._place_inputs([row for row in graph.input if row.name not in self.values], shapes)
        draft.operators = len(graph.node)
        self.walk(graph.node)
        if self.problems:
            raise unsupported.error(self.file.source, self.problems)
        for row in graph.output:
            draft.add_output(self.place(row.name), row.name)
        if not draft.outputs:
            raise ConversionError(f"{self.file.source}: the model has no outputs")
        return draft

    def walk(self, nodes, at=None):
        """Builds nodes in order. at: the position to report for what stands for, or within, another operator."""
        for index, node in enumerate(nodes):
            self._build(index if at is None else at, node, nested=at is not None)

    def place(self, name):
        """The draft's tensor for a value; an array becomes a constant."""
        value = self.value(name)
        if isinstance(value, np.ndarray):
            self.values[name] = value = self.draft.constant(name, constants.storable(value, name))
            if name in self.words:
                self.draft.words[value] = self.words[name]
        return value

    def value(self, name):
        if name not in self.values:
            raise ConversionError(f"'{name}' is computed by no operator before (a cycle, or the wrong order)")
        return self.values[name]

    def constant(self, name):
        """A value as an array if it is known now, else None."""
        value = self.value(name)
        return self.draft.value(value) if isinstance(value, int) else value

    def _build(self, index, node, nested):
        """Builds one operator; one that cannot be is noted, and what follows from it is only looked up."""
        if not isinstance(node.op_type, str):  # protobuf gives what is no UTF-8 as bytes
            raise ConversionError(f"{self.file.source}: operator {index} has a name that is no text")
        self.built += 1
        if self.built > MAX_NODES:
            raise ConversionError(f"{self.file.source}: its functions unfold to more than {MAX_NODES} operators")
        try:
            unknown = any(name and self.value(name) is None for name in node.input)
            function = None if is_built_in(node, self.file.functions) else functions.find(self, node)
            if function is not None:
                return functions.expand(self, node, function, index)
            builder = find(node.domain, node.op_type)
            check_node(node, self.opset)
            if unknown:
                return self._unknown(node)
            if not constants.fold(self, node):
                builder(Site(self, node, index))
        except Unsupported as reason:
            self.problems.append((index, node.op_type, str(reason)))
            self._unknown(node)
        except (ConversionError, ModelFormatError) as error:
            place = "" if nested else f"{self.file.source}: operator {index} "
            raise ConversionError(f"{place}{node.op_type}: {error}") from None

    def _unknown(self, node):
        for name in node.output:
            self.values.setdefault(name, None)

    def _place_inputs(self, rows, shapes):
        names = {row.name for row in rows}
        for name in shapes:
            if name not in names:
                raise InputError(f"there is no input '{name}'; the inputs are {', '.join(sorted(names))}")
        found = [_shape(row, shapes.get(row.name)) for row in rows]
        wanted = [row.name for row, (_, _, open_) in zip(rows, found) if open_]
        if wanted:
            listed = ", ".join([_written(row) for row in rows if row.name in wanted])
            example = " ".join([f"--shape {_example(row)}" for row in rows if row.name in wanted])
            raise ConversionError(f"{self.file.source}: the shape is open of {listed}; give it, for example {example}")
        for row, (shape, note, _) in zip(rows, found):
            self._place_input(row, shape)
            if note:
                self.draft.notes.append(note)

    def _place_input(self, row, shape):
        kind = row.type.tensor_type.elem_type
        if not row.type.HasField("tensor_type") or kind not in DTYPES:
            raise ConversionError(f"{self.file.source}: input '{row.name}' is {self.file.type_name(kind)}")
        if len(shape) > MAX_RANK or not all(1 <= dim <= MAX_DIM for dim in shape):
            raise ConversionError(f"{self.file.source}: input '{row.name}' has shape {shape[:8]}")
        if DTYPES[kind] == "float32" and kind != EXACT_FLOAT:
            self.draft.notes.append(f"input '{row.name}' is {self.file.type_name(kind)} in the source, float32 here")
        self.values[row.name] = self.draft.add(Tensor(row.name, DTYPES[kind], shape))
        self.draft.inputs.append(self.values[row.name])


def _shape(row, given):
    """(sizes, note, whether they are still open) of a graph input."""
    dims = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in _dims(row)]
    if not row.type.tensor_type.HasField("shape"):
        return tuple(given or ()), "", given is None
    if given is not None:
        if len(given) != len(dims) or any(dim not in (None, size) for dim, size in zip(dims, given)):
            raise InputError(f"--shape {row.name}={'x'.join(map(str, given))} does not fit {_written(row)}")
        return tuple(given), "", False
    if dims and dims[0] is None and None not in dims[1:]:
        return (1, *dims[1:]), f"dimension 0 of '{row.name}' is open in the source; fixed at 1", False
    return tuple(dims), "", None in dims


def _dims(row):
    return row.type.tensor_type.shape.dim


def _written(row):
    sizes = [str(dim.dim_value or dim.dim_param or "?") for dim in _dims(row)]
    return f"input '{row.name}' ({' x '.join(sizes) or 'rank unknown'})"


def _example(row):
    """A shape to try: 1 for the batch, 3 for channels, 224 for sides."""
    usual = {4: (1, 3, 224, 224), 3: (1, 3, 224)}.get(len(_dims(row)), (1,) * len(_dims(row)))
    return f"{row.name}=" + "x".join([str(dim.dim_value or size) for dim, size in zip(_dims(row), usual)])
