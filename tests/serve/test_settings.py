"""What a service is told, and what is refused with its line and key."""

import os

import pytest

from edgert.errors import InputError
from edgert.serve import settings


def test_a_file_and_the_command_line_make_one(tmp_path):
    path = tmp_path / "edgert.conf"
    path.write_text("# what runs here\nmodel = /m/a.bin\nmodel=/m/b.bin\n\nfps = 10\nport = 80\nsize = 640x480\n")
    found = settings.complete({"port": 8081}, path)
    assert found["model"] == ["/m/a.bin", "/m/b.bin"]
    assert (found["fps"], found["port"], found["size"], found["host"]) == (10.0, 8081, (640, 480), "127.0.0.1")
    assert settings.of_words(settings.to_words(found)) == found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"model = a.bin\nfps = fast\n", r"line 2: fps = 'fast' is not a number"),
        (b"model = a.bin\nspeed = 3\n", r"line 2: 'speed' is no setting; there are model, camera"),
        (b"model = a.bin\nfps = 3\nfps = 4\n", r"line 3: fps is given twice"),
        (b"model = a.bin\nfps\n", r"line 2: 'fps' is not like name = value"),
        (b"model = a.bin\nfps = 3", r"line 2 does not end: half written"),
        (b"model = \xff\n", r"line 1: not UTF-8"),
        (b"model = a\0b\n", r"line 1: model = 'a\\x00b' is not a printable text"),
        (b"port = 70000\n", r"line 1: port = '70000' is not a port"),
        (b"size = 1x1\n", r"line 1: size"),
        (b"score = 2\n", r"line 1: score = '2' is not a number from 0 to 1"),
        (b"threads = 0\n", r"line 1: threads"),
        (b"fps = nan\n", r"line 1: fps"),
        (b"#" * 70_000, r"more than 65,536 bytes"),
        (b"", r"no model"),
        (b"model = a\nmodel = b\nmodel = c\n", r"3 models"),
        (b"model = a\nhost = 0.0.0.0\n", r"give token_file"),
        (b"model = a\nhost = 0.0.0.0\ntoken_file = /no/such\n", r"token_file /no/such: no such file"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_line_and_key(tmp_path, content, message):
    path = tmp_path / "edgert.conf"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        settings.complete({}, path)


def test_every_cut_of_a_file_is_refused_or_means_what_its_lines_say(tmp_path):
    path, whole = tmp_path / "edgert.conf", b"model = /m/a.bin\nfps = 10\nport = 8080\n"
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        try:
            found = settings.complete({}, path)
        except InputError:
            continue
        assert whole[:end].endswith(b"\n")
        assert found["model"] == ["/m/a.bin"]


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.conf: cannot be read: No such file"):
        settings.complete({}, tmp_path / "none.conf")


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", "/dev/zero"):
        with pytest.raises(InputError, match="not a regular file"):
            settings.of_file(path)
