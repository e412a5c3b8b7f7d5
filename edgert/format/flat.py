"""Checked reading of FlatBuffers: every offset is tried against the buffer before it is followed.

The `flatbuffers` package has no verifier for Python and pulls in NumPy. Each vtable is compiled once into one
`struct.Struct` that unpacks all fields of a table in a single call, which makes this several times faster than it.
"""

import struct

from edgert.errors import ModelFormatError

_U32 = struct.Struct("<I").unpack_from
_I32 = struct.Struct("<i").unpack_from
_U16X2 = struct.Struct("<HH").unpack_from
_SIZES = {"O": 4, "B": 1, "?": 1, "i": 4, "I": 4, "q": 8, "Q": 8, "f": 4, "d": 8}


# Objects may be shared, so a small file could ask for endless work. One that shares nothing reads each byte once.
_MAX_REREAD = 2
_MAX_OBJECTS = 2**18
_MAX_LAYOUTS = 1_024


class Flat:
    """A FlatBuffer in `data` (bytes). Positions are byte offsets into it; 0 stands for an absent field."""

    __slots__ = ("data", "size", "layouts", "strings", "vectors", "bytes_left", "objects_left")

    def __init__(self, data):
        self.data = data
        self.size = len(data)
        self.layouts = {}  # (vtable position, table name) -> what table() needs
        self.strings = {}  # position -> text
        self.vectors = {}  # (position, kind) -> tuple
        self.bytes_left = _MAX_REREAD * self.size
        self.objects_left = _MAX_OBJECTS

    def root(self):
        """Position of the root table."""
        if self.size < 8:
            raise ModelFormatError(f"the program has {self.size} bytes, too few for a FlatBuffer")
        return _U32(self.data, 0)[0]

    def table(self, position, schema):
        """The fields of a table, in the order of `schema`: numbers, absolute positions for offsets, else defaults."""
        if position % 4 or not 4 <= position <= self.size - 4:
            raise ModelFormatError(f"a {schema.name} table at byte {position:,} of the program's {self.size:,}")
        vtable = position - _I32(self.data, position)[0]
        layout = self.layouts.get((vtable, schema.name))
        if layout is None:
            if len(self.layouts) == _MAX_LAYOUTS:
                raise ModelFormatError(f"the program has more than {_MAX_LAYOUTS:,} different vtables")
            layout = self.layouts[vtable, schema.name] = self._layout(vtable, schema)
        table_bytes, unpack, present, references, wide = layout
        if position + table_bytes > self.size:
            raise ModelFormatError(f"a {schema.name} table ends at byte {position + table_bytes:,} of {self.size:,}")
        if wide is not None and (position + wide) % 8:
            raise ModelFormatError(f"the {schema.name} table at byte {position:,} has a misaligned field")
        row = schema.defaults.copy()
        for field, value in zip(present, unpack(self.data, position)):
            row[field] = value
        for field, offset in references:
            row[field] += position + offset
        return row

    def _layout(self, vtable, schema):
        """(table size, unpack function, fields present, [(field, offset)] of references, offset of an 8-byte field)."""
        if vtable % 2 or not 4 <= vtable <= self.size - 4:
            raise ModelFormatError(f"the vtable of a {schema.name} at byte {vtable:,} of {self.size:,}")
        vtable_bytes, table_bytes = _U16X2(self.data, vtable)
        if vtable_bytes % 2 or vtable_bytes < 4 or vtable + vtable_bytes > self.size or table_bytes < 4:
            raise ModelFormatError(f"a vtable of {vtable_bytes} bytes at byte {vtable:,} ({schema.name})")
        # Fields past the schema's were added by a newer minor version: skipped.
        n = min((vtable_bytes - 4) // 2, len(schema.formats))
        offsets = struct.unpack_from(f"<{n}H", self.data, vtable + 4)
        present = sorted((offset, field) for field, offset in enumerate(offsets) if offset)
        pattern, end, wide = "<", 0, None
        for offset, field in present:
            size = _SIZES[schema.formats[field]]
            if offset < max(end, 4) or offset + size > table_bytes or (offset % 4 if size > 1 else 0):
                raise ModelFormatError(f"{schema.name}.{schema.fields[field]} lies at byte {offset} of {table_bytes}")
            if size == 8:
                wide = offset if wide is None else wide
                if (offset - wide) % 8:
                    raise ModelFormatError(f"{schema.name}.{schema.fields[field]} is misaligned at byte {offset}")
            pattern += f"{offset - end}x" + schema.formats[field].replace("O", "I")
            end = offset + size
        references = [(field, offset) for offset, field in present if schema.formats[field] == "O"]
        return table_bytes, struct.Struct(pattern).unpack_from, [field for _, field in present], references, wide

    def string(self, position, cap, what):
        """The text at `position`, "" if absent; at most `cap` bytes of UTF-8 without a NUL."""
        if position in self.strings:
            text = self.strings[position]
        elif position:
            start, n = self._extent(position, 1, cap, what)
            if start + n >= self.size or self.data[start + n]:
                raise ModelFormatError(f"{what} at byte {position:,} does not end in a NUL")
            try:
                text = self.data[start : start + n].decode()
            except UnicodeDecodeError as error:
                raise ModelFormatError(f"{what} is not UTF-8: {error.reason} at its byte {error.start}") from None
            if "\0" in text:
                raise ModelFormatError(f"{what} {text[:80]!r} has a NUL in it")
            self.strings[position] = text
        else:
            text = ""
        if len(text) > cap:
            raise ModelFormatError(f"{what} has {len(text):,} characters, the limit is {cap:,}")
        return text

    def vector(self, position, kind, cap, what):
        """The numbers of a vector as a tuple; `kind` is their `struct` character. Absent: empty."""
        if not position:
            return ()
        values = self.vectors.get((position, kind))
        if values is None:
            start, n = self._extent(position, _SIZES[kind], cap, what)
            values = self.vectors[position, kind] = struct.unpack_from(f"<{n}{kind}", self.data, start)
        return values

    def blob(self, position, cap, what, width=1):
        """The bytes of a vector of at most `cap` numbers of `width` bytes each."""
        if not position:
            return b""
        start, n = self._extent(position, width, cap, what)
        return self.data[start : start + width * n]

    def references(self, position, cap, what):
        """Absolute positions of the tables or strings in a vector of offsets."""
        if not position:
            return ()
        offsets = self.vector(position, "I", cap, what)
        self.objects_left -= len(offsets)
        if self.objects_left < 0:
            raise ModelFormatError(f"the program has more than {_MAX_OBJECTS:,} objects")
        return [position + 4 + 4 * i + offset for i, offset in enumerate(offsets)]

    def _extent(self, position, item_bytes, cap, what):
        """(first byte, count) of the vector at `position`, checked to lie in the buffer."""
        if position % 4 or position > self.size - 4:
            raise ModelFormatError(f"{what} at byte {position:,} of the program's {self.size:,}")
        (n,) = _U32(self.data, position)
        if n > cap:
            raise ModelFormatError(f"{what} has {n:,} elements, the limit is {cap:,}")
        end = position + 4 + n * item_bytes
        if end > self.size:
            raise ModelFormatError(f"{what} ends at byte {end:,} of the program's {self.size:,}")
        if item_bytes == 8 and n and (position + 4) % 8:
            raise ModelFormatError(f"{what} at byte {position:,} is misaligned")
        self.bytes_left -= 4 + n * item_bytes
        if self.bytes_left < 0:
            raise ModelFormatError(f"the program refers to its {self.size:,} bytes over and over")
        return position + 4, n
