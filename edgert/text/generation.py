"""The loop that generates: a prompt into the caches, then one token after the other, as text that can be shown.

What the caches hold is kept between calls, so a prompt that begins as the last text did is not computed again.

When the context is full, the older half of its tokens is forgotten (but for the token that a text begins with) and the
newer half is computed again from position 0; then it goes on. A prompt must leave room for one token.
"""

from _thread import allocate_lock
from time import perf_counter_ns

from edgert.text.sampling import Sampler
from edgert.text.streaming import TextStream


class Piece(str):
    """Text that a token added, often a part of a word, sometimes "". token: its id. logit: the model's score of it."""

    __slots__ = ("token", "logit")


class Cache:
    """What the model's caches hold, and the only way to its logits.

    step: function (ids, position of the first) -> memoryview of float32, the logits after the last; it overwrites what
    the caches hold from that position on. context: how many tokens they hold. chunk: most ids for one step. gate: a
    context manager that is held during each step, or None: whoever shares the processor holds it to make text wait.
    """

    def __init__(self, step, context, chunk):
        self.context, self.chunk = context, chunk
        self.gate = None
        self._step = step
        self._tokens, self._owner = [], None
        self.lock = allocate_lock()

    def logits(self, ids, owner, cancelled=None):
        """The logits after `ids`, and how many of them were not computed again; None where `cancelled()` says so.

        owner: who asks; if it was the last to ask, its `ids` go on from what it gave then.
        """
        with self.lock:
            kept = len(self._tokens) if self._owner is owner else _shared(self._tokens, ids)
            kept = min(kept, len(ids) - 1)
            self._owner = None  # until all of it is done
            del self._tokens[kept:]
            logits = None
            for at in range(kept, len(ids), self.chunk):
                if cancelled is not None and cancelled():
                    return None, kept
                some = ids[at : at + self.chunk]
                logits = self._stepped(some, at)
                self._tokens += some
            self._owner = owner
            return logits, kept

    def _stepped(self, ids, position):
        if self.gate is None:
            return self._step(ids, position)
        with self.gate:
            return self._step(ids, position)

    def again(self, token=0):
        """Compute the last token once more, `token` where there is none: what is kept stays as it was. It shows that
        the model still computes; where somebody else does, nothing happens."""
        if self.lock.acquire(False):
            try:
                self._stepped(self._tokens[-1:] or [token], max(0, len(self._tokens) - 1))
            finally:
                self.lock.release()

    def disown(self):
        """The next question is compared with what is there, whoever asks."""
        self._owner = None


def _shared(one, other):
    """How many tokens two texts have in common at their beginning."""
    count = 0
    for a, b in zip(one, other):
        if a != b:
            break
        count += 1
    return count


class Generation:
    """An iterator over the `Piece`s of an answer. Joined, they are its text.

    tokens: ids so far. finish_reason: None while it goes on, then "eos", "stop", "length" or "cancelled".
    prompt_tokens, reused_tokens: of the prompt, and of it what the caches still held. prefill_ns, decode_ns: taken.
    """

    def __init__(self, language, ids, sampling, max_tokens, stops):
        self._language, self._ids = language, ids
        self._sampler = Sampler(sampling, language.size)
        self._stream = TextStream(stops)
        self._max_tokens, self._cancelled = max_tokens, False
        self.tokens, self.finish_reason = [], None
        self.prompt_tokens, self.reused_tokens = len(ids), 0
        self.prefill_ns = self.decode_ns = 0
        self._pieces = self._run()

    @property
    def prefilled(self):
        """Tokens of the prompt that were computed."""
        return self.prompt_tokens - self.reused_tokens

    @property
    def decoded(self):
        """Tokens after the first, which prefill gives."""
        return max(len(self.tokens) - 1, 0)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._pieces)

    def text(self):
        """The rest of the answer, in one."""
        return "".join(self)

    def cancel(self):
        """Stop before the next token; any thread may call it."""
        self._cancelled = True

    def _run(self):
        stream, piece = self._stream, self._language.pieces()
        logits = self._prefill()
        while logits is not None:
            token, logit = self._sampler.choose(logits, self._ids)
            self.tokens.append(token)
            if token in self._language.eos:
                self.finish_reason = "eos"
                break
            text = stream.feed(piece(token))
            if stream.stopped:
                self.finish_reason = "stop"
            elif len(self.tokens) >= self._max_tokens:
                self.finish_reason = "length"
            yield _piece(text, token, logit)
            if self.finish_reason:
                break
            logits = self._decode(token)
        self.finish_reason = self.finish_reason or "cancelled"
        if rest := stream.finish():
            yield _piece(rest, self.tokens[-1], logit)

    def _prefill(self):
        started = perf_counter_ns()
        logits, self.reused_tokens = self._language.cache.logits(self._ids, self, lambda: self._cancelled)
        self.prefill_ns += perf_counter_ns() - started
        return logits

    def _decode(self, token):
        """The logits after one more token; None if cancelled."""
        if self._cancelled:
            return None
        started, cache = perf_counter_ns(), self._language.cache
        self._ids.append(token)
        if len(self._ids) > cache.context:
            self._forget()
        logits, _ = cache.logits(self._ids, self)
        self.decode_ns += perf_counter_ns() - started
        return logits

    def _forget(self):
        """The context is full: keep the newer half."""
        cache = self._language.cache
        start = self._ids[:1] if self._ids[0] == self._language.bos else []
        self._ids = start + self._ids[-(cache.context // 2) :]
        cache.disown()


def _piece(text, token, logit):
    piece = Piece(text)
    piece.token, piece.logit = token, logit
    return piece
