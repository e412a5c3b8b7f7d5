"""A process per runtime, all of them loaded and warm, that answers a line with a line of JSON when it is its turn."""

import json
import os
import subprocess
import sys


class Worker:
    """A process that waits for its turn. ready: its first answer, a dict; with "left_out" where it ended instead."""

    def __init__(self, words, environment):
        self.process = subprocess.Popen(
            [sys.executable, *map(str, words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=os.environ | environment,
        )  # fmt: skip
        self.ready = self._answer()

    def ask(self, *words):
        """Its answer to a line of these words."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"left_out": f"its process ended with {self.process.wait()}"}

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
