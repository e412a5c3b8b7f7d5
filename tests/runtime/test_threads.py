"""How many threads: what callers may say, EDGERT_THREADS, and physical cores on machines of every kind."""

import os

import numpy as np
import pytest
import tiny

import edgert
from edgert import threads
from edgert.errors import InputError
from edgert.format import writer


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Function making a machine's /proc and /sys: siblings of each CPU, files by path; returns its root."""

    def make(siblings, files=None):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(siblings))
        topology = {
            f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": text for cpu, text in siblings.items()
        }
        for path, text in (topology | (files or {})).items():
            if text is not None:
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / path).write_text(text + "\n")
        return str(tmp_path)

    return make


@pytest.mark.parametrize(
    ("siblings", "cores"),
    [
        ({0: "0", 1: "1", 2: "2", 3: "3"}, 4),  # a Raspberry Pi
        ({0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}, 2),
        ({0: "0,4", 1: "1,5", 4: "0,4", 5: "1,5"}, 2),
        ({5: "1,5", 4: "0,4"}, 2),  # the first siblings are not ours
        ({2: "0-3", 3: "0-3"}, 1),  # two of four threads of one core
        ({0: None, 1: None}, 2),  # no topology: every CPU is one
        ({7: ""}, 1),
    ],
)
def test_hardware_threads_of_one_core_count_once(machine, siblings, cores):
    assert threads.physical_cores(machine(siblings)) == cores


FOUR = {cpu: str(cpu) for cpu in range(4)}


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"proc/self/cgroup": "0::/app/x", "sys/fs/cgroup/app/x/cpu.max": "max 100000"}, 4),
        ({"proc/self/cgroup": "0::/app/x", "sys/fs/cgroup/app/x/cpu.max": "200000 100000"}, 2),
        ({"proc/self/cgroup": "0::/app/x", "sys/fs/cgroup/app/cpu.max": "300000 100000"}, 3),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "150000 100000"}, 1),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "900000 100000"}, 4),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "12 0"}, 4),
        ({"proc/self/cgroup": "nonsense\n\n0::", "sys/fs/cgroup/cpu.max": "what"}, 4),
        (
            {
                "proc/self/cgroup": "4:memory:/m\n3:cpu,cpuacct:/job\n0::/",
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            2,
        ),
    ],
)
def test_a_share_of_processor_time_limits_the_cores(machine, files, cores):
    assert threads.physical_cores(machine(FOUR, files)) == cores


def test_this_machine_has_at_least_one_core_and_no_more_than_allowed():
    assert 1 <= threads.physical_cores() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize("given", [0, -1, 257, 10_000, 1.5, True, "2", "many", np.int64(0)])
def test_a_wrong_number_of_threads_is_one_clear_error(given):
    with pytest.raises(InputError) as caught:
        edgert.load(writer.to_bytes(tiny.residual_block()), threads=given)
    assert str(caught.value) == f"threads is {given!r}; give a whole number from 1 to 256"


@pytest.mark.parametrize("text", ["0", "-1", "10000", "2.5", "two", "1_0", "²", "9" * 5000])
def test_a_wrong_environment_is_named(text, monkeypatch):
    monkeypatch.setenv("EDGERT_THREADS", text)
    with pytest.raises(InputError, match="EDGERT_THREADS is"):
        edgert.load(writer.to_bytes(tiny.residual_block()))
    assert edgert.load(writer.to_bytes(tiny.residual_block()), threads=1).session.threads == 1


def test_the_environment_says_how_many_where_the_caller_does_not(monkeypatch):
    monkeypatch.setenv("EDGERT_THREADS", " 3 ")
    assert threads.thread_count() == 3
    assert threads.thread_count(2) == 2
    monkeypatch.setenv("EDGERT_THREADS", "")
    assert threads.thread_count() == threads.physical_cores()


def test_a_system_that_gives_no_threads_is_named(monkeypatch):
    from edgert import plan

    def refuse(entries, count):
        raise MemoryError(f"the system does not give {count} threads")

    monkeypatch.setattr(plan, "Program", refuse)
    with pytest.raises(InputError, match="a program of 2 threads does not start here: the system does not give 2"):
        edgert.load(writer.to_bytes(tiny.residual_block()), threads=2)


def test_the_command_line_refuses_too_many_in_one_line(model_files, capsys):
    from edgert.cli.main import main

    assert main(["bench", str(model_files / "colours.bin"), "--threads", "10000"]) == 1
    assert capsys.readouterr().err == "edgert: threads is 10000; give a whole number from 1 to 256\n"
