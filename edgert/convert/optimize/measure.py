"""Measures candidates: accuracy over all rows here, time and memory in a process for each, all taking turns."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field

import numpy as np

from edgert.convert.optimize.words import to_words
from edgert.errors import ConversionError
from edgert.format import writer
from edgert.macs import node_macs
from edgert.model import load

ROWS = 64  # different inputs that times are taken with
BATCH = 250


@dataclass(frozen=True)
class Peer:
    """Another runtime's own file of the same network, to be measured beside the candidates.

    runner: "LiteRT" or "ONNX Runtime". quant: (scale, zero point) of an int8 ONNX model's input, None for float.
    """

    name: str
    runner: str
    path: str
    quant: tuple | None = None


@dataclass(frozen=True)
class Measurement:
    """accuracy: percent of all rows, None without labels. latency_ms: median for an input not seen before; repeat_ms:
    for one seen just now. least_ms: the fastest. memory_mb: peak resident memory of a process that runs only this.
    size_mb: of the model file (float weights: of these numbers in float32), in millions of bytes.
    """

    runner: str
    stages: tuple
    accuracy: float | None
    latency_ms: float
    least_ms: float
    repeat_ms: float
    first_ms: float
    memory_mb: float
    size_mb: float
    macs: int | None
    parameters: int | None
    answers: int
    resources: list = field(repr=False, compare=False, default_factory=list)

    def as_dict(self):
        return asdict(self)


def measure(candidate, threads=1, turns=3, seconds=0.2):
    """The Measurement of one candidate."""
    return measure_together([candidate], threads, turns, seconds)[0]


def measure_together(candidates, threads=1, turns=7, seconds=0.2, peers=()):
    """A Measurement of each candidate, and after them of each Peer; every one warm in a process of its own, and they
    take turns, so that a machine whose speed drifts is unfair to none.

    Raises: ConversionError with the end of its stderr for one that does not run.
    """
    with tempfile.TemporaryDirectory() as root:
        workers = []
        try:
            for at, candidate in enumerate([*candidates, *peers]):
                workers.append(_Worker(candidate, os.path.join(root, str(at)), threads, candidates[0].data))
            times = _in_turns(workers, turns, seconds)
            scores = [accuracy(candidate) for candidate in candidates]
            scores += _accuracy_of_peers(workers[len(candidates) :], candidates[0].data, root)
            ends = [worker.ask("end") for worker in workers]
        finally:
            for worker in workers:
                worker.stop()
    return [_measurement(*row) for row in zip([*candidates, *peers], workers, times, scores, ends)]


def _in_turns(workers, turns, seconds):
    for worker in workers:
        worker.ask(f"run {seconds}")  # warm
    times = [[] for _ in workers]
    for turn in range(turns):
        order = list(range(len(workers)))
        for at in order[turn % len(order) :] + order[: turn % len(order)]:
            times[at].append(workers[at].ask(f"run {seconds}"))
    return times


def _accuracy_of_peers(workers, data, root):
    if data.y is None or not workers:
        return [None for _ in workers]
    path = os.path.join(root, "data.npz")
    np.savez(path, x=data.x, y=data.y)
    return [worker.ask(f"accuracy {path}")["accuracy"] for worker in workers]


def _measurement(subject, worker, turns, score, end):
    fresh, again = ([ns for turn in turns for ns in turn[key]] for key in ("fresh_ns", "again_ns"))
    return Measurement(
        runner=subject.runner,
        stages=() if isinstance(subject, Peer) else subject.stages,
        accuracy=score,
        latency_ms=float(np.median(fresh)) / 1e6,
        least_ms=min(fresh) / 1e6,
        repeat_ms=float(np.median(again)) / 1e6,
        first_ms=worker.ready["first_ms"],
        memory_mb=end["peak_rss_mb"] * 1.048576,
        answers=len(fresh) + len(again),
        resources=end["resources"],
        **_sizes(subject),
    )


def _sizes(subject):
    if isinstance(subject, Peer):
        return {"size_mb": os.path.getsize(subject.path) / 1e6, "macs": None, "parameters": None}
    graph = subject.graph
    macs = sum(node_macs(node, graph.tensors) for node in graph.nodes)
    return {"size_mb": size_bytes(subject) / 1e6, "macs": macs, "parameters": subject.parameters}


def size_bytes(candidate):
    """Of the model file; for a PyTorch network four bytes a parameter, which is what its state takes at least."""
    if candidate.runner.startswith("PyTorch"):
        return 4 * candidate.parameters
    return len(writer.to_bytes(candidate.graph))


def accuracy(candidate):
    """Percent of the rows whose largest output is the label's, None without labels.

    An int8 model is asked in the fastest tier, whichever runs it otherwise: all tiers give the same words.
    """
    data = candidate.data
    if data.y is None:
        return None
    answers = _torch_answers(candidate) if candidate.runner.startswith("PyTorch") else _graph_answers(candidate)
    return 100.0 * float(np.mean(answers == data.y))


def _torch_answers(candidate):
    import torch

    x = torch.from_numpy(candidate.data.x)
    x = x.permute(0, 3, 1, 2) if x.ndim == 4 else x
    with torch.no_grad():
        return torch.cat([candidate.network(part).argmax(1) for part in x.split(BATCH)]).numpy()


def _graph_answers(candidate):
    model = load(writer.to_bytes(candidate.graph), threads=1)
    tensor = model.inputs[0]
    rows = (to_words(tensor, row[None]).reshape(tensor.shape) for row in candidate.data.x)
    return np.array([int(np.argmax(model(row))) for row in rows])


class _Worker:
    """A candidate or peer in its own process."""

    def __init__(self, subject, folder, threads, data):
        os.mkdir(folder)
        _write_job(subject, folder, threads, data)
        self._name = getattr(subject, "name", subject.runner)
        self._errors = open(os.path.join(folder, "errors"), "w+")  # noqa: SIM115 - closed in stop
        # In another folder, because `-m` would import edgert from a checkout that it is started in.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edgert.convert.optimize.worker", folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )  # fmt: skip
        self.ready = self._answer()

    def ask(self, command):
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; its last words follow
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._errors.seek(0)
        last = (self._errors.read().strip().splitlines() or ["without a word"])[-1]
        raise ConversionError(f"{self._name} does not run this model: {last}")

    def stop(self):
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._errors.close()


def _write_job(subject, folder, threads, data):
    job = {"runner": subject.runner, "threads": threads, "entries": getattr(subject, "entries", 0), "quant": None}
    if isinstance(subject, Peer):
        job |= {"path": os.path.abspath(subject.path), "quant": subject.quant}
    elif subject.runner.startswith("PyTorch"):
        import torch

        job["path"] = os.path.join(folder, "network.pt2")  # a program: the worker need not find its class
        torch.export.save(torch.export.export(subject.network, subject.example), job["path"])
    else:
        job["path"] = os.path.join(folder, "model.bin")
        writer.write(subject.graph, job["path"])
    np.save(os.path.join(folder, "rows.npy"), data.x[:ROWS])
    with open(os.path.join(folder, "job.json"), "w") as file:
        json.dump(job, file)
