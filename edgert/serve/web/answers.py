"""Prompts answered one after the other by one thread; a few may wait their turn, the rest are told to come again.

One at a time, because a language model on a small board is bound by memory: two answers in turns would each be half as
fast and throw each other's caches away.
"""

import asyncio
import threading
from collections import deque
from time import perf_counter_ns

from edgert.errors import EdgertError, InputError
from edgert.messages import say

WAITING = 8  # prompts that may wait
MAX_TOKENS = 32_768  # of one answer
_LONGEST_WAIT_S = 60


class Busy(EdgertError):
    """As many prompts wait as may; `retry_after_s`: when to try again."""

    def __init__(self, waiting, retry_after_s):
        super().__init__(f"{waiting} prompts wait already; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Stopping(EdgertError):
    """The service ends before the answer does."""


class Answer:
    """An answer on its way from the answerer's thread to one reader in an event loop.

    generation: the `Generation` that makes it; None before its turn.
    """

    def __init__(self, begin):
        self._begin, self._loop = begin, asyncio.get_running_loop()
        self._pieces, self._news, self._told = deque(), asyncio.Event(), False
        self._cancelled = self._done = False
        self._error, self.generation = None, None

    async def batches(self):
        """Texts as they come, what came since the last one in one; ends with the answer.

        Raises: InputError naming the field that is wrong, Stopping, or what went wrong in the model.
        """
        while True:
            await self._news.wait()
            self._news.clear()
            self._told = False  # before looking: what comes from here on tells again
            done, text = self._done, self._taken()
            if text:
                yield text
            if done:
                break
        if self._error is not None:
            raise self._error

    def cancel(self):
        """Nobody reads it any more: it ends before its next token. Any thread may call it."""
        self._cancelled = True
        if self.generation is not None:
            self.generation.cancel()

    @property
    def cancelled(self):
        return self._cancelled

    def make(self, language):
        """Make all of it; the answerer's thread calls this."""
        self.generation = self._begin(language)
        if self._cancelled:  # it was cancelled before there was a generation to tell
            self.generation.cancel()
        for piece in self.generation:
            if piece:
                self._pieces.append(piece)
                self._tell()

    def end(self, error=None):
        self._error, self._done = error, True
        self._tell()

    def _taken(self):
        texts = []
        while self._pieces:
            texts.append(self._pieces.popleft())
        return "".join(texts)

    def _tell(self):
        # Waking the loop for each of thousands of tokens a second costs more than the tokens.
        if self._told and not self._done:
            return
        self._told = True
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the loop has ended, and with it whoever read
            self.cancel()


class Answerer:
    """The thread, and what waits for it.

    language: a `text.language.Language`; name: what the model is called. gate: a context manager that is held during
    each step of the model, or None. waiting: how many prompts may wait. on_answer: called after each answer with its
    nanoseconds and tokens.
    """

    def __init__(self, language, name, gate=None, waiting=WAITING):
        self.language, self.name, self._most = language, name, waiting
        language.cache.gate = gate
        self.on_answer = lambda elapsed_ns, tokens: None
        self._changed, self._waiting, self._running, self._closed = threading.Condition(), deque(), None, False
        self._mean_s = 0.0
        self.counts = {"answers": 0, "failed": 0, "cancelled": 0, "refused": 0, "prompt_tokens": 0, "tokens": 0}
        self._speeds = {"prefill_tokens_per_s": None, "decode_tokens_per_s": None}
        self._thread = threading.Thread(target=self._work, name="edgert-answers", daemon=True)
        self._thread.start()

    def warm_up(self):
        """Make one token, so that a first answer comes at once. Raises: what is wrong with the model."""
        start = self.language.bos
        for _ in self.language.generate([0 if start is None else start], max_tokens=1, temperature=0):
            pass

    def submit(self, begin):
        """An `Answer`; call it in the event loop that reads it.

        begin: function from a Language to a Generation, called when its turn comes.
        Raises: Busy, Stopping.
        """
        with self._changed:
            if self._closed:
                raise Stopping("the service is stopping")
            if len(self._waiting) >= self._most:
                self.counts["refused"] += 1
                raise Busy(len(self._waiting), self._retry_after_s())
            answer = Answer(begin)
            self._waiting.append(answer)
            self._changed.notify()
        return answer

    def leave(self, answer):
        """Whoever asked is gone."""
        answer.cancel()
        with self._changed:
            if answer in self._waiting:
                self._waiting.remove(answer)
                self.counts["cancelled"] += 1

    def state(self):
        """Figures for people, /health and metrics."""
        with self._changed:
            waiting, running = len(self._waiting), self._running
        found = {"model": self.name, "waiting": waiting, "running": int(running is not None)}
        if running is not None and (made := running.generation) is not None:
            speed = made.decoded * 1e9 / made.decode_ns if made.decode_ns else None
            found["now"] = {"tokens": len(made.tokens), "decode_tokens_per_s": speed and round(speed, 1)}
        return {**found, **self._speeds, **self.counts}

    def close(self, seconds=5.0):
        """Refuse what waits, give the running answer `seconds` to end, then cancel it."""
        with self._changed:
            self._closed = True
            left, running = list(self._waiting), self._running
            self._waiting.clear()
            self._changed.notify()
        for answer in left:
            answer.end(Stopping("the service is stopping"))
        self._thread.join(seconds)
        if running is not None:
            running.cancel()
        self._thread.join(seconds)

    def _retry_after_s(self):
        """When the queue has probably moved on, from what answers took so far."""
        return min(max(1, round(self._mean_s * (len(self._waiting) + 1))), _LONGEST_WAIT_S)

    def _work(self):
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                answer = self._running = self._waiting.popleft()
            self._answer(answer)
            with self._changed:
                self._running = None

    def _answer(self, answer):
        started = perf_counter_ns()
        try:
            answer.make(self.language)
            error = Stopping("the service is stopping") if answer.cancelled else None
        except EdgertError as failure:
            error = failure
        except Exception as failure:  # whatever one prompt does, the next one is answered
            say(f"a prompt ended in {type(failure).__name__}: {failure}")
            error = EdgertError(f"the model failed: {type(failure).__name__}")
        self._count(answer, error, perf_counter_ns() - started)
        answer.end(error)

    def _count(self, answer, error, elapsed_ns):
        counts, made = self.counts, answer.generation
        if isinstance(error, InputError):
            return  # the client's fault
        counts["cancelled" if answer.cancelled else "answers" if error is None else "failed"] += 1
        if made is None:
            return
        counts["prompt_tokens"] += made.prompt_tokens
        counts["tokens"] += len(made.tokens)
        for kind, tokens, taken_ns in (
            ("prefill", made.prefilled, made.prefill_ns), ("decode", made.decoded, made.decode_ns)
        ):  # fmt: skip
            if taken_ns and tokens:
                self._speeds[f"{kind}_tokens_per_s"] = round(tokens * 1e9 / taken_ns, 1)
        self._mean_s += (elapsed_ns / 1e9 - self._mean_s) * (0.2 if self._mean_s else 1)
        self.on_answer(elapsed_ns, len(made.tokens))
