"""Requests and frames of clients that mean harm, and random damage to them."""

import json
import struct

POST = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"
HELLO = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(opcode, data=b"", fin=True, mask=True, length=None):
    """A frame of a client. length: what it says of itself, where that is not the truth."""
    length = len(data) if length is None else length
    head = bytes([opcode | 0x80 * fin])
    if length < 126:
        head += bytes([length | 0x80 * mask])
    elif length < 65_536:
        head += bytes([126 | 0x80 * mask]) + struct.pack("!H", length)
    else:
        head += bytes([127 | 0x80 * mask]) + struct.pack("!Q", length)
    return head + b"\0\0\0\0" * mask + data  # a mask of zeros leaves the data as they are


def status(received):
    """The status of the first answer; None if the connection was just closed."""
    return int(received.split(b" ", 2)[1]) if received.startswith(b"HTTP/1.1 ") else None


ASKED = json.dumps({"prompt": "KING:", "max_tokens": 3, "seed": 1}).encode()
SEEDS = [
    GET + b"\r\n",
    POST + b"Content-Length: %d\r\n\r\n%b" % (len(ASKED), ASKED),
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    HELLO + frame(1, b"hello") + frame(9, b"x") + frame(8, b"\x03\xe8"),
    GET + b"\r\n" + GET + b"Connection: close\r\n\r\n",
]
SPICE = [b"\r\n", b"\n", b"\0", b"\xff", b": ", b"%00", b"..", b'"', b"9" * 30, b"-1", b"a" * 20_000, b"\r\n\r\n",
         b"chunked", b"{", b"["]  # fmt: skip


def mutated(rng, more=()):
    """One of SEEDS and `more`, with up to six kinds of damage."""
    seeds = [*SEEDS, *more]
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 6)):
        at, kind = rng.randrange(len(data) + 1), rng.randrange(5)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at:at] = rng.choice(SPICE)
        elif kind == 2:
            del data[at : at + rng.randint(1, 20)]
        elif kind == 3:
            data[at:at] = data[at : at + 200]
        else:
            data += rng.choice(seeds)
    return bytes(data)
