"""Deployments that are killed at random moments, on either side: afterwards the board has the old release or the new.

A few kills in every run of the suite; `make test-faults` does 200 of them and prints what they met.
"""

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from fake_board import UNIT, FakeBoard, make_wheel

from edgert.errors import DeployError

# A desktop of its own, so that it can be killed without its board.
_DESKTOP = """
import json, sys
from edgert.deploy import steps
from edgert.deploy.host import Host
from edgert.deploy.units import Unit
ssh, options, model, wheels = json.loads(sys.argv[1])
steps.check_model, steps.findings = lambda *_: None, lambda *_: []
unit = Unit("camera")
unit.socket = unit.extras = ""
say = lambda step, text: print(step, flush=True)
with Host("board", (ssh,), options) as host:
    steps.deploy(host, model, wheel_folder=wheels, service=unit, health_s=0.2, say=say)
"""
STEPS = ("begin", "preflight", "transfer", "install", "self-test", "switch", "start", "health")
_ALL_OVER_S = 600  # making an environment takes minutes on a busy machine


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    return FakeBoard(tmp_path_factory.mktemp("board"))


def test_after_a_few_kills_the_old_release_or_the_new_one_runs(board, tmp_path):
    kill_deployments(board, tmp_path, 4, seed=1)


@pytest.mark.faults
def test_after_200_kills_the_old_release_or_the_new_one_runs(board, tmp_path, capsys):
    met = kill_deployments(board, tmp_path, 200, seed=0, new_software_every=10)
    with capsys.disabled():
        print()
        for (side, where), count in sorted(met.items()):
            print(f"  {side} killed {where} {count} times")
    assert min(met[side, f"then {state}"] for side in ("desktop", "board") for state in ("old", "new")) > 0
    assert min(met[side, f"after {step}"] for side in ("desktop", "board") for step in STEPS[:-1]) > 0


def kill_deployments(board, folder, times, seed, new_software_every=None):
    """Counts of (side that was killed, "after" the step it had named last or "then" what ran).

    Each kill waits for a step, chosen evenly, and for a part of what the next one took when nobody was killed: so all
    steps are met, on a machine of any speed. A deployment that ended before it was killed does not count.
    """
    choose, met = random.Random(seed), Counter()
    model, number, killed = folder / "model.bin", 0, 0
    gaps, install_s = {}, 0.0
    while killed < times:
        software = bool(new_software_every) and number % new_software_every == 2
        if software:
            make_wheel(board.wheels, f"1.{number}")
        model.write_bytes(b"GOOD %d " % number + bytes(10_000))
        old = board.running()
        if number < 2:  # let through, and timed: one that makes an environment, one that reuses it
            gaps = time_steps(board, model)
            install_s = max(install_s, gaps["transfer"])
        else:
            side, step = choose.choice(("desktop", "board")), choose.choice(STEPS)
            gap_s = install_s if software and step == "transfer" else gaps[step]
            hit = deploy_and_kill(board, model, side, step, choose.random() * gap_s)
            recover(board)
            state = check(board, old, model)
            if hit:
                killed += 1
                met[side, f"then {state}"] += 1
                met[side, f"after {step}"] += 1
        number += 1
    return met


def time_steps(board, model):
    """Step -> seconds from its end to that of the next one."""
    times = [("begin", time.monotonic())]
    with desktop_of(board, model) as desktop:
        times += [(line.strip(), time.monotonic()) for line in desktop.stdout]
    assert [step for step, _ in times] == list(STEPS)
    ends = [when for _, when in times[1:]] + [time.monotonic()]
    return {step: end - when for (step, when), end in zip(times, ends)}


def deploy_and_kill(board, model, side, step, delay_s):
    """Kill one side `delay_s` after the desktop has named `step`. Gives whether there was something to kill."""
    with desktop_of(board, model) as desktop:
        if step != "begin":
            next((line for line in desktop.stdout if line.strip() == step), None)
        try:
            desktop.wait(delay_s)
            victims = []
        except subprocess.TimeoutExpired:
            victims = [desktop.pid] if side == "desktop" else descendants(desktop.pid)
        for process in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        desktop.stdout.read()
    while (
        desktop.pid in session_of_each().values()
    ):  # what the board has begun, it finishes: before that nothing is over
        time.sleep(0.02)
    return bool(victims)


def desktop_of(board, model):
    """A deployment in a process of its own, that prints its steps."""
    task = json.dumps([str(board.ssh), [str(word) for word in board.options], str(model), str(board.wheels)])
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    return subprocess.Popen([sys.executable, "-c", _DESKTOP, task], start_new_session=True, **quiet)


def descendants(process):
    """Processes that a process started, and those that they started."""
    parents, found = stat_of_each(1), {process}
    for _ in range(8):  # ssh, shell, board, pip, its children
        found |= {child for child, parent in parents.items() if parent in found}
    return found - {process}


def session_of_each():
    return stat_of_each(3)


def stat_of_each(field):
    """Process -> one number of its line in /proc, counted from its state."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{entry}/stat") as file:
                state, *numbers = file.read().rpartition(")")[2].split()
                if state != "Z":
                    found[int(entry)] = int(numbers[field - 1])
    return found


def recover(board):
    """What the next deployment, the timer or the next start of the board does."""
    end = time.monotonic() + _ALL_OVER_S
    with board.host() as host:
        host.send_program()
        while True:
            try:
                return host.call("recover")
            except DeployError as error:
                if "another deployment" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.1)


def check(board, old, model):
    """old or new; every promise about the state of the board holds."""
    release, _, state = board.running()
    current = board.root / "releases" / release
    spec = json.loads((current / "release.json").read_text())
    data = (current / "model.bin").read_bytes()
    assert hashlib.sha256(data).hexdigest() == spec["model"]
    assert subprocess.run([current / "venv/bin/edgert", "verify", current / "model.bin"], check=False).returncode == 0
    running = json.loads((board.folder / f"{UNIT}.json").read_text())
    assert (state, running["release"]) == ("active", release), "the unit runs what is current"
    assert not board.leftovers()
    assert (board.units / UNIT).resolve() == current / UNIT
    if data == model.read_bytes():
        return "new"
    assert release == old[0], "neither the old release nor the new one"
    return "old"
