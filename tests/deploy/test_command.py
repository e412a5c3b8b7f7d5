"""`edgert deploy` on the command line: hosts, what is said in one line, and where several boards stop."""

import os
from argparse import Namespace

import pytest
from fake_board import FakeBoard
from tiny import colour_classifier

from edgert.cli.deploy import _hosts
from edgert.cli.main import main
from edgert.deploy.host import Host
from edgert.errors import DeployError, InputError
from edgert.format import writer


def test_a_host_that_is_an_option_is_no_host():
    with pytest.raises(DeployError, match="is no host"):
        Host("-oProxyCommand=evil")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["model.bin"], "no model is named, or no host"),
        (["status"], "no host is named"),
        (["pi@board", "missing.bin"], "missing.bin: no such file; the model comes last"),
        (["--here"], "no model is named: edgert deploy --here model.bin"),
        (["status", "pi@board", "--ssh", "no-such-ssh"], "there is no no-such-ssh here: apt install openssh-client"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(words, complaint, capsys):
    assert main(["deploy", *words]) != 0
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1


def test_a_host_file_names_hosts_and_its_comments_do_not(tmp_path):
    path = tmp_path / "boards.txt"
    path.write_text("pi@one  # the canary\n\n# pi@two\npi@three\n")
    assert _hosts([], Namespace(here=False, host_file=path)) == ["pi@one", "pi@three"]
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero"):
        with pytest.raises(InputError, match="not a regular file"):
            _hosts([], Namespace(here=False, host_file=path))


def test_a_host_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "boards"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="one host a line"):
        _hosts([], Namespace(here=False, host_file=path))


def board_command(boards):
    """An ssh that reaches one of several boards by its name; others do not answer."""
    folder = boards["one"].folder
    cases = "".join(f"*' {name} '*) exec {board.ssh} \"$@\" ;;\n" for name, board in boards.items())
    script = folder / "any"
    script.write_text(f"#!/bin/sh\ncase \" $* \" in\n{cases}*) echo 'ssh: no route' >&2; exit 255 ;;\nesac\n")
    script.chmod(0o755)
    return script


def test_a_failure_stops_before_the_next_host_and_status_goes_on(tmp_path, capsys):
    boards = {name: FakeBoard(tmp_path / name) for name in ("one", "two")}
    ssh = ["--ssh", str(board_command(boards))]
    listed = tmp_path / "boards.txt"
    listed.write_text("away  # the canary\none\ntwo\n")
    model = tmp_path / "model.bin"
    writer.write(colour_classifier(), model)
    assert main(["deploy", "--host-file", str(listed), str(model), *ssh]) == 5
    said = capsys.readouterr().err
    assert "away (canary)" in said
    assert "away: ssh says: no route; not tried after that: one, two" in said
    assert all(not board.root.exists() for board in boards.values())
    assert main(["deploy", "status", "--host-file", str(listed), *ssh]) == 5
    captured = capsys.readouterr()
    assert "away: ssh says: no route" in captured.err
    assert "one: " in captured.out
    assert "two: " in captured.out
