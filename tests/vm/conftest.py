"""The emulated board that all tests here share: booting one takes minutes."""

import shutil

import pytest
import virtual_board


@pytest.fixture(scope="session")
def machine(tmp_path_factory):
    """A VirtualBoard. Skips with what is missing."""
    if not shutil.which("qemu-system-aarch64"):
        pytest.skip("qemu-system-aarch64 is not installed (Debian: apt-get install qemu-system-arm)")
    if not (virtual_board.IMAGE / "disk.img").exists() or not list(virtual_board.WHEELS.glob("edgert-*.whl")):
        pytest.skip("the machine's disk or wheels are not made (make test-vm makes them)")
    one = virtual_board.VirtualBoard(tmp_path_factory.mktemp("board"))
    yield one
    one.close()


@pytest.fixture
def board(machine):
    """The machine, up."""
    return machine if machine.is_on() else machine.boot()
