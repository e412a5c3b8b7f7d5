"""A language model's face: prompts in, answers out."""

from edgert.errors import InputError, ModelFormatError
from edgert.text.generation import Cache, Generation
from edgert.text.sampling import Sampling, check_count

MAX_TOKENS = 1_000_000
PREFILL_CHUNK = 128  # tokens of one run: more gain nothing, and what lies between the operators grows with them


def language(text, vocabulary, step):
    """The `Language` of a model.

    text: its `graph.Text`. vocabulary: logits it gives. step: as `Cache` takes it.
    Raises: ModelFormatError if the tokenizer is damaged or names what the model does not have.
    """
    if text.context < 2:
        raise ModelFormatError(f"text.context is {text.context:,}; a prompt and one token need 2")
    ends = (text.bos, *text.eos) if text.bos >= 0 or text.add_bos else text.eos
    for token in ends:
        if not 0 <= token < vocabulary:
            raise ModelFormatError(f"text.bos or text.eos is token {token:,}; the model has {vocabulary:,}")
    tokenizer = _tokenizer(text) if text.tokenizer is not None else None
    if tokenizer is not None and tokenizer.size > vocabulary:
        raise ModelFormatError(f"the tokenizer has {tokenizer.size:,} tokens and the model {vocabulary:,}")
    size = vocabulary if tokenizer is None else tokenizer.size
    return Language(text, tokenizer, Cache(step, text.context, PREFILL_CHUNK), size)


def _tokenizer(text):
    if text.tokenizer.library:
        from edgert.text.library import LibraryTokenizer

        return LibraryTokenizer(text)
    from edgert.text.tokenizer import Tokenizer

    return Tokenizer(text)


class Language:
    """A language model's face: its tokenizer, its caches, and answers to prompts.

    tokenizer: a `Tokenizer` (or what has its methods) or None; size: tokens it may choose from; cache: a `Cache`.
    """

    def __init__(self, text, tokenizer, cache, size):
        self.tokenizer, self.cache, self.size = tokenizer, cache, size
        self.eos = frozenset(text.eos)
        self.bos = text.bos if text.add_bos else None
        self._text, self._template = text, None

    def generate(self, prompt, max_tokens=256, stop=(), **sampling):
        """A `Generation` that answers `prompt`, a text or a list of token ids. sampling: fields of `Sampling`.

        Raises: InputError naming the argument that is wrong.
        """
        check_count("max_tokens", max_tokens, 1, MAX_TOKENS)
        return Generation(self, self.prompt_ids(prompt), Sampling(**sampling), max_tokens, stop)

    def prompt_ids(self, prompt):
        """The token ids of a prompt. Raises: InputError."""
        ids = self._encoded(prompt) if isinstance(prompt, str) else self._checked(prompt)
        if not ids:
            raise InputError("prompt is empty, and this model has no token that a text begins with")
        if len(ids) >= self.cache.context:
            raise InputError(
                f"prompt has {len(ids):,} tokens; the model's context holds {self.cache.context:,}, one must stay free"
            )
        return ids

    def conversation(self, messages):
        """(text that an answer goes on with, strings that end it) for messages of role and content (text/chat.py).

        Raises: InputError naming the message that is wrong, ModelFormatError if the model's chat template is damaged.
        """
        from edgert.text import chat

        messages = chat.check_messages(messages)
        if not self._text.chat_template:
            return chat.plain(messages), chat.PLAIN_STOPS
        if self._template is None:
            from edgert.text.template import template

            ends = [self._spelled(token) for token in self._text.eos]
            self._begins = self._spelled(self._text.bos)
            self._template = template(
                self._text.chat_template, bos_token=self._begins, eos_token=ends[0] if ends else ""
            )
        prompt = self._template(messages)
        # A template that writes the first token itself means it once.
        return prompt.removeprefix(self._begins) if self.bos is not None else prompt, ()

    def _spelled(self, token):
        return "" if token < 0 or self.tokenizer is None else self.tokenizer.spelling(token)

    def pieces(self):
        """A function from each token of one answer, in order, to the bytes it adds."""
        return (lambda token: b"") if self.tokenizer is None else self.tokenizer.pieces()

    def _encoded(self, prompt):
        if self.tokenizer is None:
            raise InputError("prompt is a text, but this model has no tokenizer: give token ids")
        # A bound that needs no tokenizing: 10 MB are refused at once.
        least = len(prompt) // self.tokenizer.most_characters
        if least >= self.cache.context:
            raise InputError(
                f"prompt has {len(prompt):,} characters, at least {least:,} tokens; the model's context holds "
                f"{self.cache.context:,}"
            )
        try:
            prompt.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"prompt is not valid UTF-8 at its character {error.start}") from None
        return self.tokenizer.encode(prompt, start=True)

    def _checked(self, prompt):
        try:
            ids = list(prompt)
        except TypeError:
            raise InputError(f"prompt is {type(prompt).__name__}; it must be a text or token ids") from None
        for at, token in enumerate(ids):
            if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < self.size:
                raise InputError(
                    f"prompt[{at}] is {token!r:.40}; token ids are whole numbers from 0 to {self.size - 1:,}"
                )
        return ids
