"""The tables of model.fbs as the reader and the writer see them; a test holds the two against each other."""

from edgert.graph import DTYPE_SIZES

DTYPES = tuple(DTYPE_SIZES)  # position = value of the enum DType
ATTR_KINDS = ("int", "float", "text", "ints")  # position = Attr.kind
FEATURES = ()  # what `required_features` may name

# Caps on what a program may hold, in elements or bytes.
MAX_NAME_BYTES = 1_024
MAX_TEXT_BYTES = 65_536
MAX_REPORT_BYTES = 2**20
MAX_SCALES = 2**20
MAX_LABELS = 65_536
MAX_PAIRS = 1_024
MAX_ATTRS = 64
MAX_ATTR_INTS = 65_536
MAX_GOLDEN = 64
MAX_VOCABULARY = 2**20
MAX_MERGES = 2**20
MAX_PIECES_BYTES = 2**23
MAX_PATTERNS = 8
MAX_EOS = 256
MAX_LEVELS = 64
MAX_ANCHORS = 2**19


class Table:
    """One table: its fields in order, each `name:format` or `name:format=default`.

    The format is a `struct` character, or O for an offset to a string, vector or table.
    """

    __slots__ = ("name", "fields", "formats", "defaults")

    def __init__(self, name, *fields):
        parts = [field.replace("=", ":").split(":") for field in fields]
        self.name = name
        self.fields = tuple(part[0] for part in parts)
        self.formats = tuple(part[1] for part in parts)
        # A field that is left out reads as its default, so a real number's must be a float: 0.0 is not the int 0.
        self.defaults = [int(part[2]) if len(part) > 2 else 0.0 if part[1] in "fd" else 0 for part in parts]


QUANT = Table("Quant", "scale:O", "zero_point:i", "axis:i=-1")
TENSOR = Table(
    "Tensor", "name:O", "dtype:B", "shape:O", "quant:O", "data_offset:Q", "data_bytes:Q", "is_constant:?", "is_state:?"
)
ATTR = Table("Attr", "name:O", "kind:B", "i:q", "f:d", "text:O", "ints:O")
NODE = Table("Node", "op:O", "name:O", "inputs:O", "outputs:O", "attrs:O")
PREPROCESS = Table("Preprocess", "channels:O", "resize:O", "mean:O", "std:O")
BLOB = Table("Blob", "bytes:O")
GOLDEN = Table("Golden", "inputs:O", "outputs:O")
PAIR = Table("Pair", "key:O", "value:O")
TOKENIZER = Table(
    "Tokenizer", "pieces:O", "ends:O", "kinds:O", "byte_ids:O", "char_ids:O", "pairs:O", "results:O", "ranks:O",
    "patterns:O", "normal_form:O", "space_prefix:O", "whole_pieces:?", "unknown:i=-1", "library:O",
)  # fmt: skip
TOKENIZER_ARRAYS = (  # name, most elements, bytes of one
    ("pieces", MAX_PIECES_BYTES, 1), ("ends", MAX_VOCABULARY, 4), ("kinds", MAX_VOCABULARY, 1), ("byte_ids", 256, 4),
    ("char_ids", MAX_VOCABULARY, 4), ("pairs", MAX_MERGES, 8), ("results", MAX_MERGES, 4), ("ranks", MAX_MERGES, 4),
    ("library", MAX_PIECES_BYTES, 1),
)  # fmt: skip
TEXT = Table("Text", "tokenizer:O", "context:i", "bos:i=-1", "add_bos:?", "eos:O", "chat_template:O")
HEAD = Table(
    "Head", "kind:O", "columns:O", "strides:O", "anchors:O", "anchor_counts:O", "scales:O", "box_order:O", "bins:i",
    "background:i", "score_threshold:d", "iou_threshold:d", "max_boxes:i",
)  # fmt: skip
PROGRAM = Table(
    "Program", "name:O", "tensors:O", "nodes:O", "inputs:O", "outputs:O", "task:O", "labels:O", "preprocess:O",
    "golden:O", "provenance:O", "report:O", "data_sha256:O", "required_features:O",
    "text:O", "head:O",
)  # fmt: skip
TABLES = (QUANT, TENSOR, ATTR, NODE, PREPROCESS, BLOB, GOLDEN, PAIR, TOKENIZER, TEXT, HEAD, PROGRAM)
