"""Imports a .tflite model (int8, uint8 or float): the file's operators, one after the other, into a Draft."""

from edgert.convert import tables, unsupported
from edgert.convert.draft import Draft
from edgert.convert.importers.tflite.operators import CUSTOM_OPERATORS, OPERATORS, operator_name
from edgert.convert.importers.tflite.schema import Defaults, File
from edgert.convert.importers.tflite.tensors import TensorTable
from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError, ModelFormatError
from edgert.graph import MAX_NODES, MAX_TENSORS


def load(data, source, name):
    """The model in `data` (the bytes of a .tflite file) as a Draft, nothing fused yet.

    source: what to call the file in messages. name: of the graph.
    Raises: ConversionError for a damaged file, UnsupportedOpError listing every operator that cannot be expressed.
    """
    file = File(data, source)
    try:
        return _Importer(file, file.root(), name).run()
    except Unsupported as reason:  # outside any operator: a graph input or output
        raise ConversionError(f"{source}: {reason}") from None


class _Importer:
    def __init__(self, file, model, name):
        source = file.name
        if model.version != 3:
            raise ConversionError(f"{source}: schema version {model.version}, only 3 is known")
        subgraphs = model.subgraphs
        if not subgraphs:
            raise ConversionError(f"{source}: holds no subgraph")
        self.source, self.subgraph, self.codes = source, subgraphs[0], model.operator_codes
        self.file_tensors = TensorTable(file, model, self.subgraph)
        self.draft = Draft(name)
        self.placed = {}  # the file's tensor index -> the draft's
        self.ends = {}  # output of an operator that became the head -> draft tensors that end the graph instead

    def run(self):
        operators = self.subgraph.operators
        if len(operators) > MAX_NODES or len(self.file_tensors) > MAX_TENSORS:
            raise ConversionError(f"{self.source}: {len(operators)} operators and {len(self.file_tensors)} tensors")
        self._place_inputs()
        self.draft.operators = len(operators)
        problems = []
        for index, operator in enumerate(operators):
            self._build(index, operator, problems)
        if problems:
            raise unsupported.error(self.source, problems)
        if self.ends:
            self._end_in_head()
        else:
            for index in self.subgraph.outputs:
                self._add_output(index)
        if not self.draft.outputs:
            raise ConversionError(f"{self.source}: the model has no outputs")
        return self.draft

    def place(self, index):
        """The draft's tensor for one of the file's, which must be a constant or computed by now."""
        if index not in self.placed:
            self.check_index(index)
            tensor = self.file_tensors[index]
            if not tensor.is_constant:
                raise ConversionError(f"tensor '{tensor.name}' is read before any operator computes it")
            self.placed[index] = self.draft.add(tensor)
        return self.placed[index]

    def check_index(self, index):
        if not 0 <= index < len(self.file_tensors):
            raise ConversionError(f"{self.source}: tensor {index} is named, there are {len(self.file_tensors)}")

    def _place_inputs(self):
        for index in self.subgraph.inputs:
            self.check_index(index)
            tensor = self.file_tensors[index]
            if tensor.is_constant or index in self.placed or not tensor.size:
                raise ConversionError(f"{self.source}: input '{tensor.name}' is constant, empty or listed twice")
            self.placed[index] = self.draft.add(tensor)
            self.draft.inputs.append(self.placed[index])
            for axis in self.file_tensors.dynamic_axes(index):
                if axis < len(tensor.shape):
                    size = tensor.shape[axis]
                    self.draft.notes.append(
                        f"dimension {axis} of '{tensor.name}' is open in the source; fixed at {size}"
                    )

    def _add_output(self, index):
        self.check_index(index)
        if index not in self.placed:
            raise ConversionError(f"{self.source}: output {index} is computed by no operator")
        self.draft.add_output(self.placed[index], self.file_tensors[index].name)

    def _end_in_head(self):
        """The graph ends before the operator that became the head, whose outputs must be all that the model gives."""
        for index in self.subgraph.outputs:
            self.check_index(index)
            if index not in self.ends:
                raise ConversionError(f"{self.source}: output '{self.file_tensors[index].name}' is given beside boxes")
        for source in self.ends[self.subgraph.outputs[0]] if self.subgraph.outputs else ():
            self.draft.add_output(source, self.draft.tensors[source].name)

    def _build(self, index, operator, problems):
        """Builds one operator; one that cannot be is noted, and its outputs stand in as the file declares them."""
        if not 0 <= operator.opcode_index < len(self.codes):
            raise ConversionError(
                f"{self.source}: operator {index} names code {operator.opcode_index}, the file has {len(self.codes)}"
            )
        name = operator_name(self.codes[operator.opcode_index])
        try:
            if name not in OPERATORS and name not in CUSTOM_OPERATORS:
                raise Unsupported("edgert has no such operator")
            options_kind, builder = OPERATORS.get(name) or CUSTOM_OPERATORS[name]
            builder(Site(self, operator, options_kind))
        except Unsupported as reason:
            problems.append((index, name, str(reason)))
        except (ConversionError, ModelFormatError) as error:
            if not problems:  # else it may follow from stand-ins
                raise ConversionError(f"{self.source}: operator {index} {name}: {error}") from None
        for i in operator.outputs:
            if i not in self.placed:
                self._stand_in(i, problems, index, name)

    def _stand_in(self, index, problems, operator, name):
        self.check_index(index)
        try:
            tensor = self.file_tensors[index].replace(data=None)
            self.placed[index] = self.draft.add(tensor)
        except Unsupported as reason:
            if not problems or problems[-1][0] != operator:
                problems.append((operator, name, str(reason)))


class Site:
    """One operator of the file, as its builder sees it.

    Inputs and outputs are counted as in TensorFlow Lite. Draft tensors are given and returned by index.
    """

    def __init__(self, importer, operator, options_kind):
        self._importer, self.draft = importer, importer.draft
        self.file_tensors = importer.file_tensors
        self.inputs, self.outputs = operator.inputs, operator.outputs
        if not self.outputs:
            raise ConversionError("has no outputs")
        for index in self.outputs:
            importer.check_index(index)
        if len(set(self.outputs)) != len(self.outputs) or any(i in importer.placed for i in self.outputs):
            raise ConversionError("an output is computed twice, or is also an input")
        self.options = (operator.options(options_kind) or Defaults(options_kind)) if options_kind else None
        self.custom_options = operator.custom_options

    def has(self, k):
        """Whether optional input `k` is there."""
        return k < len(self.inputs) and self.inputs[k] != -1

    def input(self, k):
        """Input `k` as a draft tensor index."""
        if not self.has(k):
            raise ConversionError(f"has {len(self.inputs)} inputs, number {k} is missing")
        return self._importer.place(self.inputs[k])

    def spec(self, k):
        """Input `k` as a Tensor: the shape is the one inferred, not the one the file declares."""
        return self.draft.tensors[self.input(k)]

    def declared(self, k=0):
        """Output `k` as the file declares it; only its shape may be wrong."""
        if k >= len(self.outputs):
            raise ConversionError(f"has {len(self.outputs)} outputs, number {k} is missing")
        return self.file_tensors[self.outputs[k]]

    def integers(self, k):
        """Input `k`, which must be a constant of integers, as a tuple."""
        index = self.input(k)
        value = self.draft.value(index)
        if value is None:
            raise Unsupported(f"input {k} ('{self.draft.tensors[index].name}') must be a constant")
        if value.dtype.kind != "i":
            raise ConversionError(f"input {k} ('{self.draft.tensors[index].name}') is {value.dtype}, not integers")
        return tuple([int(v) for v in value.reshape(-1)])

    def integer(self, k):
        values = self.integers(k)
        if len(values) != 1:
            raise ConversionError(f"input {k} holds {len(values)} values, needs one")
        return values[0]

    def axis(self, axis, rank):
        """A possibly negative axis as 0..rank-1."""
        if not -rank <= axis < rank:
            raise ConversionError(f"axis {axis} is outside {rank} dimensions")
        return axis % rank

    def step(self, op, inputs, attrs=None, like=None, quant=None, shape=None):
        """An intermediate result; dtype (and quantisation, unless given) are those of draft tensor `like`."""
        like = self.draft.tensors[inputs[0] if like is None else like]
        return self.draft.derive(op, inputs, attrs or {}, self.declared().name, like.dtype, quant or like.quant, shape)

    def emit(self, op, inputs, attrs=None, k=0, shape=None, quant=None):
        """Output `k`, computed by one node; its quantisation is the declared one unless given."""
        declared = self.declared(k)
        out = self.draft.derive(op, inputs, attrs or {}, declared.name, declared.dtype, quant or declared.quant, shape)
        return self.define(out, k)

    def copy(self, op, inputs, attrs=None, k=0, shape=None):
        """Output `k` by an op that copies words: in the first input's quantisation, then in the declared one."""
        x, declared = self.draft.tensors[inputs[0]], self.declared(k)
        if x.dtype != declared.dtype:
            raise ConversionError(f"copies {x.dtype} '{x.name}' to {declared.dtype} '{declared.name}'")
        out = self.draft.derive(op, inputs, attrs or {}, declared.name, x.dtype, x.quant, shape)
        return self.define(self.requantised(out, declared.quant), k)

    def requantised(self, x, quant):
        """Draft tensor `x` with its values in another quantisation; itself where that is the same."""
        tensor = self.draft.tensors[x]
        if tensor.dtype != "int8" or quant is None or tensor.quant == quant:
            return x
        return self.lookup(x, tables.build([], tensor.quant, quant), quant)

    def lookup(self, x, table, quant):
        """A step that puts every word through a table of 256."""
        tensor = self.draft.tensors[x]
        if tensor.quant.axis is not None:
            raise Unsupported(f"tensor '{tensor.name}' is quantised per channel")
        index = self.draft.constant(f"{tensor.name}/table", table)
        return self.draft.derive("lookup", [x, index], {}, self.declared().name, "int8", quant)

    def define(self, index, k=0):
        """Makes draft tensor `index` the operator's output `k`."""
        tensor, declared = self.draft.tensors[index], self.declared(k)
        if tensor.dtype != declared.dtype:
            raise ConversionError(f"gives {tensor.dtype}, but '{declared.name}' is {declared.dtype}")
        self._importer.placed[self.outputs[k]] = index
        return index

    def ends(self, *indices):
        """The graph ends in these draft tensors: the operator itself is done by the draft's head."""
        if self._importer.ends:
            raise Unsupported("there is another one")
        self._importer.ends = dict.fromkeys(self.outputs, indices)

    def note(self, text):
        self.draft.notes.append(f"'{self.declared().name}': {text}")
