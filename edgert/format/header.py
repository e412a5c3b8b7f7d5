"""The fixed part of a model file: a 64-byte header, then the 32-byte SHA-256 of the program.

    offset  size  field
         0     8  magic  89 45 44 47 52 54 0D 0A ("\\x89EDGRT\\r\\n": a text-mode copy or a stripped eighth bit shows)
         8     2  major  a reader refuses any other
        10     2  minor  a reader takes older and newer ones
        12     4  CRC32 of bytes 0-11 and 16-95
        16    40  program offset, program size, data offset, data size, file size: 8 bytes each
        56     8  zero
        64    32  SHA-256 of the program

All little-endian. The program starts at byte 96; the data segment follows it after zero padding and ends the file.
"""

import os
import struct
from stat import S_ISREG
from zlib import crc32

from edgert.errors import ModelFormatError
from edgert.graph import Record

try:
    from _sha2 import sha256  # Python 3.12 and later
except ImportError:
    try:
        from _sha256 import sha256
    except ImportError:
        from hashlib import sha256  # costs 9 ms and 4 MB: it loads OpenSSL

__all__ = ["MAJOR", "MINOR", "PREFIX_BYTES", "Header", "align", "open_regular", "sha256"]

MAGIC = b"\x89EDGRT\r\n"
MAJOR, MINOR = 1, 0
FIELDS = struct.Struct("<8sHHIQQQQQQ")
DIGEST_BYTES = 32
PREFIX_BYTES = FIELDS.size + DIGEST_BYTES  # 96
MAX_PROGRAM_BYTES = 2**23  # weights are not in it; hashing this much takes 50 ms on a Pi 4
DATA_ALIGNMENT = 64
PAGE_ALIGNMENT = 16_384  # pages of a Raspberry Pi 5
PAGE_ALIGNED_FROM = 2**18


def align(n, multiple=DATA_ALIGNMENT):
    """The smallest multiple not below `n`."""
    return -(-n // multiple) * multiple


def data_alignment(data_bytes):
    """Where a data segment of this size starts: on a page if the padding costs under 1/16 of it, else on 64 bytes."""
    return PAGE_ALIGNMENT if data_bytes >= PAGE_ALIGNED_FROM else DATA_ALIGNMENT


def open_regular(path):
    """(descriptor, status) of a model file, to read. A link to one is followed: what it leads to is what is judged.

    Raises: ModelFormatError if it is a FIFO, a folder, a device; OSError, ValueError if it cannot be opened.
    """
    if not S_ISREG(os.stat(path).st_mode):  # merely opening a device can do harm: /dev/watchdog reboots
        raise ModelFormatError("is not a regular file")
    # O_NONBLOCK: should a FIFO have taken its place, open() would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if not S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ModelFormatError("is not a regular file")
    return descriptor, status


class Header(Record):
    """Where the two parts of a file lie. `digest`: SHA-256 of the program."""

    __slots__ = ("version", "program_offset", "program_bytes", "data_offset", "data_bytes", "file_bytes", "digest")

    @classmethod
    def around(cls, program, data_bytes):
        """The header of a file with this program and a data segment of this size."""
        data_offset = align(PREFIX_BYTES + len(program), data_alignment(data_bytes))
        digest = sha256(program).digest()
        file_bytes = data_offset + data_bytes
        return cls((MAJOR, MINOR), PREFIX_BYTES, len(program), data_offset, data_bytes, file_bytes, digest)

    def pack(self):
        """The first 96 bytes of the file."""
        extents = self.program_offset, self.program_bytes, self.data_offset, self.data_bytes, self.file_bytes
        packed = FIELDS.pack(MAGIC, *self.version, 0, *extents, 0) + self.digest
        return packed[:12] + checksum(packed).to_bytes(4, "little") + packed[16:]

    @classmethod
    def unpack(cls, prefix, actual_bytes):
        """The header in `prefix`, the first 96 bytes of a file that has `actual_bytes`.

        Raises: ModelFormatError for another format, another major version, damage, and sizes that do not fit the file.
        """
        _check_magic(prefix, actual_bytes)
        _, major, minor, crc, *extents, zero = FIELDS.unpack_from(prefix)
        if major != MAJOR:
            raise ModelFormatError(f"file format {major}.{minor} is unknown, this edgert reads {MAJOR}.x (newer file?)")
        if crc != checksum(prefix):
            raise ModelFormatError(f"the header is damaged: its checksum is {crc:08x}, it says {checksum(prefix):08x}")
        header = cls((major, minor), *extents, prefix[FIELDS.size :])
        header._check_extents(actual_bytes)
        if zero:
            raise ModelFormatError(f"bytes 56-63 of the header are {zero:#x}, not zero")
        return header

    def _check_extents(self, actual_bytes):
        if self.file_bytes != actual_bytes:
            hint = "incomplete copy?" if actual_bytes < self.file_bytes else "something was appended"
            raise ModelFormatError(f"the header says {self.file_bytes:,} bytes, the file has {actual_bytes:,} ({hint})")
        if self.program_offset != PREFIX_BYTES:
            raise ModelFormatError(f"the program starts at byte {self.program_offset:,}, not {PREFIX_BYTES}")
        if self.program_bytes > MAX_PROGRAM_BYTES:
            raise ModelFormatError(f"the program has {self.program_bytes:,} bytes, the limit is {MAX_PROGRAM_BYTES:,}")
        end = PREFIX_BYTES + self.program_bytes
        if self.data_offset not in (align(end, DATA_ALIGNMENT), align(end, PAGE_ALIGNMENT)):
            raise ModelFormatError(
                f"the data segment starts at byte {self.data_offset:,}, the program ends at byte {end:,}: "
                f"not the next multiple of {DATA_ALIGNMENT} or {PAGE_ALIGNMENT:,}"
            )
        if self.data_offset + self.data_bytes != self.file_bytes:
            end = self.data_offset + self.data_bytes
            raise ModelFormatError(f"the data segment ends at byte {end:,}, the file at byte {self.file_bytes:,}")


def checksum(prefix):
    """CRC32 of the first 96 bytes without the four that hold it."""
    return crc32(prefix[16:PREFIX_BYTES], crc32(prefix[:12]))


def _check_magic(prefix, actual_bytes):
    if prefix[4:8] == b"TFL3":
        raise ModelFormatError("this is a TensorFlow Lite model (`edgert convert` makes an edgert file of it)")
    magic = prefix[: len(MAGIC)]
    if magic != MAGIC[: len(magic)]:
        raise ModelFormatError(f"not an edgert model: it starts with {bytes(magic)!r}, not {MAGIC!r}")
    if len(prefix) < PREFIX_BYTES:
        raise ModelFormatError(
            f"has {actual_bytes:,} bytes, an edgert model at least {PREFIX_BYTES} (incomplete copy?)"
        )
