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
_ALL_OVER_S = 600  # making an environment takes minutes on a busy machine


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    return FakeBoard(tmp_path_factory.mktemp("board"))


def test_after_a_few_kills_the_old_release_or_the_new_one_runs(board, tmp_path):
    kill_deployments(board, tmp_path, 4, seed=1)


@pytest.mark.faults
def test_after_200_kills_the_old_release_or_the_new_one_runs(board, tmp_path, capsys):
    met = kill_deployments(board, tmp_path, 200, seed=0, new_software_every=20)
    assert min(met[side, state] for side in ("desktop", "board") for state in ("old", "new")) > 0
    with capsys.disabled():
        print()
        for (side, state), count in sorted(met.items()):
            print(f"  {side} killed: {state} {count} times")


def kill_deployments(board, folder, times, seed, new_software_every=None):
    """Counts of (side that was killed, release that ran afterwards), and of (side, "last step seen: ...")."""
    choose, met = random.Random(seed), Counter()
    whole_s = {}
    for number in range(times + 1):
        software = bool(new_software_every) and number % new_software_every == 1
        if software:
            make_wheel(board.wheels, f"1.{number}")
        model = folder / "model.bin"
        model.write_bytes(b"GOOD %d " % number + bytes(10_000))
        old = board.running()
        if not number:  # the first one is let through, and timed
            whole_s[False] = deploy_and_kill(board, model, "nobody", _ALL_OVER_S)[1]
            whole_s[True] = 8 * whole_s[False]
            continue
        side = choose.choice(("desktop", "board"))
        step, _ = deploy_and_kill(board, model, side, choose.random() * whole_s[software])
        recover(board)
        met[side, check(board, old, model)] += 1
        met[side, f"after {step}"] += 1
    return met


def deploy_and_kill(board, model, side, delay_s):
    """(the last step that the desktop named, seconds that it lived)."""
    begun = time.monotonic()
    task = json.dumps([str(board.ssh), [str(word) for word in board.options], str(model), str(board.wheels)])
    command = [sys.executable, "-c", _DESKTOP, task]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, start_new_session=True, **quiet) as desktop:
        try:
            desktop.wait(delay_s)
        except subprocess.TimeoutExpired:
            for process in [desktop.pid] if side == "desktop" else descendants(desktop.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        lived = time.monotonic() - begun
        steps = desktop.stdout.read().split()  # ends when all that was begun has ended
    return (steps or ["nothing"])[-1], lived


def descendants(process):
    """Processes that a process started, and those that they started."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    parents[int(entry)] = int(file.read().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = {process}
    for _ in range(8):  # ssh, shell, board, pip, its children
        found |= {child for child, parent in parents.items() if parent in found}
    return found - {process}


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
