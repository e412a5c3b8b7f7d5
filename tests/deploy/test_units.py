"""The units as systemd reads them, without starting any."""

import re
import shutil
import subprocess

import pytest

from edgert.deploy.board.service import recover_unit
from edgert.deploy.units import Unit, text_of
from edgert.errors import InputError

UNITS = {name: text_of(name) for name in ("edgert-camera.service", "edgert-prompt.service")}
UNITS["edgert-recover.service"] = recover_unit("/opt/edgert")


@pytest.fixture(scope="module")
def analyze():
    """Function that runs systemd-analyze."""
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("systemd-analyze is not installed (Debian: apt install systemd)")
    return lambda *words: subprocess.run([program, *words], capture_output=True, text=True, check=False)


def test_systemd_finds_nothing_to_say_about_the_units(analyze, tmp_path):
    for name, text in UNITS.items():
        runnable = re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text, flags=re.MULTILINE)
        (tmp_path / name).write_text(runnable)
    done = analyze("verify", *(str(tmp_path / name) for name in UNITS))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("name", "most"), [("edgert-camera.service", 30), ("edgert-prompt.service", 20)])
def test_a_unit_exposes_little(analyze, tmp_path, name, most):
    (tmp_path / name).write_text(UNITS[name])
    done = analyze("security", "--offline=true", f"--threshold={most}", str(tmp_path / name))
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge a unit offline (systemd 250 can)")
    assert done.returncode == 0, done.stdout.splitlines()[-1] + done.stderr


def test_settings_go_into_the_release_and_are_quoted_for_systemd():
    unit = Unit("camera", "/dev/video0", '--labels "a$b"', network=True)
    assert sorted(unit.files) == ["camera.env", "edgert-camera.service", "journald.conf"]
    lines = unit.files["camera.env"].splitlines()
    assert lines[1] == 'EDGERT_SOURCE="/dev/video0"'
    assert lines[2] == (
        'EDGERT_OPTIONS="--host 0.0.0.0 --token-file /run/credentials/edgert-camera.service/token '
        r'--labels \"a\$b\""'
    )


def test_the_camera_is_the_pis_own_where_none_is_named():
    assert 'EDGERT_SOURCE="camera"' in Unit("camera").files["camera.env"]


@pytest.mark.parametrize("options", ["--port", "--port x", "--port=", "--port --fps"])
def test_a_port_that_is_no_number_is_refused(options):
    with pytest.raises(InputError, match="--port needs a number"):
        Unit("camera", options=options)


@pytest.mark.parametrize("source", ["two words", "line\nbreak"])
def test_a_source_that_systemd_would_take_apart_is_refused(source):
    with pytest.raises(InputError):
        Unit("camera", source)


def test_a_setting_with_control_characters_is_refused():
    with pytest.raises(InputError, match="control characters"):
        Unit("prompt", options="--name a\nExecStartPre=/bin/rm")
