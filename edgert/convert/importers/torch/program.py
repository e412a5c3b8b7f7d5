"""Imports a PyTorch network as torch.export sees it: ATen operators, one after the other, into a Draft.

Both forms of a program are taken: as exported (conv2d, silu, linear ...) and decomposed to core ATen.
"""

import operator

import numpy as np
import torch
from torch.export.graph_signature import InputKind, OutputKind

from edgert.convert import unsupported
from edgert.convert.draft import Draft
from edgert.convert.importers.torch.operators import OPERATORS, name_of
from edgert.convert.importers.torch.site import Site
from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError, ModelFormatError
from edgert.graph import MAX_NODES, Node, Tensor

NORMS = ("batch_norm.default", "_native_batch_norm_legit_no_training.default")
FOLDING = ("conv1d", "conv2d", "conv_transpose2d", "convolution", "linear")  # what takes a norm behind it in
# What export leaves in a graph that computes nothing.
ASIDE = ("_assert_tensor_metadata", "sym_constrain_range", "_assert_scalar", "sym_size", "_assert_async")


def export(module, example_inputs, source):
    """`module` in eval mode as an ExportedProgram; the module is left as it was.

    Raises: ConversionError with the reason, if torch.export cannot follow what it does.
    """
    modes = {name: part.training for name, part in module.named_modules()}
    try:
        with torch.no_grad():
            return torch.export.export(module.eval(), tuple(example_inputs))
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise ConversionError(f"{source}: torch.export cannot follow the module: {reason}") from error
    finally:
        for name, part in module.named_modules():
            part.training = modes[name]


def load(program, source, name):
    """An ExportedProgram as a Draft, nothing fused but batch norms; pictures still lie channels first.

    Raises: UnsupportedOpError listing every operator that cannot be expressed, ConversionError for dynamic shapes and
    constants that are not finite.
    """
    return _Importer(program, source, name).run()


class _Importer:
    def __init__(self, program, source, name):
        self.source, self.draft = source, Draft(name)
        self.draft.channels_first = True
        self.nodes = list(program.graph.nodes)
        self.values = {}  # node -> draft index, or a list of them
        self.constants, self.names = {}, {}  # placeholder node's name -> tensor; -> its name in the state dict
        self.taken = set()  # batch norms that a convolution has drawn in
        signature = program.graph_signature
        self.inputs = []
        for spec in signature.input_specs:
            if spec.kind == InputKind.USER_INPUT:
                self.inputs.append(getattr(spec.arg, "name", None))
            elif spec.target is not None:
                tensor = program.constants.get(spec.target, program.state_dict.get(spec.target))
                self.constants[spec.arg.name], self.names[spec.arg.name] = tensor, spec.target
        if any(spec.kind != OutputKind.USER_OUTPUT for spec in signature.output_specs):
            raise ConversionError(f"{source}: the program changes a buffer or input while it runs")

    def run(self):
        if len(self.nodes) > MAX_NODES:
            raise ConversionError(f"{self.source}: {len(self.nodes)} operators, more than {MAX_NODES}")
        problems = []
        for index, node in enumerate(self.nodes):
            if node.op == "placeholder":
                self._placeholder(node)
            elif node.op == "call_function":
                self._build(index, node, problems)
        if problems:
            raise unsupported.error(self.source, problems)
        self._outputs(next(node for node in self.nodes if node.op == "output").args[0])
        return self.draft

    def place(self, node):
        """The draft index of what a node gives; constants are added when first asked for."""
        name = getattr(node, "name", None)
        if node not in self.values and name in self.constants:
            self.values[node] = self.draft.constant(self.names[name], self._array(name))
        value = self.values.get(node)
        if not isinstance(value, int):
            raise ConversionError(f"'{node}' is read as one tensor and is {'a list' if value else 'not computed'}")
        return value

    def parameter(self, node):
        return self.names.get(getattr(node, "name", None))

    def take_norm(self, node):
        """The batch norm that alone reads `node`, which then stands for it; None if there is no such."""
        user = next(iter(node.users)) if len(node.users) == 1 else None
        if user is None or user.op != "call_function" or name_of(user.target) not in NORMS or user.args[0] is not node:
            return None
        self.taken.add(user)
        return user

    def _array(self, name):
        tensor = self.constants[name].detach().cpu().resolve_conj()
        if tensor.dtype in (torch.float64, torch.float16, torch.bfloat16):
            tensor = tensor.float()
        array = np.ascontiguousarray(tensor.numpy())
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = np.size(array) - np.isfinite(array).sum()
            raise ConversionError(f"{self.source}: {bad} of {array.size} values of '{self.names[name]}' are not finite")
        return array

    def _placeholder(self, node):
        if node.name not in self.inputs:
            return
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor):
            raise ConversionError(f"{self.source}: input '{node.name}' is {type(value).__name__}, not a tensor")
        if any(not isinstance(dim, int) for dim in value.shape):
            raise ConversionError(
                f"{self.source}: input '{node.name}' has the dynamic shape {tuple(map(str, value.shape))}; "
                f"give it with --shape {node.name}=1,3,224,224 or export without dynamic_shapes"
            )
        dtype = str(value.dtype).removeprefix("torch.")
        self.values[node] = self.draft.add(Tensor(node.name, dtype, tuple(value.shape)))
        self.draft.inputs.append(self.values[node])

    def _build(self, index, node, problems):
        """Builds one operator; one that cannot be is noted, and stands in as a tensor of the declared shape."""
        if node.target is operator.getitem:
            self.values[node] = self.values[node.args[0]][node.args[1]]
            return
        name = name_of(node.target)
        if name.partition(".")[0] in ASIDE:
            return
        self.draft.operators += 1
        if node in self.taken:
            value = self.values[node.args[0]]
            self.values[node] = value if name == NORMS[0] else [value, None, None]
            return
        try:
            if name not in OPERATORS:
                raise Unsupported("edgert has no such operator")
            self.values[node] = OPERATORS[name](Site(self, node))
            return
        except Unsupported as reason:
            problems.append((index, name, str(reason)))
        except (ConversionError, ModelFormatError) as error:
            if not problems:  # else it may follow from stand-ins
                raise ConversionError(f"{self.source}: operator {index} {name} '{node.name}': {error}") from None
        self._stand_in(node)

    def _stand_in(self, node):
        value = node.meta.get("val")
        parts = value if isinstance(value, (list, tuple)) else [value]
        shapes = [tuple(part.shape) if isinstance(part, torch.Tensor) else () for part in parts]
        placed = [self.draft.add(Tensor(node.name, "float32", shape)) for shape in shapes]
        self.values[node] = placed if isinstance(value, (list, tuple)) else placed[0]

    def _outputs(self, nodes):
        for node in nodes:
            index = self.place(node)
            if index in self.draft.inputs or index in self.draft.outputs or self.draft.tensors[index].is_constant:
                out = self.draft.add(self.draft.tensors[index].replace(data=None))
                self.draft.nodes.append(Node("reshape", (index,), (out,), {}, node.name))
                index = out
            self.draft.outputs.append(index)
