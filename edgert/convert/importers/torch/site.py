"""One node of an exported PyTorch program, as the builder of its operator sees it.

Tensors keep PyTorch's own layout here (NCHW): an operator on pictures is a transpose to NHWC, edgert's operator and a
transpose back, and the layout pass removes the transposes of a whole network at once.
"""

import numpy as np

from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


class Site:
    """Arguments by the names of the operator's schema; tensors are indices of the draft."""

    def __init__(self, importer, node):
        self._importer, self.draft, self.node = importer, importer.draft, node
        self.name = node.name
        schema = node.target._schema.arguments
        values = dict(zip((argument.name for argument in schema), node.args)) | node.kwargs
        self.arguments = {argument.name: values.get(argument.name, argument.default_value) for argument in schema}

    def __getitem__(self, name):
        """An argument that is no tensor, None where it was left out; None too if this operator has none of that name.

        Raises: Unsupported for one that is computed.
        """
        value = self.arguments.get(name)
        parts = value if isinstance(value, (list, tuple)) else [value]
        if any(type(part).__name__ in ("Node", "SymInt", "SymFloat", "SymBool") for part in parts):
            raise Unsupported(f"its argument '{name}' is computed, and must be a constant")
        return tuple(value) if isinstance(value, (list, tuple)) else value

    def pair(self, name, default=1):
        """An argument for height and width, given as one number, two, or not at all."""
        value = self[name]
        if value is None or value == ():
            return default, default
        value = value if isinstance(value, tuple) else (value,)
        return (int(value[0]), int(value[-1]))

    def has(self, name):
        return self.arguments.get(name) is not None

    def tensor(self, name="self"):
        """A tensor argument as a draft index."""
        return self.place(self.arguments[name])

    def place(self, node):
        """What another node gives, as a draft index."""
        return self._importer.place(node)

    def norm_behind(self):
        """The site of the batch norm that alone reads this node, which it then stands for; None if there is none."""
        norm = self._importer.take_norm(self.node)
        return None if norm is None else Site(self._importer, norm)

    def tensors(self, name):
        """A list of tensors as draft indices."""
        return [self.place(node) for node in self.arguments[name]]

    def operand(self, name):
        """A tensor or a number as a draft index; a number takes the type of the result."""
        value = self.arguments[name]
        if isinstance(value, (bool, int, float)):
            return self.constant(np.array(value, self.declared()[1]))
        return self.place(value)

    def spec(self, index):
        return self.draft.tensors[index]

    def shape(self, index):
        return self.draft.tensors[index].shape

    def array(self, name):
        """A tensor argument that must be constant, as an array; None where it was left out."""
        if not self.has(name):
            return None
        value = self.draft.value(self.tensor(name))
        if value is None:
            raise Unsupported(f"its argument '{name}' is computed, and must be a constant")
        return value

    def parameter(self, name):
        """The name that a tensor argument has in the module's state dict; None if it is no parameter or buffer."""
        return self._importer.parameter(self.arguments.get(name))

    def declared(self, k=0):
        """(shape, dtype) that PyTorch gives output `k`."""
        value = self.node.meta["val"]
        value = value[k] if isinstance(value, (list, tuple)) else value
        return tuple(int(dim) for dim in value.shape), str(value.dtype).removeprefix("torch.")

    def axis(self, value, rank):
        """A possibly negative axis as 0..rank-1."""
        if not -rank <= value < max(rank, 1):
            raise ConversionError(f"axis {value} is outside {rank} dimensions")
        return int(value) % max(rank, 1)

    def constant(self, array, suffix="constant"):
        return self.draft.constant(f"{self.name}/{suffix}", array)

    def step(self, op, inputs, attrs=None, shape=None, dtype=None):
        """A node and its output, in the type of its first input unless given; returns the output's index."""
        dtype = dtype or self.spec(inputs[0]).dtype
        return self.draft.derive(op, inputs, attrs or {}, self.name, dtype, None, shape)

    def unary(self, function, x, alpha=None):
        return self.step("unary", [x], {"function": function} | ({} if alpha is None else {"alpha": float(alpha)}))

    def transpose(self, x, perm):
        perm = tuple(perm)
        return x if perm == tuple(range(len(perm))) else self.step("transpose", [x], {"perm": perm})

    def reshape(self, x, shape):
        return x if self.shape(x) == tuple(shape) else self.step("reshape", [x], shape=tuple(shape))

    def nhwc(self, x):
        """A picture tensor (N, C, H, W) in edgert's layout; (C, H, W) counts as one picture."""
        shape = self.shape(x)
        if len(shape) not in (3, 4):
            raise Unsupported(f"its input has {len(shape)} dimensions, not the 4 of pictures")
        x = self.reshape(x, (1, *shape)) if len(shape) == 3 else x
        return self.transpose(x, TO_NHWC)

    def nchw(self, x):
        """Back: what `nhwc` was called for, in the shape that PyTorch gives it."""
        return self.reshape(self.transpose(x, TO_NCHW), self.declared()[0])
