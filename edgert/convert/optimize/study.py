"""An ablation: every stage alone, all of them, and all but each one, measured together."""

import platform
import sys
import time

from edgert import __version__, machine
from edgert.convert.optimize.layers import layers
from edgert.convert.optimize.measure import measure_together
from edgert.convert.optimize.target import check, parse_target
from edgert.errors import InputError
from edgert.format import writer
from edgert.session import Session


def study(
    begin, stages, target, *, problem="", title="", peers=(), threads=1, turns=7, seconds=0.2, seed=None, progress=None
):
    """The record of a study: plain dicts, lists and numbers, ready for JSON and `edgert.convert.report`.

    begin: the Candidate of `start`. stages: {name: function(candidate) -> (candidate, measurement)}, applied in this
    order; pass measured=False in them, as everything is measured here, side by side. target: see `target.check`.
    peers: `measure.Peer`s that take turns with the variants. progress: called with a line about what is made next.
    Raises: InputError for a target or stages that cannot be; whatever a stage raises.
    """
    target = parse_target(target)
    if not stages:
        raise InputError("a study needs at least one stage")
    variants = {"baseline": ()}
    variants |= {f"{name} alone": (name,) for name in stages}
    variants["all"] = tuple(stages)
    if len(stages) > 2:
        variants |= {f"all but {left_out}": tuple(n for n in stages if n != left_out) for left_out in stages}
    made = _make(begin, stages, variants, progress)
    if progress:
        progress(f"measuring {len(made)} variants, {turns} turns of {seconds:g} s each")
    measured = measure_together(list(made.values()), threads, turns, seconds, peers)
    found, beside = dict(zip(made, measured)), measured[len(made) :]
    verdicts = check(found["all"], target)
    return {
        "kind": "study",
        "title": title,
        "problem": problem,
        "target": target,
        "verdicts": [{"name": v.name, "wanted": v.wanted, "found": v.found, "passed": v.passed} for v in verdicts],
        "variants": {name: measurement.as_dict() for name, measurement in found.items()},
        "peers": [{"name": peer.name, **measurement.as_dict()} for peer, measurement in zip(peers, beside)],
        "layers": _layers(made["all"], threads),
        "rows": len(begin.data.x),
        "how": {"threads": threads, "turns": turns, "turn_seconds": seconds, "seed": seed},
        "machine": surroundings(),
    }


def _layers(candidate, threads):
    """Node by node of an int8 candidate beside its float network; nothing where PyTorch runs it."""
    if candidate.runner.startswith("PyTorch"):
        return []
    float_graph = None
    if candidate.network is not None:
        from edgert.convert import from_torch

        float_graph = from_torch(candidate.network, candidate.example)
    session = Session(writer.to_bytes(candidate.graph), threads=threads)
    return layers(session, float_graph, candidate.data.x)


def _make(begin, stages, variants, progress):
    """{variant: Candidate}; what two variants share is made once."""
    made = {(): begin}

    def through(names):
        if names not in made:
            if progress:
                progress(f"making {' + '.join(names)}")
            made[names] = stages[names[-1]](through(names[:-1]))[0]
        return made[names]

    return {name: through(names) for name, names in variants.items()}


def surroundings():
    """What the figures were taken on and with."""
    from importlib import metadata

    versions = {}
    for package in ("numpy", "torch", "onnxruntime", "ai-edge-litert"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    memory = machine.memory_bytes()
    return {
        "cpu": machine.cpu_model() or platform.machine(),
        "features": machine.cpu_features(),
        "memory_gib": round(memory[0] / 2**30, 1) if memory else None,
        "system": platform.platform(),
        "pi": machine.pi_model(),
        "edgert": __version__,
        "python": platform.python_version(),
        "versions": versions,
        "command": " ".join(sys.orig_argv),
        "taken": time.strftime("%Y-%m-%d", time.gmtime()),
    }
