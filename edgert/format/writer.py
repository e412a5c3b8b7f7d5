"""From a `Graph` to a model file, on the desktop: needs the `flatbuffers` package.

Deterministic: the same graph gives the same bytes. What is written was read back by the device's reader first and found
equal, so a file that a device would refuse, or understand differently, is never made.
"""

import mmap
import os

from edgert import graph as g
from edgert import opset
from edgert.errors import InputError, ModelFormatError
from edgert.format import reader
from edgert.format import schema as s
from edgert.format.header import Header, align, sha256

_WIDTHS = {"B": 1, "?": 1, "i": 4, "f": 4, "O": 4, "q": 8, "Q": 8, "d": 8}
_ATTR_FIELDS = {int: (0, "i"), bool: (0, "i"), float: (1, "f"), str: (2, "text"), tuple: (3, "ints")}


def write(graph, path):
    """Write `graph` to the file at `path`: first whole to a sibling, then renamed, so `path` is old or new, never half.

    Constants go one at a time, so a graph whose constants are mapped from a file may be larger than memory.
    Raises: ModelFormatError if the graph does not pass `opset.validate`; InputError if `path` is no place for a file.
    """
    path = place(path)
    graph, front = _front(graph)
    directory, name = os.path.split(path)
    sibling = os.path.join(directory, f".{name}.{os.getpid()}.tmp")
    fd = os.open(sibling, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with open(fd, "wb") as file:
            file.write(front)
            file.writelines(_data_segment(graph))
            file.flush()
            os.fsync(fd)
        _check(graph, reader.read(sibling).graph)
        os.replace(sibling, path)
    except BaseException:
        os.unlink(sibling)
        raise
    _sync_directory(directory)


def place(path):
    """`path` without links, where a file can be. Raises: InputError."""
    path = os.path.realpath(os.fspath(path))
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"{path} is not a regular file")
    if not os.path.isdir(os.path.dirname(path)):
        raise InputError(f"{path}: there is no folder {os.path.dirname(path)}")
    return path


def to_bytes(graph):
    """The model file as bytes. Raises: ModelFormatError if the graph does not pass `opset.validate`."""
    graph, front = _front(graph)
    content = b"".join([front, *_data_segment(graph)])
    _check(graph, reader.read_bytes(content).graph)
    return content


def _front(graph):
    """(the graph as it will be read, the file's bytes before the data segment)."""
    opset.validate(graph)
    graph = _with_plain_data(opset.stamped(graph))
    digest, nbytes = sha256(), 0
    for part in _data_segment(graph):
        digest.update(part)
        nbytes += len(part)
    program = _Writer().program(graph, digest.digest())
    header = Header.around(program, nbytes)
    return graph, (header.pack() + program).ljust(header.data_offset, b"\0")


def _sync_directory(directory):
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)  # makes the rename itself durable
    finally:
        os.close(fd)


def _with_plain_data(graph):
    """The graph with all constants as flat bytes, whatever bytes-like they came as."""
    tensors = [t.replace(data=memoryview(t.data).cast("B")) if t.is_constant else t for t in graph.tensors]
    return graph.replace(tensors=tuple(tensors))


def _data_segment(graph):
    """The constants in order, and the zeros between them."""
    end = 0
    for tensor in graph.tensors:
        if tensor.is_constant:
            yield bytes(align(end) - end)
            yield tensor.data
            end = align(end) + len(tensor.data)
            _release(tensor.data)


def _release(data):
    """Pages of a mapped file that were read leave this process; the system keeps them as long as it likes."""
    if isinstance(data.obj, mmap.mmap):
        data.obj.madvise(mmap.MADV_DONTNEED)


def _check(graph, written):
    """Refuse to write what reads back as something else: a scale that is no float32, a list where a tuple belongs."""
    for what in ("tensors", "nodes"):
        for one, other in zip(getattr(graph, what), getattr(written, what)):
            if one != other:
                raise ModelFormatError(f"cannot be written exactly: {one} would be read as {other}")
            if what == "tensors" and one.is_constant:
                _release(one.data)
                _release(other.data)
    if graph.replace(tensors=()) != written.replace(tensors=()) or len(graph.tensors) != len(written.tensors):
        raise ModelFormatError(f"cannot be written exactly: {graph} would be read as {written}")


class _Writer:
    """Builds the FlatBuffer. Equal strings, vectors and attributes are stored once."""

    def __init__(self):
        from flatbuffers import Builder

        self.builder = Builder(65_536)
        self.known = {}  # what was stored -> where

    def program(self, graph, data_sha256):
        meta = graph.metadata
        tensors = self.tensors(graph)
        nodes = [self.node(node) for node in graph.nodes]
        golden = [
            self.table(s.GOLDEN, inputs=self.blobs(vectors[0]), outputs=self.blobs(vectors[1]))
            for vectors in meta.golden
        ]
        provenance = [
            self.table(s.PAIR, key=self.string(key), value=self.string(value))
            for key, value in sorted(meta.provenance.items())
        ]
        root = self.table(
            s.PROGRAM,
            name=self.string(graph.name),
            tensors=self.references(tensors),
            nodes=self.references(nodes),
            inputs=self.vector("i", graph.inputs),
            outputs=self.vector("i", graph.outputs),
            task=self.string(meta.task),
            labels=self.references([self.string(label) for label in meta.labels]),
            preprocess=self.preprocess(meta.preprocess),
            golden=self.references(golden),
            provenance=self.references(provenance),
            report=self.string(meta.report),
            data_sha256=self.builder.CreateByteVector(data_sha256),
            text=self.text(meta.text),
            head=self.head(meta.head),
        )
        self.builder.Finish(root)
        return bytes(self.builder.Output())

    def tensors(self, graph):
        written, end = [], 0
        for tensor in graph.tensors:
            extent = {}
            if tensor.is_constant:
                start, end = align(end), align(end) + len(tensor.data)
                extent = {"data_offset": start, "data_bytes": len(tensor.data), "is_constant": True}
            shape = [-1 if dim == g.TOKENS else dim for dim in tensor.shape]
            written.append(
                self.table(
                    s.TENSOR,
                    name=self.string(tensor.name),
                    dtype=s.DTYPES.index(tensor.dtype),
                    shape=self.vector("i", shape),
                    quant=self.quant(tensor.quant),
                    is_state=tensor.state,
                    **extent,
                )
            )
        return written

    def quant(self, quant):
        if quant is None:
            return 0
        axis = -1 if quant.axis is None else quant.axis
        return self.table(s.QUANT, scale=self.vector("f", quant.scale), zero_point=quant.zero_point, axis=axis)

    def node(self, node):
        attrs = [self.attr(name, node.attrs[name]) for name in sorted(node.attrs)]
        return self.table(
            s.NODE,
            op=self.string(node.op),
            name=self.string(node.name),
            inputs=self.vector("i", node.inputs),
            outputs=self.vector("i", node.outputs),
            attrs=self.references(attrs),
        )

    def attr(self, name, value):
        if type(value) not in _ATTR_FIELDS:
            raise ModelFormatError(f"attribute {name!r} is {value!r}; attributes are int, float, str or tuples of int")
        kind, field = _ATTR_FIELDS[type(value)]
        key = ("attr", name, kind, value)
        if key not in self.known:
            stored = self.string(value) if field == "text" else self.vector("q", value) if field == "ints" else value
            fields = {"name": self.string(name), "kind": kind, field: stored}
            self.known[key] = self.table(s.ATTR, **fields)
        return self.known[key]

    def preprocess(self, preprocess):
        if preprocess is None:
            return 0
        return self.table(
            s.PREPROCESS,
            channels=self.string(preprocess.channels),
            resize=self.string(preprocess.resize),
            mean=self.vector("d", preprocess.mean),
            std=self.vector("d", preprocess.std),
        )

    def text(self, text):
        if text is None:
            return 0
        fields = {name: getattr(text, name) for name in ("context", "bos", "add_bos")}
        return self.table(
            s.TEXT,
            tokenizer=self.tokenizer(text.tokenizer),
            eos=self.vector("i", text.eos),
            chat_template=self.string(text.chat_template) if text.chat_template else 0,
            **fields,
        )

    def tokenizer(self, tokenizer):
        if tokenizer is None:
            return 0
        arrays = {name: self.words(getattr(tokenizer, name), width) for name, _, width in s.TOKENIZER_ARRAYS}
        texts = {name: self.string(getattr(tokenizer, name)) for name in ("normal_form", "space_prefix")}
        return self.table(
            s.TOKENIZER,
            patterns=self.references([self.string(name) for name in tokenizer.patterns]),
            whole_pieces=tokenizer.whole_pieces,
            unknown=tokenizer.unknown,
            **arrays,
            **texts,
        )

    def words(self, data, width):
        """A vector of numbers of `width` bytes from their little-endian bytes; an empty one is left out."""
        if not data:
            return 0
        builder = self.builder
        builder.StartVector(width, len(data) // width, width)
        builder.head = builder.head - len(data)
        builder.Bytes[builder.head : builder.head + len(data)] = data
        return builder.EndVector()

    def head(self, head):
        if head is None:
            return 0
        return self.table(
            s.HEAD,
            kind=self.string(head.kind),
            columns=self.references([self.string(text) for text in head.columns]),
            strides=self.vector("i", head.strides),
            anchors=self.vector("f", head.anchors),
            anchor_counts=self.vector("i", head.anchor_counts),
            scales=self.vector("d", head.scales),
            box_order=self.string(head.box_order),
            bins=head.bins,
            background=head.background,
            score_threshold=head.score_threshold,
            iou_threshold=head.iou_threshold,
            max_boxes=head.max_boxes,
        )

    def blobs(self, blobs):
        stored = [self.builder.CreateByteVector(bytes(blob)) for blob in blobs]
        return self.references([self.table(s.BLOB, bytes=offset) for offset in stored])

    def string(self, text):
        return self.builder.CreateSharedString(text)

    def references(self, offsets):
        if not offsets:
            return 0
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return self.builder.EndVector()

    def vector(self, kind, values):
        """A vector of numbers; an empty one is left out."""
        key = (kind, tuple(values))
        if values and key not in self.known:
            width = _WIDTHS[kind]
            self.builder.StartVector(width, len(values), width)
            prepend = {
                "i": self.builder.PrependInt32,
                "q": self.builder.PrependInt64,
                "f": self.builder.PrependFloat32,
                "d": self.builder.PrependFloat64,
            }[kind]
            for value in reversed(values):
                prepend(value)
            self.known[key] = self.builder.EndVector()
        return self.known.get(key, 0)

    def table(self, schema, **values):
        """A table with these fields; a field equal to its default is left out."""
        builder = self.builder
        prepend = {
            "O": builder.PrependUOffsetTRelativeSlot,
            "B": builder.PrependUint8Slot,
            "?": builder.PrependBoolSlot,
            "i": builder.PrependInt32Slot,
            "q": builder.PrependInt64Slot,
            "Q": builder.PrependUint64Slot,
            "d": builder.PrependFloat64Slot,
        }
        builder.StartObject(len(schema.formats))
        # Widest first, as flatc does: no padding inside.
        for field in sorted(range(len(schema.formats)), key=lambda i: -_WIDTHS[schema.formats[i]]):
            name, default = schema.fields[field], schema.defaults[field]
            prepend[schema.formats[field]](field, values.get(name, default), default)
        return builder.EndObject()
