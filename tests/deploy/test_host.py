"""Deployments to a real machine with ssh, sudo and systemd, that exists to be spoilt.

`make test-host` runs them on the machine that EDGERT_TEST_HOST names: ssh's options and the host last, as in
`-p 2223 -i key pi@127.0.0.1`. tools/nspawn.sh makes one. They are in the order of a story and leave nothing there.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.host

TOP = Path(__file__).resolve().parents[2]
WHEELS = Path(os.environ.get("EDGERT_TEST_WHEELS") or TOP / "dist")
STREET = TOP / "models/street/street_int8.bin"
CIFAR = TOP / "models/cifar10/cifar10_int8.bin"
SHAKESPEARE = TOP / "models/shakespeare/shakespeare_int4.bin"
CAMERA = ("--camera", "synthetic:320x240@5")
FOLDER = "/tmp/edgert-test"
_OURS = f"find /etc /home /opt /root /srv /tmp /var -xdev -name '*edgert*' ! -path '{FOLDER}*' ! -path '/var/log/*'"


class TestHost:
    """What EDGERT_TEST_HOST names."""

    __test__ = False

    def __init__(self, words):
        *options, self.name = words
        self.ssh = ["ssh", *options]

    def run(self, script):
        """What a shell script prints there."""
        done = subprocess.run([*self.ssh, self.name, script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout

    def copy(self, paths, folder):
        """Put files into a folder there."""
        names = [arg for path in paths for arg in ("-C", path.parent, path.name)]
        with subprocess.Popen(["tar", "-c", *names], stdout=subprocess.PIPE) as tar:
            subprocess.run(
                [*self.ssh, self.name, f"mkdir -p {folder} && tar -x -C {folder}"], stdin=tar.stdout, check=True
            )

    def deploy(self, *words, code=0):
        """`edgert deploy` of this machine, which is to end with `code`. Gives (stdout, stderr)."""
        command = [sys.executable, "-m", "edgert", "deploy", *map(str, words), "--ssh", shlex.join(self.ssh)]
        done = subprocess.run(
            [*command, "--wheels", WHEELS], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout, done.stderr

    def current(self):
        return self.run("readlink /opt/edgert/current || true").strip()

    def health(self, port=8080):
        """What the service says on its port."""
        ask = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/health').read().decode())"
        return json.loads(self.run(f"python3 -c {shlex.quote(ask)}"))

    def ours(self):
        """Everything there that is named after edgert."""
        return self.run(f"sudo -n {_OURS} -printf '%p %s %T@\\n' | sort")


@pytest.fixture(scope="module")
def host():
    words = shlex.split(os.environ.get("EDGERT_TEST_HOST", ""))
    if not words:
        pytest.skip("EDGERT_TEST_HOST names no machine (tools/nspawn.sh makes one)")
    if not list(WHEELS.glob("edgert-*.whl")):
        pytest.skip(f"{WHEELS} has no edgert wheel (make wheels, or EDGERT_TEST_WHEELS=folder)")
    one = TestHost(words)
    if one.ours():
        pytest.fail(f"{one.name} has an edgert already, which these tests would remove: {one.ours()}")
    yield one
    one.deploy("remove", one.name)


@pytest.fixture
def served(host):
    """The host with a camera service on the street model."""
    if not host.current().endswith(_release_of(STREET)):
        host.deploy(host.name, STREET, *CAMERA)
    return host


def _release_of(model):
    from edgert.deploy.steps import sha256_of

    return f"-{sha256_of(model)[:8]}"


def _steps(said):
    return [line.split()[0] for line in said.splitlines() if line.startswith("  ")]


def test_a_dry_run_says_what_would_be_sent_and_leaves_nothing(host):
    said, _ = host.deploy(host.name, STREET, *CAMERA, "--dry-run")
    assert "bytes would be sent" in said
    assert host.ours() == ""


def test_a_camera_service_is_deployed_and_answers(host):
    said, steps = host.deploy(host.name, STREET, *CAMERA)
    print(steps + said)
    assert _steps(steps) == ["preflight", "transfer", "install", "self-test", "switch", "start", "health"]
    assert "is current" in said
    assert host.health()["frames"]["fps"] > 1


def test_status_and_logs_are_those_of_the_service(served):
    said, _ = served.deploy("status", served.name)
    assert f"* 0001{_release_of(STREET)}  street_int8.bin" in said
    assert "edgert-camera.service: active, 0 restarts." in said
    assert "serving at http://127.0.0.1:8080/" in served.deploy("logs", served.name)[0]


def test_a_dry_run_changes_nothing_of_an_installation(served):
    look = "sudo -n find /opt/edgert /etc .cache -type f -printf '%p %s %T@\\n' | sort"
    before = served.run(look)
    served.deploy(served.name, SHAKESPEARE, "--prompt", "--dry-run")
    assert served.run(look) == before


def test_a_second_deployment_sends_the_model_alone_and_a_rollback_returns(served):
    old = served.current()
    said, steps = served.deploy(served.name, SHAKESPEARE, "--prompt")
    print(steps + said)
    assert f" {SHAKESPEARE.stat().st_size:,} of " in steps
    assert "environment reused" in steps
    assert served.health()["models"][0]["task"] == "generate"
    assert served.run("systemctl is-active edgert-camera || true").strip() == "inactive"
    said, steps = served.deploy("rollback", served.name)
    print(steps + said)
    assert served.current() == old
    assert served.health()["models"][0]["task"] == "detect"


def test_the_same_deployment_again_changes_nothing(served):
    before = served.run("systemctl show edgert-camera -P MainPID; readlink /opt/edgert/current")
    assert "is this model and this software already" in served.deploy(served.name, STREET, *CAMERA)[0]
    assert served.run("systemctl show edgert-camera -P MainPID; readlink /opt/edgert/current") == before


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--serve-options=--fps 30000",), "does not start: fps = '30000' is not a number above 0, up to 1000"),
        (("--serve-options=--no-such",), "does not start"),
    ],
)
def test_a_service_that_does_not_start_is_undone_and_remembered(served, words, complaint):
    before = served.current()
    said = served.deploy(served.name, CIFAR, *CAMERA, *words, code=5)[1]
    assert complaint in said
    assert f"{before.removeprefix('releases/')} runs again" in said
    assert served.current() == before
    assert served.health()["status"] == "ok"
    assert "failed here before" in served.deploy(served.name, CIFAR, *CAMERA, *words, code=5)[1]
    assert "failed here: " in served.deploy("status", served.name)[0]


def test_a_port_that_is_taken_is_found_before_anything_is_changed(served):
    served.run("sudo -n systemd-run -q --unit=test-port python3 -m http.server 8099")
    try:
        served.run("for i in $(seq 50); do ss -ltn | grep -q :8099 && exit; sleep 0.1; done; exit 1")
        said = served.deploy(served.name, STREET, *CAMERA, "--serve-options=--port 8099", code=5)[1]
        assert "port 8099 is taken there by python3 (process " in said
    finally:
        served.run("sudo -n systemctl stop test-port")


def test_the_network_asks_for_the_token(served):
    said, _ = served.deploy(served.name, STREET, *CAMERA, "--network")
    assert "sudo cat /etc/edgert/token" in said
    token = served.run("sudo -n cat /etc/edgert/token").strip()
    ask = (
        "import sys, urllib.request as r, urllib.error as e\n"
        "for headers in ({}, {'Authorization': 'Bearer ' + sys.argv[1]}):\n"
        "    try: print(r.urlopen(r.Request('http://127.0.0.1:8080/frame', headers=headers)).status)\n"
        "    except e.HTTPError as error: print(error.code)\n"
    )
    first, second = served.run(f"python3 -c {shlex.quote(ask)} {token}").split()
    assert (first, second != "401") == ("401", True)


def test_the_first_of_several_hosts_is_the_canary(served, tmp_path):
    config = tmp_path / "config"
    aliases = "".join(f"Host {name}\n  HostName {served.name.rpartition('@')[2]}\n" for name in ("canary", "second"))
    config.write_text(aliases)
    listed = tmp_path / "boards.txt"
    user = served.name.rpartition("@")[0]
    listed.write_text(f"{user}@canary\n{user}@second  # the same machine under another name\n")
    ssh = [*served.ssh, "-F", str(config), "-o", "HostKeyAlias=testhost", "-o", "StrictHostKeyChecking=accept-new"]
    ssh += ["-o", f"UserKnownHostsFile={tmp_path}/known"]
    both = TestHost([*ssh[1:], served.name])
    said, steps = both.deploy("--host-file", listed, CIFAR, *CAMERA)
    assert f"{user}@canary (canary)" in steps
    assert "is current" in said.splitlines()[0]
    assert said.splitlines()[-1].endswith("is this model and this software already")
    bad = both.deploy("--host-file", listed, STREET, *CAMERA, "--serve-options=--fps 0", code=5)[1]
    assert f"not tried after that: {user}@second" in bad


def test_remove_leaves_nothing_but_the_owners_settings(served):
    served.run("echo EDGERT_OPTIONS= | sudo -n tee /etc/edgert/camera.env")
    said, _ = served.deploy("remove", served.name)
    assert said.endswith("removed; yours, and still there: /etc/edgert/camera.env\n")
    served.run("sudo -n rm -r /etc/edgert")
    assert served.ours() == ""
    assert served.run("systemctl list-units --all --no-legend 'edgert*'") == ""
    assert "nothing is deployed there" in served.deploy("remove", served.name)[0]


def test_install_and_uninstall_on_the_machine_itself(host):
    host.copy([TOP / "deploy/install.sh", TOP / "deploy/uninstall.sh", STREET], FOLDER)
    host.copy(sorted(WHEELS.glob("*.whl")), f"{FOLDER}/my wheels".replace(" ", r"\ "))
    install = f"cd {FOLDER} && ./install.sh --wheels 'my wheels' street_int8.bin --camera synthetic:320x240@5"
    try:
        assert "is current" in host.run(install)
        assert host.health()["status"] == "ok"
        assert "is this model and this software already" in host.run(install)
        assert host.run(f"{FOLDER}/uninstall.sh") == "edgert is removed\n"
        assert host.run(f"sh {FOLDER}/uninstall.sh") == "edgert is not installed here\n"
        assert host.ours() == ""
    finally:
        host.run(f"rm -r {FOLDER}")


@pytest.fixture
def playbook(host, tmp_path):
    """Function from variables and options to what ansible-playbook counted of the host, with its output."""
    beside = Path(sys.executable).with_name("ansible-playbook")
    program = os.environ.get("EDGERT_ANSIBLE") or (beside if beside.exists() else shutil.which("ansible-playbook"))
    if not program:
        pytest.skip("there is no ansible-playbook (pip install ansible-core, or EDGERT_ANSIBLE=its path)")
    inventory = tmp_path / "hosts.ini"
    user, _, address = host.name.rpartition("@")
    inventory.write_text(f"board ansible_host={address} ansible_user={user}\n")
    config = {"ANSIBLE_SSH_ARGS": shlex.join(host.ssh[1:]), "ANSIBLE_LOCAL_TEMP": str(tmp_path / "ansible")}
    config |= {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_NOCOLOR": "1"}

    def play(*options, code=0, **variables):
        variables = {"edgert_model": str(STREET), "edgert_wheels": str(WHEELS), "edgert_source": CAMERA[1]} | variables
        command = [program, "-i", inventory, TOP / "deploy/ansible/site.yml", "-e", json.dumps(variables), *options]
        done = subprocess.run(
            command, env={**os.environ, **config}, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        print(done.stdout, done.stderr)
        assert (done.returncode == 0) == (code == 0), done.stdout + done.stderr
        counts = re.findall(r"(\w+)=(\d+)", done.stdout.rpartition("PLAY RECAP")[2])
        return {name: int(count) for name, count in counts}, done.stdout

    yield play
    play(edgert_state="absent")


def test_the_ansible_role_changes_a_host_once(host, playbook):
    host.deploy("remove", host.name)
    counted, _ = playbook("--check")
    assert (counted["failed"], counted["changed"] > 0) == (0, True)
    assert host.ours() == ""
    assert playbook()[0]["changed"] > 0
    assert host.health()["status"] == "ok"
    assert playbook()[0]["changed"] == 0
    assert playbook("--check")[0]["changed"] == 0
    counted, said = playbook(edgert_options="--fps 30000", code=2)
    assert counted["failed"] == 1
    assert "does not start: fps = '30000'" in said
    assert host.health()["status"] == "ok"
    assert playbook(edgert_model=str(SHAKESPEARE), edgert_service="prompt")[0]["changed"] > 0
    assert host.health()["models"][0]["task"] == "generate"
    assert playbook(edgert_state="absent")[0]["changed"] > 0
    assert host.ours() == ""
    assert playbook(edgert_state="absent")[0]["changed"] == 0


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"edgert_model": ""}, "edgert_model= is no file"),
        ({"edgert_wheels": "/nowhere"}, "edgert_wheels=/nowhere has no edgert wheel"),
        ({"edgert_scripts": "/nowhere"}, "edgert_scripts=/nowhere has no install.sh"),
    ],
)
def test_the_ansible_role_says_what_it_misses(playbook, variables, said):
    assert said in playbook(code=2, **variables)[1]
