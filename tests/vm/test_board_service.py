"""A board's life on an emulated Arm Debian: deployed to, watched, hurt part by part, given bad models, rolled back.

The tests are in the order of a story, and each deploys what it needs where the one before did not. A step of theirs is
seen to happen without a human; how fast an emulator is says nothing about a Raspberry Pi.
"""

import io
import json
import re
import time

import pytest
from camera_service import CIFAR, PATIENCE_S, PLAIN, SYNTHETIC, UNIT, deploy, has_camera, is_well
from PIL import Image
from tiny import GraphBuilder
from virtual_board import TOP, steps_of

from edgert.format import reader, writer
from edgert.graph import Metadata, Preprocess

pytestmark = pytest.mark.vm

STREET = TOP / "models/street/street_int8.bin"
SHAKESPEARE = TOP / "models/shakespeare/shakespeare_int4.bin"
WATCHDOG_S = 15  # of both units


def exposure(board, unit):
    """What `systemd-analyze security` says of a unit that runs, 0 (nothing exposed) to 10."""
    said = board.run(f"systemd-analyze security --no-pager {unit}")
    found = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", said)[1])
    print(f"exposure of {unit}: {found}")
    return found


def test_the_first_deployment_makes_all_and_answers_prompts(board):
    steps = deploy(board, SHAKESPEARE, "--prompt")
    print(f"booted in {board.booted_s:.0f} s\n{steps}")
    assert steps_of(steps) == ["preflight", "transfer", "install", "self-test", "switch", "start", "health"]
    assert "a new environment" in steps
    assert re.search(r"golden answers bit for bit on neon$", steps, re.MULTILINE)
    status, body = board.ask("prompt", "/v1/completions", {"prompt": "ROMEO:", "max_tokens": 8, "seed": 1})
    assert status == 200
    print(json.loads(body)["choices"][0]["text"])
    assert exposure(board, "edgert-prompt.service") <= 2.0


def test_a_camera_takes_the_place_of_the_prompts(board):
    steps = deploy(board, CIFAR, "--insist", *SYNTHETIC)
    print(steps)
    assert "environment reused" in steps
    assert board.unit(UNIT, "ActiveState", "StatusText")["ActiveState"] == "active"
    assert board.unit("edgert-prompt.service", "ActiveState")["ActiveState"] == "inactive"
    assert is_well(board)
    assert exposure(board, UNIT) <= 3.0


def answers_again(board, before, part):
    """Whether `part` is another process than before, and the service well."""
    now = board.parts("camera")
    return len(now) == 3 and now[part] != before[part] and is_well(board)


@pytest.mark.parametrize("part", ["worker", "child", "supervisor"])
def test_a_part_that_is_killed_comes_back(board, part):
    has_camera(board)
    before = board.parts("camera")
    board.run(f"kill -9 {before[part]}")
    _, took = board.until(lambda: answers_again(board, before, part), PATIENCE_S, f"answers after {part} was killed")
    now = board.parts("camera")
    print(f"{part} killed: answers again, seen {took:.1f} s later")
    stayed = {name for name in before if now[name] == before[name]}
    assert stayed == (set() if part == "supervisor" else set(before) - {part}), "only the part that ended starts again"


def test_a_supervisor_that_stands_still_is_replaced_by_systemd(board):
    has_camera(board)
    before = board.parts("camera")["supervisor"]
    board.run(f"kill -STOP {before}")
    _, took = board.until(
        lambda: board.parts("camera").get("supervisor", before) != before, 4 * WATCHDOG_S, "a new supervisor"
    )
    print(f"supervisor stopped: another one {took:.1f} s later (WatchdogSec={WATCHDOG_S})")
    assert took <= 2 * WATCHDOG_S
    board.until(lambda: is_well(board), PATIENCE_S, "answers")


# A successor finds less room than its worker had, until the kernel has killed it for that. Set at once, a limit below
# what is held would have the kernel kill one part after the other, without waiting for what that sets free.
HIT_MEMORY_LIMIT = """
cd /sys/fs/cgroup/system.slice/{unit}
was=$(<memory.max); less=$(($(<memory.current) * 3 / 4)); kill -9 {worker}
until (($(<memory.current) < less)); do sleep 0.05; done; echo $less > memory.max
until grep -q '^oom_kill [1-9]' memory.events; do sleep 0.05; done; echo $was > memory.max
echo $was; grep '^oom_kill ' memory.events
"""


def test_a_worker_over_the_memory_limit_is_replaced_and_the_supervisor_stays(board):
    has_camera(board)
    before, restarts = board.parts("camera"), board.unit(UNIT, "NRestarts")
    was, killed = board.run(HIT_MEMORY_LIMIT.format(unit=UNIT, worker=before["worker"])).splitlines()
    assert was == str(300 << 20)
    _, took = board.until(lambda: answers_again(board, before, "worker"), PATIENCE_S, "answers after the limit was hit")
    print(f"memory limit hit, {killed}: answers again, seen {took:.1f} s later")
    assert board.parts("camera")["supervisor"] == before["supervisor"]
    assert board.unit(UNIT, "NRestarts") == restarts


def test_nothing_is_written_to_the_disk_while_it_serves(board):
    has_camera(board)
    counts = "; ".join(f"grep ^write_bytes /proc/{process}/io" for process in board.parts("camera").values())
    count = f"sync; {counts}; awk '{{print $7}}' /sys/block/vda/stat"
    before = board.run(count)
    time.sleep(60)
    after = board.run(count)
    print(f"in 60 s: {int(after.split()[-1]) - int(before.split()[-1])} sectors by the whole machine")
    assert after.splitlines()[:-1] == before.splitlines()[:-1]


def test_frames_of_a_real_driver_are_answered_and_seen(board, tmp_path):
    if board.run("modprobe vivid && echo loaded", check=False) != "loaded":
        pytest.skip("this kernel has no vivid, the driver of a camera that is not there")
    assert board.run("cat /sys/class/video4linux/video0/name").startswith("vivid")
    deploy(board, STREET, "--camera", "/dev/video0")
    health = board.health("camera")
    assert (health["status"], health["camera"]["state"]) == ("ok", "ok")
    status, data = board.ask("camera", "/snapshot.jpg")
    assert status == 200
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture.save(tmp_path / "vivid.png")
    bars = {picture.getpixel((x * picture.width // 16, picture.height // 2)) for x in range(1, 16, 2)}
    assert len(bars) >= 6, "the driver shows coloured bars"


def test_a_damaged_model_does_not_leave_this_machine(board, tmp_path):
    damaged = tmp_path / "damaged.bin"
    data = bytearray(STREET.read_bytes())
    data[-1000] ^= 1
    damaged.write_bytes(data)
    code, _, error = board.deployed(board, damaged, *SYNTHETIC)
    assert code == 3
    assert "preflight" not in error
    print(error)


def with_wrong_golden_answer(source, path):
    """A whole, well-made file whose model does not answer as the file says it does."""
    graph = reader.read(source).graph
    inputs, outputs = graph.metadata.golden[0]
    wrong = bytes([outputs[0][0] ^ 1]) + bytes(outputs[0][1:])
    fields = {name: getattr(graph.metadata, name) for name in Metadata.__slots__}
    metadata = Metadata(**fields | {"golden": ((inputs, (wrong, *outputs[1:])),)})
    writer.write(type(graph)(graph.name, graph.tensors, graph.nodes, graph.inputs, graph.outputs, metadata), path)


def test_a_model_that_answers_otherwise_than_it_says_is_refused_and_remembered(board, tmp_path):
    has_camera(board)
    before = board.current()["name"], board.parts("camera")
    bad = tmp_path / "wrong.bin"
    with_wrong_golden_answer(STREET, bad)
    for why in ("golden", "failed here before"):
        code, _, error = board.deployed(board, bad, *SYNTHETIC)
        print(error)
        assert (code, why in error) == (5, True)
        assert (board.current()["name"], board.parts("camera")) == before, "the one before serves on"
    assert is_well(board)


def too_big(path):
    """A file of 1 KB whose model works in 363 MB, where the unit may have 300."""
    side, b = 11_000, GraphBuilder("too_big")
    b.tensor("image", "int8", (1, 8, 8, 3), 2 / 255, 0)
    b.tensor("padded", "int8", (1, side, side, 3), 2 / 255, 0)
    b.node("pad", "image", "padded", before=(0, 0, 0, 0), after=(0, side - 8, side - 8, 0))
    b.tensor("most", "int8", (1, 3), 2 / 255, 0)
    b.node("reduce", "padded", "most", function="max", axes=(1, 2), keep_dims=0)
    preprocess = Preprocess("RGB", "stretch", (127.5,), (127.5,))
    writer.write(b.graph(["image"], ["most"], Metadata("classify", ("r", "g", "b"), preprocess)), path)


def test_a_model_that_takes_more_memory_than_its_unit_may_have_is_undone(board, tmp_path):
    has_camera(board)
    before = board.current()
    bad = tmp_path / "too_big.bin"
    too_big(bad)
    code, _, error = board.deployed(board, bad, *SYNTHETIC)
    print(error)
    assert code == 5
    assert steps_of(error)[-1] == "back"
    assert board.current() == before
    board.until(lambda: is_well(board), PATIENCE_S, "answers of the one before")


def test_rollback_goes_to_the_release_before(board):
    has_camera(board, CIFAR)
    before = board.current()
    deploy(board, PLAIN, *SYNTHETIC)
    code, out, error = board.deployed("rollback", board)
    print(error + out)
    assert code == 0
    assert board.current() == before
    assert is_well(board)


def test_remove_leaves_nothing(board):
    has_camera(board)
    code, out, error = board.deployed("remove", board)
    assert code == 0, error
    print(out)
    folders = "/opt/edgert /etc/edgert /var/*/private/edgert-* /run/edgert-*"
    assert board.run(f"ls -d {folders} 2>/dev/null", check=False) == ""
    assert board.run("find /etc/systemd -name '*edgert*'") == ""
    assert board.run("systemctl list-units --all --plain --no-legend '*edgert*'") == ""
