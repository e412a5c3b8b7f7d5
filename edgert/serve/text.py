"""A language model that answers prompts: the queue in front of it, its routes, and what it says of itself."""

import os
from time import monotonic

from edgert.serve.web.answers import Answerer
from edgert.serve.web.metrics import Durations


class Text:
    """name: of the model's file. gate: the Gate. answered: is told the nanoseconds of each answer.

    answers: how many prompts were answered, the warm-up included. check_s: what check() takes.

    Raises: InputError if the model does not generate.
    """

    task = "generate"

    def __init__(self, model, name, gate, answered):
        self.name, self.model, self.answers, self.last_answer = name, model, 0, None
        called = model.session.graph.name or os.path.basename(name).removesuffix(".bin")
        self.answerer = Answerer(model.language, called, gate.text)
        self.answerer.on_answer, self._tell = self._answered, answered
        self.durations, self.check_s = Durations(), 0.0
        self.answerer.warm_up()
        self.answers, self.last_answer = 1, monotonic()

    def check(self):
        """Compute the last token again, so that what the caches hold stays; nothing while a prompt is answered."""
        self.model.language.cache.again()

    def slowest_step_s(self):
        """One run takes a part of a prompt."""
        return self.check_s * self.model.language.cache.chunk

    def close(self, seconds):
        self.answerer.close(seconds)

    def reasons(self):
        return []

    def describe(self):
        return {"prompts": self.answerer.state()}

    def status(self):
        """'12 prompts answered, 41 tokens a second'"""
        state = self.answerer.state()
        speed = state["decode_tokens_per_s"]
        return f"{state['answers']} prompts answered" + (f", {speed:.0f} tokens a second" if speed else "")

    def routes(self, path):
        """path: where its page is."""
        from edgert.serve.web import openai, prompt

        return [*openai.routes(self.answerer), *prompt.routes(self.answerer, path)]

    def _answered(self, elapsed_ns, tokens):
        self.durations.add(elapsed_ns)
        self._tell(elapsed_ns)
        self.answers += 1
        self.last_answer = monotonic()
