"""How text is cut before its pieces are merged: named rules, because an expression from a file could hang the reader.

The rules speak of Unicode's letters and numbers, which Python's `re` does not know. So each character is first mapped
to an ASCII one of its class (a letter to `a`, a number to `0`, a space to a tab, all else to `!`; ASCII to itself), the
rule is matched on that, and the cuts are made in the text.

Source: the `pre_tokenizer` of the tokenizer.json of GPT-2, Llama 3 and Qwen2; Digits of the package `tokenizers`.
"""

import re
from unicodedata import category

_LETTERS, _NUMBERS = "a-zA-Z", "0-9"
_WORDS = (
    rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n{_LETTERS}{_NUMBERS}]?[{_LETTERS}]+|[{_NUMBERS}]{{1,%d}}"
    rf"| ?[^\s{_LETTERS}{_NUMBERS}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
RULES = {
    "gpt2": rf"'s|'t|'re|'ve|'m|'ll|'d| ?[{_LETTERS}]+| ?[{_NUMBERS}]+| ?[^\s{_LETTERS}{_NUMBERS}]+|\s+(?!\S)|\s+",
    "llama3": _WORDS % 3,
    "qwen2": _WORDS % 1,
    "digits": rf"[{_NUMBERS}]|[^{_NUMBERS}]+",
}
_SPACES = {
    0x85,
    0xA0,
    0x1680,
    *range(0x2000, 0x200B),
    0x2028,
    0x2029,
    0x202F,
    0x205F,
    0x3000,
}  # White_Space above ASCII


class _Classes(dict):
    """Code point -> the ASCII character that stands for its class."""

    def __missing__(self, point):
        letter = chr(point)
        if point < 128:
            found = letter
        elif letter.isalpha():
            found = "a"
        elif category(letter)[0] == "N":
            found = "0"
        else:
            found = "\t" if point in _SPACES else "!"
        self[point] = found
        return found


_classes = _Classes()


def splitter(names):
    """The function from a text to the list of its pieces by the rules `names`, one after the other."""
    find = [re.compile(RULES[name], re.ASCII).finditer for name in names]

    def split(text):
        spans, classes = [(0, len(text))], text.translate(_classes)
        for matches in find:
            # A piece is matched by itself: a look-ahead may not see past its end.
            spans = [
                (start + match.start(), start + match.end())
                for start, end in spans
                for match in matches(classes[start:end])
            ]
        return [text[start:end] for start, end in spans]

    return split
