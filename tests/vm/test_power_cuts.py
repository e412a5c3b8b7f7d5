"""The power goes in the middle of a deployment, step by step, and the same disk is started again.

What a kernel had not yet written is lost with the emulator's memory. Afterwards the board has, and runs, the release
before or the new one, whole: files are hashed, golden answers computed again.
"""

import hashlib
import zipfile

import numpy as np
import pytest
from camera_service import CIFAR, PATIENCE_S, PLAIN, SYNTHETIC, UNIT, deploy, has_camera
from virtual_board import WHEELS, until_step

pytestmark = pytest.mark.vm

ROOT = "/opt/edgert"

# Step -> what holds there while it is under way, as a shell says it. NEW: the release that is being made.
UNDER_WAY = {
    "transfer": f'[ -n "$(find {ROOT}/blobs -name "*.part" -size +1M)" ]',
    "install": f"ls {ROOT}/venvs/*/wheels",
    "self-test": f"[ -d {ROOT}/releases/NEW ]",
    "switch": f"[ -e {ROOT}/pending.json ]",
    "start": f'[ "$(readlink {ROOT}/current)" = releases/NEW ]',
}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def other_model(board):
    """One that is not current."""
    return next(model for model in (CIFAR, PLAIN) if digest(model) != board.current().get("model"))


@pytest.fixture(scope="module")
def more_software(tmp_path_factory):
    """A folder with the wheels and a big one more: a transfer that takes a while, and an environment to be made."""
    folder = tmp_path_factory.mktemp("wheels")
    for wheel in WHEELS.glob("*.whl"):
        (folder / wheel.name).symlink_to(wheel)
    with zipfile.ZipFile(folder / "ballast-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("ballast.bin", np.random.default_rng(0).bytes(24 << 20))
    return folder


def wait_until_under_way(board, process, step, new):
    if step in ("health", "commit"):
        until_step(process, {"health": "start", "commit": "health"}[step])
        if step == "commit":
            process.communicate()
    else:
        board.run(f"until {UNDER_WAY[step].replace('NEW', new)} 2>/dev/null >&2; do sleep 0.02; done")


def cut_power(board, step, model, **options):
    """Deploy until `step` is under way, cut, start again. Returns: the new release's name."""
    new = f"{int(board.current().get('name', '0')[:4]) + 1:04d}-{digest(model)[:8]}"
    process = board.deploy(board, model, "--health", "20", *SYNTHETIC, **options)
    wait_until_under_way(board, process, step, new)
    board.cut()
    process.communicate()
    board.boot()
    print(f"{step}: booted again in {board.booted_s:.0f} s")
    return new


def check_whole(board):
    """The current release is what its specification says, gives its golden answers, and runs."""
    spec = board.current()
    folder = f"{ROOT}/releases/{spec['name']}"
    assert board.run(f"sha256sum {folder}/model.bin").split()[0] == spec["model"]
    board.run(f"{ROOT}/current/venv/bin/edgert verify {ROOT}/current/model.bin")
    assert board.run(f"ls {ROOT}/pending.json", check=False) == ""
    health, _ = board.until(lambda: board.health("camera"), PATIENCE_S, "answers after the start")
    board.until(lambda: board.unit(UNIT, "ActiveState")["ActiveState"] == "active", PATIENCE_S, "the unit")
    assert health["models"][0]["file"] == f"{ROOT}/current/model.bin"
    assert board.run(f"readlink -f /etc/systemd/system/{UNIT}") == f"{folder}/{UNIT}"


def check_recovered(board, expected):
    """Whether the unit that recovers at boot had work, and did it."""
    state = board.unit("edgert-recover.service", "ConditionResult", "Result")
    assert state == {"ConditionResult": "yes" if expected else "no", "Result": "success"}


def test_a_cut_in_the_first_deployment_leaves_nothing_that_runs(board):
    if board.current():
        assert board.deployed("remove", board)[0] == 0
    cut_power(board, "health", CIFAR)
    check_recovered(board, True)
    assert board.current() == {}
    assert board.unit(UNIT, "ActiveState")["ActiveState"] == "inactive"
    assert board.run("find /etc/systemd -name 'edgert-camera*'") == ""


@pytest.mark.parametrize("step", ["transfer", "install"])
def test_a_cut_before_there_is_a_release_leaves_the_one_before(board, more_software, step):
    has_camera(board)
    old = board.current()
    cut_power(board, step, other_model(board), wheels=more_software)
    assert board.current() == old
    check_whole(board)
    check_recovered(board, False)


@pytest.mark.parametrize("step", ["self-test", "switch", "start", "health"])
def test_a_cut_before_the_new_release_is_confirmed_leaves_the_one_before(board, step):
    has_camera(board)
    old = board.current()
    new = cut_power(board, step, other_model(board))
    assert board.current() == old
    check_whole(board)
    check_recovered(board, step != "self-test")
    if step != "self-test":
        assert board.run(f"ls {ROOT}/releases/{new}", check=False) == "", "an undone release is deleted"


def test_a_cut_right_after_a_deployment_leaves_the_new_release(board):
    has_camera(board)
    new = cut_power(board, "commit", other_model(board))
    assert board.current()["name"] == new
    check_whole(board)
    check_recovered(board, False)


def test_the_next_deployment_leaves_nothing_half_made(board):
    has_camera(board)
    deploy(board, other_model(board), *SYNTHETIC)
    check_whole(board)
    found = board.run(f"cd {ROOT}; ls -A . releases blobs venvs; for one in venvs/*; do ls $one/complete; done").split()
    assert not [name for name in found if name.endswith((".new", ".part", "pending.json"))]
    assert not [name for name in found if name.startswith(".") and name != ".:"]
