"""Deployments to a board on this machine: what runs afterwards, and what is left behind."""

import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys

import pytest
from fake_board import UNIT, FakeBoard, make_wheel

from edgert.deploy import steps, wheels
from edgert.deploy.board import users
from edgert.deploy.board.store import Store
from edgert.deploy.findings import findings
from edgert.deploy.units import Unit
from edgert.errors import DeployError, ModelFormatError

READY = {
    "machine": "aarch64", "bits": 64, "python": [3, 11, 2], "glibc": "2.36", "venv": True, "root": True,
    "systemd": True, "disk_free": 8 << 30, "clock": 1000.0,
    "packages": ["numpy", "psutil", "PIL"], "board": "Raspberry Pi 4 Model B", "users": {},
    "source": True, "cameras": {"picamera2": True, "sensors": 1, "video": {"/dev/video0": "HD Webcam"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def fresh_board(tmp_path_factory):
    """One board for all tests of this file: the first deployment makes its environment, the others reuse it."""
    return FakeBoard(tmp_path_factory.mktemp("board"))


@pytest.fixture
def board(fresh_board, tmp_path):
    """The board with GOOD deployed."""
    put(fresh_board, tmp_path, b"GOOD model")
    return fresh_board


def unit(**options):
    """The camera's unit, as systemd alone judges it: the board here has no /health."""
    service = Unit("camera", **options)
    service.socket = service.extras = ""
    return service


def put(board, folder, model, service=None, **options):
    path = folder / "model.bin"
    path.write_bytes(model)
    said = []
    with board.host() as host, pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "check_model", lambda *_: None)  # models here are short texts
        patch.setattr(steps, "findings", lambda *_: [])
        answer = steps.deploy(
            host,
            path,
            wheel_folder=board.wheels,
            service=service or unit(),
            health_s=0.1,
            say=lambda *step: said.append(step),
            **options,
        )
    return answer, [step for step, _ in said]


def test_a_first_model_that_fails_leaves_no_unit_and_one_that_does_not_runs(fresh_board, tmp_path):
    with pytest.raises(DeployError, match="does not start"):
        put(fresh_board, tmp_path, b"FAIL at once")
    assert fresh_board.running() is None
    assert [path.name for path in fresh_board.units.iterdir() if path.is_symlink()] == []
    answer, said = put(fresh_board, tmp_path, b"GOOD first")
    assert said == ["preflight", "transfer", "install", "self-test", "switch", "start", "health"]
    assert answer["previous"] is None
    assert fresh_board.running() == (answer["release"], b"GOOD first", "active")
    assert not fresh_board.leftovers()


def test_a_dry_run_leaves_nothing_on_a_board(tmp_path):
    board = FakeBoard(tmp_path / "board")
    before = sorted(board.folder.rglob("*"))
    answer, said = put(board, tmp_path, b"GOOD model", dry_run=True)
    assert answer["to_send"] == len(b"GOOD model") + sum(path.stat().st_size for path in board.wheels.iterdir())
    assert said == ["preflight", "transfer"]
    assert sorted(board.folder.rglob("*")) == before


def test_a_board_without_an_installation_has_nothing_to_roll_back_recover_or_remove(tmp_path):
    board = FakeBoard(tmp_path / "board")
    with board.host() as host:
        host.send_program()
        with pytest.raises(DeployError, match="nothing is deployed here"):
            host.call("rollback")
        assert host.call("recover")["undone"] is None
        assert host.call("remove")["nothing"]
        host.forget_program(every=True)
    assert not board.root.exists()
    assert list(board.home.iterdir()) == []


def test_a_second_model_sends_only_the_model_and_keeps_the_first_to_go_back_to(board, tmp_path):
    before = board.running()
    answer, _ = put(board, tmp_path, b"GOOD second", dry_run=True)
    assert answer["to_send"] == len(b"GOOD second")
    put(board, tmp_path, b"GOOD second")
    assert board.running()[1] == b"GOOD second"
    with board.host() as host:
        host.send_program()
        host.call("rollback", "--health", "0.1")
    assert board.running() == before
    assert not board.leftovers()


def test_the_same_model_again_changes_nothing(board, tmp_path):
    before = board.running()
    answer, said = put(board, tmp_path, b"GOOD model")
    assert answer["unchanged"]
    assert said == ["preflight", "transfer"]
    assert board.running() == before


@pytest.mark.parametrize(
    ("model", "complaint"),
    [(b"FAIL", "does not start"), (b"LOOP", "restarted within"), (b"GOLDEN", "differs in 3 of 10 bytes")],
)
def test_a_model_that_fails_is_undone_and_remembered(board, tmp_path, model, complaint):
    before = board.running()
    with pytest.raises(DeployError, match=complaint):
        put(board, tmp_path, model)
    assert board.running() == before
    assert not board.leftovers()
    with pytest.raises(DeployError, match="failed here before"):
        put(board, tmp_path, model)
    with pytest.raises(DeployError, match=complaint):
        put(board, tmp_path, model, insist=True)
    assert board.running() == before


def test_a_failure_is_forgotten_once_the_same_release_works(board, tmp_path):
    switch = board.folder / "systemctl"
    works = switch.read_text()
    switch.write_text(works.replace('"failed" if kind', '"failed" if kind == b"HMMM" or kind'))
    with pytest.raises(DeployError, match="does not start"):
        put(board, tmp_path, b"HMMM")
    switch.write_text(works)
    failed = (board.root / "refused.json").read_text()
    put(board, tmp_path, b"HMMM", insist=True)
    [key] = set(json.loads(failed)) - set(json.loads((board.root / "refused.json").read_text()))
    assert key.startswith(hashlib.sha256(b"HMMM").hexdigest())


def test_only_the_newest_failures_are_remembered(tmp_path):
    store = Store(tmp_path)
    for number in range(30):
        store.refuse(str(number), "why")
    store.refuse("12", "again")
    assert list(store.refused()) == [str(number) for number in (10, 11, *range(13, 30), 12)]


def test_a_transfer_goes_on_where_it_broke_off_and_mends_what_was_damaged(board, tmp_path):
    model = b"GOOD " + bytes(100_000)
    path = tmp_path / "long.bin"
    path.write_bytes(model)
    part = board.root / "blobs" / (steps.sha256_of(path) + ".part")
    part.write_bytes(model[:60_000])
    assert put(board, tmp_path, model, dry_run=True)[0]["to_send"] == 40_005
    part.write_bytes(b"x" * 60_000)
    put(board, tmp_path, model)
    assert board.running()[1] == model


def test_two_deployments_at_once_do_not_mix(board, tmp_path):
    with open(board.root / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DeployError, match="another deployment is at work"):
            put(board, tmp_path, b"GOOD other")


def test_an_unconfirmed_switch_is_undone_by_recover(board, tmp_path):
    before = board.running()
    put(board, tmp_path, b"GOOD unconfirmed")
    (board.root / "pending.json").write_text(json.dumps({"old": before[0], "new": board.running()[0]}))
    with board.host() as host:
        host.send_program()
        assert host.call("recover")["undone"]["old"] == before[0]
    assert board.running() == before
    assert not board.leftovers()


def test_every_trouble_of_a_board_is_named_with_its_mend():
    assert findings(READY, unit(), 1000, 1000.0) == []
    bad = READY | {"bits": 32, "python": [3, 9, 2], "venv": False, "systemd": False}
    bad |= {"disk_free": 0, "clock": 9e9}
    said = "; ".join(findings(bad, unit(), 1000, 1000.0))
    for words in (
        "64-bit Raspberry Pi OS",
        "Python 3.9.2",
        "python3-venv",
        "systemd",
        "0 MB left",
        "ahead of",
    ):
        assert words in said
    assert "systemd" not in "; ".join(findings(bad, None, 1000, 1000.0))


@pytest.mark.parametrize(
    ("source", "facts", "said"),
    [
        ("", {"cameras": {"picamera2": False, "sensors": None, "video": {}}}, "sudo apt install python3-picamera2"),
        ("", {"cameras": {"picamera2": True, "sensors": 0, "video": {}}}, "finds no camera: check the ribbon"),
        ("", {"users": {"/dev/media0": "rpicam-vid (process 812)"}}, "in use: /dev/media0 by rpicam-vid (process 812)"),
        ("/dev/video0", {"users": {"/dev/video0": "ffmpeg (process 9)"}}, "in use: /dev/video0 by ffmpeg (process 9)"),
        ("/dev/video7", {}, "no /dev/video7; it has /dev/video0 (HD Webcam)"),
        ("/home/pi/clip.mp4", {}, "a service sees neither /home"),
        ("/srv/clip.mp4", {"source": False}, "it has no /srv/clip.mp4: copy it there first"),
        ("", {"users": {"port 8080": "nginx (process 4)"}}, "port 8080 is taken there by nginx (process 4)"),
    ],
)
def test_what_a_camera_service_would_fail_on_is_found_before(source, facts, said):
    [trouble] = findings(READY | facts, unit(source=source), 1000, 1000.0)
    assert said in trouble


def test_another_camera_or_port_in_use_is_no_trouble():
    busy = READY | {"users": {"/dev/video1": "ffmpeg (process 9)", "port 80": "nginx (process 4)"}}
    assert findings(busy, unit(source="/dev/video0", options="--port 8090"), 1000, 1000.0) == []


def test_the_board_says_who_uses_a_camera_or_a_port(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert users.users()[f"port {port}"].endswith(f"(process {os.getpid()})")
    folder = tmp_path / "proc" / "812"
    (folder / "fd").mkdir(parents=True)
    (folder / "fd" / "7").symlink_to("/dev/video0")
    (folder / "comm").write_text("rpicam-vid\n")
    (folder / "cgroup").write_text("0::/user.slice\n")
    assert users.users(str(tmp_path)) == {"/dev/video0": "rpicam-vid (process 812)"}
    (folder / "cgroup").write_text("0::/system.slice/edgert-camera.service\n")
    assert users.users(str(tmp_path)) == {}


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("edgert-0.1.0-cp311-cp311-manylinux_2_17_aarch64.whl", True),
        ("edgert-0.1.0-cp313-cp313-manylinux_2_17_aarch64.whl", False),
        ("edgert-0.1.0-cp311-cp311-manylinux_2_39_aarch64.whl", False),
        ("edgert-0.1.0-cp311-cp311-linux_x86_64.whl", False),
        ("numpy-2.4.6-cp311-cp311-manylinux2014_aarch64.manylinux_2_17_aarch64.whl", True),
        ("psutil-7.0-cp36-abi3-manylinux2014_aarch64.whl", True),
        ("paho_mqtt-2.1-py3-none-any.whl", True),
        ("old-1.0-py2-none-any.whl", False),
        ("not a wheel.whl", False),
    ],
)
def test_wheels_are_chosen_as_pip_would(name, fits):
    assert wheels.fits(name, READY) == fits


def test_a_missing_wheel_is_said_with_the_command_that_makes_it(tmp_path):
    make_wheel(tmp_path, "1.0").rename(tmp_path / "edgert-1.0-cp313-cp313-linux_aarch64.whl")
    with pytest.raises(DeployError, match=r"no edgert wheel for Python 3\.11 on aarch64 \(`make wheels`"):
        wheels.fitting(tmp_path, READY)


def test_a_damaged_model_never_leaves_the_desktop(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelFormatError):
        steps.check_model(path)


def test_a_service_has_its_links_and_nothing_of_them_stays_after_remove(board, tmp_path):
    links = {str(path.relative_to(board.etc)): os.readlink(path) for path in board.etc.rglob("*") if path.is_symlink()}
    assert links == {
        f"systemd/system/{UNIT}": f"{board.root}/current/{UNIT}",
        f"systemd/system/multi-user.target.wants/{UNIT}": f"../{UNIT}",
        "systemd/system/multi-user.target.wants/edgert-recover.service": "../edgert-recover.service",
        "systemd/journald.conf.d/edgert.conf": f"{board.root}/current/journald.conf",
    }
    token = board.etc / "edgert" / "token"
    assert token.stat().st_mode & 0o777 == 0o600
    kept = board.etc / "edgert" / "camera.env"
    kept.write_text("EDGERT_OPTIONS=--fps 5\n")
    with board.host() as host:
        host.send_program()
        assert host.call("remove")["kept"] == [str(kept)]
    assert [path for path in board.etc.rglob("*") if not path.is_dir()] == [kept]
    assert not board.root.exists()


def test_writes_that_were_cut_off_before_their_rename_leave_nothing(board):
    units = board.units
    cut = [board.root / f"{name}.new" for name in ("pending.json", "refused.json", "edgert-board.pyz")]
    cut += [units / "edgert-recover.service.new", board.etc / "edgert" / "token.new"]
    links = [board.root / "current.new", units / f"{UNIT}.new", units / "multi-user.target.wants" / f"{UNIT}.new"]
    for path in cut:
        path.write_text("half")
    for path in links:
        path.symlink_to("nowhere")
    with board.host() as host:
        host.send_program()
        host.call("recover")
    assert not [path for path in cut + links if path.is_symlink() or path.exists()]
    assert board.running()[2] == "active"


def test_at_boot_an_unconfirmed_switch_is_undone_without_waiting_for_units(board, tmp_path):
    before = board.running()
    put(board, tmp_path, b"GOOD unconfirmed")
    (board.root / "pending.json").write_text(json.dumps({"old": before[0], "new": board.running()[0]}))
    program = board.root / "edgert-board.pyz"
    subprocess.run([sys.executable, program, *map(str, board.options), "recover", "--boot"], check=True)
    assert board.running() == before
    assert not board.leftovers()


def test_a_rollback_that_was_cut_off_is_undone_and_both_releases_stay(board, tmp_path):
    put(board, tmp_path, b"GOOD second")
    now, [first, _] = board.running(), sorted(path.name for path in (board.root / "releases").iterdir())
    (board.root / "pending.json").write_text(json.dumps({"old": now[0], "new": first}))
    (board.root / "current").unlink()
    (board.root / "current").symlink_to(f"releases/{first}")
    with board.host() as host:
        host.send_program()
        host.call("recover")
        assert board.running() == now
        host.call("rollback", "--health", "0.1")
    assert board.running()[0] == first


def test_a_release_that_never_became_current_is_nobodys_way_back(board, tmp_path):
    before = board.running()
    orphan = board.root / "releases" / "9998-01234567"
    orphan.mkdir()
    put(board, tmp_path, b"GOOD second")
    assert not orphan.exists()
    with board.host() as host:
        host.send_program()
        host.call("rollback", "--health", "0.1")
    assert board.running() == before
