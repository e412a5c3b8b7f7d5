"""From a model file to a `Graph`, checked: the device's way in.

Order: kind of file -> header -> sizes against the real file -> hash of the program -> tables -> constants' extents ->
`opset.validate`. Nothing becomes an array or a pointer before. The program is copied and hashed before it is read, so
what was checked is what is used; the weights stay in the file and are mapped. Every way to be wrong is a
`ModelFormatError` that names the thing and the numbers.
"""

import mmap
import os

from edgert import graph as g
from edgert import opset
from edgert.errors import ModelFormatError
from edgert.format import schema as s
from edgert.format.flat import Flat
from edgert.format.header import PREFIX_BYTES, Header, align, open_regular, sha256


class LoadedModel(g.Record):
    """A graph whose constants are views into `map`. path: None if it came from bytes. size: bytes of the file."""

    __slots__ = ("graph", "map", "path", "size", "version", "program_sha256", "data_sha256", "data_offset")


class Verified(g.Record):
    """What `verify` found; the two digests as hex."""

    __slots__ = ("path", "size", "version", "program_sha256", "data_sha256", "tensors", "nodes", "data_bytes", "golden")


def read(path):
    """The model in the file at `path`, a `LoadedModel`.

    Raises: ModelFormatError if it cannot be opened, is not a regular file, or anything in it is wrong.
    """
    path = os.fspath(path)
    try:
        return _read_file(path)
    except ModelFormatError as error:
        raise ModelFormatError(f"{path}: {error}") from None


def read_bytes(buffer):
    """The model in a bytes-like object, which is copied: its owner may change it later."""
    view = memoryview(buffer).cast("B")
    header = Header.unpack(bytes(view[:PREFIX_BYTES]), len(view))
    program = bytes(view[PREFIX_BYTES : PREFIX_BYTES + header.program_bytes])
    padding = bytes(view[PREFIX_BYTES + header.program_bytes : header.data_offset])
    copy = mmap.mmap(-1, len(view))  # page-aligned, as a mapped file is
    copy[:] = view
    return _build(header, program, padding, copy, None)


def verify(path):
    """Check also what `read` leaves out because it touches every byte: the hash of the weights.

    Returns a `Verified`. Raises: ModelFormatError.
    """
    model = read(path)
    digest = sha256()
    try:
        # Read and not mapped: where a card is broken, a mapping kills the process and a read says so.
        with open(path, "rb") as file:
            file.seek(model.data_offset)
            while chunk := file.read(2**20):
                digest.update(chunk)
    except OSError as error:
        raise ModelFormatError(f"{model.path}: the weights cannot be read: {error.strerror}") from error
    if digest.digest() != model.data_sha256:
        raise ModelFormatError(
            f"{model.path}: the weights are damaged: their SHA-256 is {digest.hexdigest()}, "
            f"the program says {model.data_sha256.hex()}"
        )
    graph, data_bytes = model.graph, model.size - model.data_offset
    counts = len(graph.tensors), len(graph.nodes), data_bytes, len(graph.metadata.golden)
    return Verified(model.path, model.size, model.version, model.program_sha256.hex(), digest.hexdigest(), *counts)


def _read_file(path):
    try:
        parts = _open(path)
    except ModelFormatError:
        raise
    except (OSError, ValueError, OverflowError) as error:
        raise ModelFormatError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return _build(*parts, path)


def _open(path):
    """(header, program, the padding after it, the whole file mapped)."""
    fd, status = open_regular(path)
    try:
        header = Header.unpack(os.pread(fd, PREFIX_BYTES, 0), status.st_size)
        program = os.pread(fd, header.program_bytes, PREFIX_BYTES)
        padding = os.pread(fd, header.data_offset - PREFIX_BYTES - header.program_bytes, PREFIX_BYTES + len(program))
        return header, program, padding, mmap.mmap(fd, header.file_bytes, access=mmap.ACCESS_READ)
    finally:
        os.close(fd)


def _build(header, program, padding, mapped, path):
    digest = sha256(program).digest()
    if digest != header.digest:
        expected = header.digest.hex()
        raise ModelFormatError(f"the program is damaged: its SHA-256 is {digest.hex()}, the header says {expected}")
    if padding.strip(b"\0"):
        raise ModelFormatError(f"the {len(padding):,} bytes between program and data segment are not all zero")
    data = memoryview(mapped)[header.data_offset :].toreadonly()
    graph, data_sha256 = _Program(program).graph(data)
    opset.validate(graph)
    return LoadedModel(graph, mapped, path, header.file_bytes, header.version, digest, data_sha256, header.data_offset)


class _Program(Flat):
    """The tables of model.fbs, turned into the objects of edgert.graph."""

    __slots__ = ("attrs",)

    def graph(self, data):
        """(Graph with its constants in `data`, a memoryview of the data segment; the SHA-256 it should have)."""
        self.attrs = {}
        row = dict(zip(s.PROGRAM.fields, self.table(self.root(), s.PROGRAM)))
        self._check_features(row["required_features"])
        digest = self.blob(row["data_sha256"], 32, "data_sha256")
        if len(digest) != 32:
            raise ModelFormatError(f"data_sha256 has {len(digest)} bytes, not 32")
        graph = g.Graph(
            self.string(row["name"], s.MAX_NAME_BYTES, "the model's name"),
            self._tensors(row["tensors"], data),
            self._nodes(row["nodes"]),
            self.vector(row["inputs"], "i", g.MAX_TENSORS, "the graph's inputs"),
            self.vector(row["outputs"], "i", g.MAX_TENSORS, "the graph's outputs"),
            self._metadata(row),
        )
        return graph, digest

    def _metadata(self, row):
        return g.Metadata(
            self.string(row["task"], s.MAX_NAME_BYTES, "task"),
            self._strings(row["labels"], s.MAX_LABELS, "labels"),
            self._preprocess(row["preprocess"]),
            self._golden(row["golden"]),
            self._provenance(row["provenance"]),
            self.string(row["report"], s.MAX_REPORT_BYTES, "report"),
            self._text(row["text"]),
            self._head(row["head"]),
        )

    def _check_features(self, position):
        unknown = [name for name in self._strings(position, 64, "required_features") if name not in s.FEATURES]
        if unknown:
            raise ModelFormatError(
                f"the file needs features unknown here: {', '.join(map(repr, unknown))} (newer file?)"
            )

    def _strings(self, position, cap, what):
        positions = self.references(position, cap, what)
        return tuple([self.string(p, s.MAX_NAME_BYTES, what) for p in positions])

    def _tensors(self, position, data):
        tensors, cursor = [], 0
        for table in self.references(position, g.MAX_TENSORS, "tensors"):
            try:
                tensor, cursor = self._tensor(table, data, cursor)
            except ModelFormatError as error:
                raise ModelFormatError(f"tensor {len(tensors)}: {error}") from None
            tensors.append(tensor)
        if cursor != len(data):
            raise ModelFormatError(f"the constants end at byte {cursor:,} of a data segment of {len(data):,} bytes")
        return tuple(tensors)

    def _tensor(self, position, data, cursor):
        """(Tensor, where its bytes end): a constant starts at the next multiple of 64 after `cursor`."""
        name, dtype, shape, quant, start, nbytes, is_constant, is_state = self.table(position, s.TENSOR)
        name = self.string(name, s.MAX_NAME_BYTES, "its name")
        if dtype >= len(s.DTYPES):
            raise ModelFormatError(f"{name!r} has the unknown dtype {dtype}")
        shape = self.vector(shape, "i", g.MAX_RANK, f"shape of {name!r}")
        if -1 in shape:
            shape = tuple([g.TOKENS if dim == -1 else dim for dim in shape])
        quant = self._quant(quant, name) if quant else None
        dtype = s.DTYPES[dtype]
        if not is_constant:
            if start or nbytes:
                raise ModelFormatError(f"{name!r} is not a constant but has {nbytes:,} bytes of data at byte {start:,}")
            return g.Tensor(name, dtype, shape, quant, None, is_state), cursor
        end = start + nbytes
        if start != align(cursor):
            raise ModelFormatError(
                f"{name!r} has its data at byte {start:,}, not {align(cursor):,}, the next multiple of 64 after the "
                f"previous constant (they overlap, or leave a hole)"
            )
        if end > len(data):
            raise ModelFormatError(f"{name!r} ends at byte {end:,} of a data segment of {len(data):,} bytes")
        return g.Tensor(name, dtype, shape, quant, data[start:end], is_state), end

    def _quant(self, position, name):
        scale, zero_point, axis = self.table(position, s.QUANT)
        scale = self.vector(scale, "f", s.MAX_SCALES, f"scale of {name!r}")
        return g.Quant(scale, zero_point, None if axis == -1 else axis)

    def _nodes(self, position):
        nodes = []
        for table in self.references(position, g.MAX_NODES, "nodes"):
            try:
                nodes.append(self._node(table))
            except ModelFormatError as error:
                raise ModelFormatError(f"node {len(nodes)}: {error}") from None
        return tuple(nodes)

    def _node(self, position):
        op, name, inputs, outputs, attrs = self.table(position, s.NODE)
        positions = self.references(attrs, s.MAX_ATTRS, "attrs")
        # Attributes are shared between nodes: most say the same.
        pairs = [self.attrs.get(p) or self._attr(p) for p in positions]
        attrs = dict(pairs)
        if len(attrs) != len(pairs):
            raise ModelFormatError(f"has an attribute twice: {', '.join(name for name, _ in pairs)}")
        return g.Node(
            self.string(op, s.MAX_NAME_BYTES, "op"),
            self.vector(inputs, "i", g.MAX_TENSORS, "inputs"),
            self.vector(outputs, "i", g.MAX_TENSORS, "outputs"),
            attrs,
            self.string(name, s.MAX_NAME_BYTES, "its name"),
        )

    def _attr(self, position):
        name, kind, i, f, text, ints = self.table(position, s.ATTR)
        name = self.string(name, s.MAX_NAME_BYTES, "attribute name")
        if kind >= len(s.ATTR_KINDS):
            raise ModelFormatError(f"attribute {name!r} has the unknown kind {kind}")
        if kind == 1 and f != f:
            raise ModelFormatError(f"attribute {name!r} is not a number")
        value = (
            i,
            f,
            self.string(text, s.MAX_TEXT_BYTES, "attribute text"),
            self.vector(ints, "q", s.MAX_ATTR_INTS, f"attribute {name!r}"),
        )[kind]
        self.attrs[position] = pair = (name, value)
        return pair

    def _preprocess(self, position):
        if not position:
            return None
        channels, resize, mean, std = self.table(position, s.PREPROCESS)
        mean, std = (self.vector(p, "d", 4, "preprocess mean or std") for p in (mean, std))
        channels = self.string(channels, s.MAX_NAME_BYTES, "preprocess.channels")
        resize = self.string(resize, s.MAX_NAME_BYTES, "preprocess.resize")
        return g.Preprocess(channels, resize, mean, std)

    def _text(self, position):
        if not position:
            return None
        tokenizer, context, bos, add_bos, eos, chat_template = self.table(position, s.TEXT)
        return g.Text(
            self._tokenizer(tokenizer) if tokenizer else None,
            context,
            bos,
            add_bos,
            self.vector(eos, "i", s.MAX_EOS, "text.eos"),
            self.string(chat_template, s.MAX_TEXT_BYTES, "text.chat_template"),
        )

    def _tokenizer(self, position):
        """Its arrays stay bytes: as Python numbers they would take longer than all the rest of a start."""
        row = dict(zip(s.TOKENIZER.fields, self.table(position, s.TOKENIZER)))
        for name, cap, width in s.TOKENIZER_ARRAYS:
            row[name] = self.blob(row[name], cap, f"tokenizer.{name}", width)
        for name in ("normal_form", "space_prefix"):
            row[name] = self.string(row[name], s.MAX_NAME_BYTES, f"tokenizer.{name}")
        row["patterns"] = self._strings(row["patterns"], s.MAX_PATTERNS, "tokenizer.patterns")
        return g.Tokenizer(**row)

    def _head(self, position):
        if not position:
            return None
        row = dict(zip(s.HEAD.fields, self.table(position, s.HEAD)))
        levels = ("i", s.MAX_LEVELS)
        vectors = {"strides": levels, "anchor_counts": levels, "anchors": ("f", s.MAX_ANCHORS), "scales": ("d", 4)}
        for name, (kind, cap) in vectors.items():
            row[name] = self.vector(row[name], kind, cap, f"head.{name}")
        for name in ("kind", "box_order"):
            row[name] = self.string(row[name], s.MAX_NAME_BYTES, f"head.{name}")
        row["columns"] = self._strings(row["columns"], g.MAX_TENSORS, "head.columns")
        return g.Head(**row)

    def _golden(self, position):
        return tuple([
            tuple([self._blobs(vectors) for vectors in self.table(p, s.GOLDEN)])
            for p in self.references(position, s.MAX_GOLDEN, "golden")
        ])  # fmt: skip

    def _blobs(self, position):
        positions = self.references(position, g.MAX_TENSORS, "golden vectors")
        return tuple([self.blob(self.table(p, s.BLOB)[0], self.size, "a golden vector") for p in positions])

    def _provenance(self, position):
        pairs = {}
        for table in self.references(position, s.MAX_PAIRS, "provenance"):
            key, value = self.table(table, s.PAIR)
            key = self.string(key, s.MAX_NAME_BYTES, "provenance key")
            if key in pairs:
                raise ModelFormatError(f"provenance has the key {key!r} twice")
            pairs[key] = self.string(value, s.MAX_TEXT_BYTES, f"provenance of {key!r}")
        return pairs
