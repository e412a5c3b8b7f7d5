"""Text to token ids and back. Pure Python on the arrays of the model file; nothing is built that a short prompt does
not need, so a vocabulary of 50,000 is ready in a few milliseconds.
"""

from bisect import bisect_left
from heapq import heapify, heappop, heappush

from edgert.errors import InputError, ModelFormatError

TEXT, SPECIAL, ADDED = 0, 1, 2  # the kinds of tokens
_REMEMBERED_WORDS = 2**16
_LONGEST_WORD = 64  # characters; longer ones are not remembered
_REMEMBERED_PAIRS = 2**18
_NO_PAIR = (-1, -1)


class Tokenizer:
    """The tokenizer of a `graph.Text`.

    Raises: ModelFormatError if its arrays do not fit each other.
    """

    def __init__(self, text):
        self.bos = text.bos if text.add_bos else None
        self._record = record = text.tokenizer
        self._pieces = record.pieces
        self._ends = _words(record, "ends")
        self.size = len(self._ends)  # tokens in the vocabulary
        _check_pieces(record, self._ends)
        self._byte_ids = _ids(record, "byte_ids", self.size)
        if len(self._byte_ids) not in (0, 256):
            raise ModelFormatError(f"tokenizer.byte_ids has {len(self._byte_ids)} entries, not 256")
        self._by_bytes = not record.char_ids and bool(record.byte_ids)
        self._chars = {self._pieces_of(i).decode(errors="replace"): i for i in _ids(record, "char_ids", self.size)}
        self._pairs, self._results, self._ranks = _merges(record, self.size)
        self._known_pairs, self._known_words, self._ids_of_pieces = {}, {}, None
        self._split = _splitter(record)
        self._found = self._literals()
        # No token stands for more characters of a text; NFC can make three of them one.
        self.most_characters = _longest(self._ends) * (4 if record.normal_form else 1)

    def encode(self, text, start=False):
        """The ids of a text. start: with the token that a text begins with, where the model wants one.

        Raises: InputError for a character that the vocabulary does not have.
        """
        ids = [self.bos] if start and self.bos is not None else []
        for number, (fragment, literal) in enumerate(self._fragments(text)):
            if literal:
                ids.append(self._found[fragment])
            elif fragment:
                self._encode_fragment(fragment, number == 0, ids)
        return ids

    def piece(self, token):
        """The bytes that a token stands for: none for a special one or one past the vocabulary."""
        if not 0 <= token < self.size or self._record.kinds[token] == SPECIAL:
            return b""
        return self._pieces_of(token)

    def spelling(self, token):
        """How a token is written in a text, a special one too."""
        return self._pieces_of(token).decode(errors="replace") if 0 <= token < self.size else ""

    def pieces(self):
        """A function from each token of one answer, in order, to the bytes it adds."""
        return self.piece

    def decode(self, ids):
        """The text of all of `ids`; what is no UTF-8 becomes U+FFFD. A space put in front when encoding is dropped."""
        text = b"".join([self.piece(token) for token in ids]).decode(errors="replace")
        return text[1:] if self._record.space_prefix and text[:1] == " " else text

    def _pieces_of(self, token):
        return self._pieces[self._ends[token - 1] if token else 0 : self._ends[token]]

    def _literals(self):
        """Text -> id of the tokens that are looked for before anything else."""
        kinds, found = self._record.kinds, {}
        for kind in (SPECIAL, ADDED):
            at = kinds.find(kind)
            while at >= 0:
                if piece := self._pieces_of(at).decode(errors="replace"):
                    found[piece] = at
                at = kinds.find(kind, at + 1)
        return found

    def _fragments(self, text):
        """(part of the text, whether it is one token by itself) in order."""
        present = [literal for literal in self._found if literal in text]
        if not present:
            return [(text, False)]
        import re

        present.sort(key=len, reverse=True)
        parts = re.split("(" + "|".join(map(re.escape, present)) + ")", text)
        return [(part, at % 2 == 1) for at, part in enumerate(parts)]

    def _encode_fragment(self, text, first, ids):
        record = self._record
        if record.normal_form:
            from unicodedata import normalize

            text = normalize(record.normal_form, text)
        if record.space_prefix:
            text = _with_space(text.replace("\u2581", " "), record.space_prefix, first)
        if self._split is None:
            ids += self._merge(self._symbols(text))
            return
        known = self._known_words
        for word in self._split(text):
            found = known.get(word)
            if found is None:
                found = self._encode_word(word)
                if len(word) <= _LONGEST_WORD:
                    if len(known) >= _REMEMBERED_WORDS:
                        known.clear()
                    known[word] = found
            ids += found

    def _encode_word(self, word):
        if self._record.whole_pieces:
            if self._ids_of_pieces is None:
                self._ids_of_pieces = {self._pieces_of(i): i for i in range(self.size - 1, -1, -1)}
            if (whole := self._ids_of_pieces.get(word.encode(errors="surrogatepass"))) is not None:
                return [whole]
        return self._merge(self._symbols(word))

    def _symbols(self, text):
        """The ids to start from: of bytes, or of characters, with bytes or the unknown token for missing ones."""
        if self._by_bytes:
            byte_ids = self._byte_ids
            return [byte_ids[byte] for byte in text.encode()]
        chars = self._chars
        try:
            return [chars[letter] for letter in text]
        except KeyError:
            return [i for at, letter in enumerate(text) for i in self._symbols_of(letter, at)]

    def _symbols_of(self, letter, at):
        found = self._chars.get(letter)
        if found is not None:
            return (found,)
        if self._byte_ids:
            return [self._byte_ids[byte] for byte in letter.encode()]
        if self._record.unknown >= 0:
            return (self._record.unknown,)
        raise InputError(
            f"prompt: {letter!r} (U+{ord(letter):04X}), its character {at}, is not among the {len(self._chars)} "
            "characters that this model knows"
        )

    def _pair(self, left, right):
        """(rank, result) of the merge of two tokens; _NO_PAIR if there is none."""
        key = left << 32 | right
        found = self._known_pairs.get(key)
        if found is None:
            at = bisect_left(self._pairs, key)
            found = _NO_PAIR
            if at < len(self._pairs) and self._pairs[at] == key:
                result = self._results[at]
                found = (self._ranks[at] if self._ranks else result, result)
            if len(self._known_pairs) >= _REMEMBERED_PAIRS:
                self._known_pairs.clear()
            self._known_pairs[key] = found
        return found

    def _merge(self, ids):
        """Byte-pair merging: the pair of lowest rank first, the leftmost of equal ones. n log n: `ids` may be long."""
        if len(ids) < 2 or not self._pairs:
            return ids
        following, previous = list(range(1, len(ids) + 1)), list(range(-1, len(ids) - 1))
        following[-1] = -1
        heap = []

        def offer(left):
            right = following[left]
            rank, result = self._pair(ids[left], ids[right])
            if rank >= 0:
                heap.append((rank, left, ids[left], ids[right], result))

        for left in range(len(ids) - 1):
            offer(left)
        heapify(heap)
        while heap:
            _, at, left, right, result = heappop(heap)
            after = following[at]
            if ids[at] != left or after < 0 or ids[after] != right:
                continue  # one of the two was merged with another since
            ids[at], ids[after] = result, -1
            following[at] = beyond = following[after]
            if beyond >= 0:
                previous[beyond] = at
            for start in (previous[at], at):
                if start >= 0 and following[start] >= 0:
                    rank, merged = self._pair(ids[start], ids[following[start]])
                    if rank >= 0:
                        heappush(heap, (rank, start, ids[start], ids[following[start]], merged))
        return [i for i in ids if i >= 0]


def _words(record, name, code="I"):
    data, width = getattr(record, name), 8 if code == "Q" else 4
    if len(data) % width:
        raise ModelFormatError(f"tokenizer.{name} has {len(data):,} bytes, no multiple of {width}")
    return memoryview(data).cast(code)


def _ids(record, name, size):
    """Token ids, all below `size`."""
    ids = _words(record, name).tolist()
    if ids and max(ids) >= size:
        raise ModelFormatError(f"tokenizer.{name} names token {max(ids):,}; the vocabulary has {size:,}")
    return ids


def _check_pieces(record, ends):
    positions = ends.tolist()
    if not positions or positions[-1] != len(record.pieces) or positions != sorted(positions):
        raise ModelFormatError(
            f"tokenizer.ends does not cut the {len(record.pieces):,} bytes of tokenizer.pieces into tokens"
        )
    if len(record.kinds) != len(positions):
        raise ModelFormatError(f"tokenizer.kinds has {len(record.kinds):,} entries for {len(positions):,} tokens")
    if record.unknown >= len(positions):
        raise ModelFormatError(f"tokenizer.unknown is {record.unknown:,}; the vocabulary has {len(positions):,}")


def _merges(record, size):
    pairs, results, ranks = _words(record, "pairs", "Q"), _words(record, "results"), _words(record, "ranks")
    if len(results) != len(pairs) or len(ranks) not in (0, len(pairs)):
        raise ModelFormatError(
            f"tokenizer has {len(pairs):,} pairs, {len(results):,} results and {len(ranks):,} ranks; they go together"
        )
    _ids(record, "results", size)
    return pairs, results, ranks


def _splitter(record):
    if not record.patterns:
        return None
    from edgert.text import splitting

    unknown = [name for name in record.patterns if name not in splitting.RULES]
    if unknown:
        raise ModelFormatError(f"tokenizer.patterns has the unknown rule {unknown[0]!r} (newer file?)")
    return splitting.splitter(record.patterns)


def _longest(ends):
    positions = [0, *ends.tolist()]
    return max(map(int.__sub__, positions[1:], positions))


def _with_space(text, rule, first):
    if rule == "each" or (text[:1] != " " and (rule == "missing" or (rule == "first" and first))):
        return " " + text
    return text
