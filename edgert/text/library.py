"""A tokenizer.json that says more than the model file's own arrays can: run by the package `tokenizers`."""

from edgert.errors import ModelFormatError
from edgert.optional import require


class LibraryTokenizer:
    """What `Tokenizer` is, for a record with `library`.

    Raises: EdgertError if the package is missing, ModelFormatError if it cannot read the tokenizer.
    """

    most_characters = 1_024  # more than the longest token of any vocabulary

    def __init__(self, text):
        self._package = require("tokenizers", "this model's tokenizer")
        try:
            self._tokenizer = self._package.Tokenizer.from_buffer(text.tokenizer.library)
        except Exception as error:  # the package raises plain Exception
            raise ModelFormatError(f"tokenizer.library: the package tokenizers cannot read it: {error}") from None
        self.bos = text.bos if text.add_bos else None
        self.size = len(text.tokenizer.kinds)

    def encode(self, text, start=False):
        """The ids of a text. start: with the token that a text begins with, where the model wants one."""
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [self.bos, *ids] if start and self.bos is not None else ids

    def decode(self, ids):
        """The text of all of `ids`."""
        return self._tokenizer.decode(list(ids))

    def spelling(self, token):
        """How a token is written in a text, a special one too."""
        return self._tokenizer.id_to_token(token) or ""

    def pieces(self):
        """A function from each token of one answer, in order, to the bytes it adds."""
        stream = self._package.decoders.DecodeStream(skip_special_tokens=True)
        return lambda token: (stream.step(self._tokenizer, token) or "").encode()
