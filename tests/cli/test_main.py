"""The frame around every verb: help, wrong usage, one line for an error, pipes and Ctrl-C."""

import os
import signal
import subprocess
import sys

import pytest

from edgert.cli import run as run_verb
from edgert.cli.main import VERBS, main
from edgert.errors import CameraError, DeployError, InputError, ModelFormatError, TierError


def test_help_lists_every_verb_and_an_example(edgert):
    code, out, _ = edgert("--help")
    assert code == 0
    assert all(f"  {verb} " in out for verb in VERBS)
    assert "edgert run model.bin --image cat.jpg" in out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(edgert, verb):
    code, out, _ = edgert(verb, "--help")
    assert code == 0
    assert f"example:\n  edgert {verb}" in out
    assert "--debug" in out


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("fly",),
        ("--json", "doctor"),
        ("run",),
        ("doctor", "--fast"),
        ("run", "m.bin", "--top", "0"),
        ("run", "m.bin", "--threads", "two"),
        ("bench", "m.bin", "--pin", "4096"),
        ("bench", "m.bin", "--runs", "-1"),
    ],
)
def test_wrong_usage_exits_2_and_prints_no_result(edgert, words):
    code, out, err = edgert(*words)
    assert code == 2
    assert out == ""
    assert "usage: edgert" in err


def test_version(edgert):
    import edgert as package

    assert edgert("--version")[:2] == (0, f"edgert {package.__version__}\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("x"), 1),
        (TierError("x"), 2),
        (ModelFormatError("x"), 3),
        (CameraError("x"), 4),
        (DeployError("x"), 5),
        (PermissionError(13, "Permission denied", "m.bin"), 1),
    ],
)
def test_an_expected_error_is_one_line_and_its_exit_code(edgert, monkeypatch, error, code):
    def fail(args):
        raise error

    monkeypatch.setattr(run_verb, "run", fail)
    got, out, err = edgert("run", "m.bin")
    assert (got, out) == (code, "")
    assert err.startswith("edgert: ")
    assert err.count("\n") == 1


def test_debug_adds_the_traceback_wherever_it_stands(edgert, tmp_path):
    words = ["run", tmp_path, "x"]
    for place in range(4):
        code, _, err = edgert(*words[:place], "--debug", *words[place:])
        assert code == 3
        assert "Traceback" in err


def test_an_unexpected_error_keeps_its_traceback(monkeypatch):
    def fail(args):
        raise KeyError("a bug")

    monkeypatch.setattr(run_verb, "run", fail)
    with pytest.raises(KeyError):
        main(["run", "m.bin"])


def test_ctrl_c_exits_130_without_a_traceback(edgert, monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_verb, "run", interrupted)
    assert edgert("run", "m.bin") == (130, "", "")


def test_a_real_interrupt_exits_130(model_files):
    process = subprocess.Popen(
        [sys.executable, "-m", "edgert", "run", model_files / "colours.bin", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    process.stdin.write(b"x")
    process.stdin.flush()
    while b"pipe_read" not in _waits_for(process.pid) and process.poll() is None:
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert (process.returncode, err) == (130, b"")


def _waits_for(pid):
    """Where in the kernel the process sleeps; 'pipe_read' once it reads stdin."""
    try:
        with open(f"/proc/{pid}/wchan", "rb") as file:
            return file.read()
    except OSError:
        return b"pipe_read"


def test_a_closed_pipe_is_no_crash():
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-m", "edgert", "doctor", "--json"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert process.returncode == 141
    assert process.stderr == b""


def test_a_terminal_without_the_letters_is_no_reason_to_fail(model_files, colour_pictures, tmp_path):
    path = tmp_path / "größe\udcff.png"
    path.write_bytes((colour_pictures / "red.png").read_bytes())
    process = subprocess.run(
        [sys.executable, "-m", "edgert", "run", model_files / "colours.bin", path],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, b"")
    assert b"gr\\xf6\\xdfe" in process.stdout


def test_main_without_arguments_takes_the_processs_own(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["edgert", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("edgert ")


HIDE = """
import importlib.abc, sys

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Hidden())
from edgert.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("hidden", "package", "words"),
    [
        ("PIL", "pillow", ["run", "colours.bin", "red.png"]),
        ("numpy", "numpy", ["eval", "colours.bin", "x.npz"]),
        ("numpy", "numpy", ["run", "colours.bin", "words.raw", "--tier", "reference"]),
    ],
)
def test_a_missing_package_is_one_line_with_the_install_command(
    model_files, colour_pictures, tmp_path, hidden, package, words
):
    (tmp_path / "words.raw").write_bytes(bytes(192))
    (tmp_path / "x.npz").write_bytes(b"PK")
    for folder in (model_files, colour_pictures):
        for file in folder.iterdir():
            (tmp_path / file.name).symlink_to(file)
    command = [sys.executable, "-c", HIDE, hidden, *words]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 1, process.stderr
    assert process.stderr.count("\n") == 1
    assert f"pip install {package}" in process.stderr or "apt install python3-" in process.stderr
