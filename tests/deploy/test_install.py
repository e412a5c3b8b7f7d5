"""install.sh and uninstall.sh: what they call, and what they say where that is impossible."""

import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest
from fake_board import UNIT, FakeBoard

from edgert.deploy.host import board_program

DEPLOY = Path(__file__).parents[2] / "deploy"
_SAYS_ITS_WORDS = "import json, sys\nprint(json.dumps(sys.argv[1:]))\nsys.exit(5 * ('fail' in sys.argv))\n"


@pytest.fixture
def wheels(tmp_path):
    """A folder with spaces in its name, and in it an edgert that prints what it is called with."""
    folder = tmp_path / "my wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "edgert-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("edgert/__init__.py", "")
        archive.writestr("edgert/__main__.py", _SAYS_ITS_WORDS)
    return folder


def sh(script, *words, **more):
    return subprocess.run(["sh", script, *map(str, words)], capture_output=True, text=True, check=False, **more)


def test_install_calls_the_wheels_own_deploy_with_every_word_as_it_was_given(wheels, tmp_path):
    words = ["a model.bin", "--serve-options", "--fps 10", "--wheels", str(wheels), "--camera", "synthetic"]
    done = sh(DEPLOY / "install.sh", *words, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert (done.stderr, json.loads(done.stdout)) == ("", ["deploy", "--here", "--wheels", str(wheels), *words])
    assert [path.name for path in tmp_path.iterdir()] == [wheels.name], "the unpacked wheel is gone again"


def test_install_ends_as_deploy_ends(wheels):
    assert sh(DEPLOY / "install.sh", "fail", f"--wheels={wheels}").returncode == 5


def test_install_looks_for_wheels_in_dist_beside_it(wheels, tmp_path):
    (tmp_path / "deploy").mkdir()
    script = tmp_path / "deploy" / "install.sh"
    script.write_text((DEPLOY / "install.sh").read_text())
    wheels.rename(tmp_path / "dist")
    done = sh(script, "model.bin")
    assert json.loads(done.stdout) == ["deploy", "--here", "--wheels", f"{tmp_path}/deploy/../dist", "model.bin"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "usage: install.sh MODEL"),
        (["model.bin", "--wheels", "/nowhere"], 1, "/nowhere has no edgert wheel for cp3"),
        (["model.bin", "--wheels"], 1, "has no edgert wheel for cp3"),
    ],
)
def test_install_says_what_is_missing(words, code, said, tmp_path):
    script = tmp_path / "install.sh"
    script.write_text((DEPLOY / "install.sh").read_text())
    done = sh(script, *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_install_says_that_python_is_too_old_or_missing(wheels, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "uname", "mktemp", "rm", "cat"):
        (tools / name).symlink_to(f"/usr/bin/{name}" if os.path.exists(f"/usr/bin/{name}") else f"/bin/{name}")
    words, env = ["model.bin", "--wheels", wheels], {"PATH": str(tools)}
    assert "there is no python3: sudo apt install" in sh(DEPLOY / "install.sh", *words, env=env).stderr
    old = tools / "python3"
    old.write_text("#!/bin/sh\ncase $1 in --version) echo Python 3.9.2 ;; *) exit 1 ;; esac\n")
    old.chmod(0o755)
    assert "Python 3.9.2 is too old: 3.11 is needed" in sh(DEPLOY / "install.sh", *words, env=env).stderr


def uninstaller(board):
    """uninstall.sh of a board in a folder, that this user may change."""
    text = (DEPLOY / "uninstall.sh").read_text()
    program = f"python3 {board.root}/edgert-board.pyz"
    text = text.replace("/opt/edgert", str(board.root)).replace("/etc/edgert", f"{board.etc}/edgert")
    text = text.replace(program, " ".join([program, *map(str, board.options[:-1]), "''"]))
    script = board.folder / "uninstall.sh"
    script.write_text(text.replace("id -u", "echo 0"))
    return script


def test_uninstall_removes_all_but_the_owners_settings_and_those_when_told(tmp_path):
    board = FakeBoard(tmp_path / "board")
    board.root.mkdir()
    (board.root / "edgert-board.pyz").write_bytes(board_program().data)
    (board.units / UNIT).symlink_to(board.root / "current" / UNIT)
    state = board.folder / "var" / "lib" / "private" / "edgert-camera"
    state.mkdir(parents=True)
    (state.parents[1] / state.name).symlink_to("private/edgert-camera")
    settings = board.etc / "edgert" / "camera.env"
    settings.parent.mkdir()
    settings.write_text("EDGERT_OPTIONS=--fps 5\n")
    script = uninstaller(board)
    done = sh(script)
    assert done.stdout == f"edgert is removed\nyours, and still there: {settings}\n"
    assert [path for path in board.etc.rglob("*") if path.is_symlink() or path.is_file()] == [settings]
    assert not board.root.exists()
    assert list((board.folder / "var" / "lib").rglob("edgert*")) == []
    assert sh(script, "--purge").stdout == "edgert is not installed here\n"
    assert not settings.exists()


def test_uninstall_removes_what_a_deployment_left_that_was_cut_off_early(tmp_path):
    board = FakeBoard(tmp_path / "board")
    (board.root / "blobs").mkdir(parents=True)
    assert sh(uninstaller(board)).stdout == "edgert is removed\n"
    assert not board.root.exists()


def test_uninstall_that_fails_says_why(tmp_path):
    board = FakeBoard(tmp_path / "board")
    board.root.mkdir()
    (board.root / "edgert-board.pyz").write_text("import sys; sys.exit(print('another deployment is at work') or 1)")
    done = sh(uninstaller(board))
    assert (done.returncode, done.stdout) == (1, "")
    assert "another deployment is at work" in done.stderr


def test_uninstall_knows_one_option():
    done = sh(DEPLOY / "uninstall.sh", "--everything")
    assert (done.returncode, done.stderr) == (2, "uninstall.sh: --everything is no option (--help)\n")
    assert "--purge" in sh(DEPLOY / "uninstall.sh", "--help").stdout
