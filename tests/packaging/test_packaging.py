"""What a user installs: the sdist builds, the wheel holds what runs and nothing else, no compiler is no obstacle."""

import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

TOP = Path(__file__).resolve().parents[2]
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", ".cache", ".*_cache", ".hypothesis", "build", "dist", "data", "__pycache__", "*.so", "*.egg-info"
)
ISA_MODULES = {"x86_64": {"_avx512vnni", "_avx2"}, "aarch64": {"_neondot", "_neon"}}
BYTES_LIMIT = 5_000_000  # installed, beyond NumPy


def call(*command, cwd, **environment):
    env = {name: value for name, value in os.environ.items() if not name.startswith("EDGERT_")} | environment
    done = subprocess.run([sys.executable, *command], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def build_wheel(source, folder, **environment):
    """(wheel, what the build said)."""
    options = ("-v", "--no-deps", "--no-build-isolation", "-w", folder)
    said = call("-m", "pip", "wheel", *options, source, cwd=folder, **environment)
    (wheel,) = folder.glob("*.whl")
    return wheel, said


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """The sources without anything that a build left behind."""
    return Path(shutil.copytree(TOP, tmp_path_factory.mktemp("tree") / "edgert", ignore=NOT_SOURCE))


@pytest.fixture(scope="session")
def sdist(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    call("-c", f"from setuptools.build_meta import build_sdist; build_sdist({str(folder)!r})", cwd=tree)
    (archive,) = folder.glob("edgert-*.tar.gz")
    return archive


@pytest.fixture(scope="session")
def wheel(sdist, tmp_path_factory):
    """Built from the sdist alone: proves that the sdist is complete."""
    return build_wheel(sdist, tmp_path_factory.mktemp("wheel"), EDGERT_REQUIRE_NATIVE="1")[0]


@pytest.fixture(scope="session")
def plain_install(tree, tmp_path_factory):
    """(folder to put on PYTHONPATH, what the build said): installed where the compiler does nothing but fail."""
    wheel, said = build_wheel(tree, tmp_path_factory.mktemp("plain"), CC="/bin/false")
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder, said


def test_sdist_has_the_kernel_sources_and_no_build_products(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"LICENSE", "README.md", "Makefile", "edgert/format/model.fbs", "kernels/native/simd/neon.h"} <= names
    assert {f"kernels/native/{p.name}" for p in (TOP / "kernels/native").glob("*.p[xy][xdi]")} <= names
    assert not [name for name in names if name.endswith((".so", ".c", ".pyc"))]


def test_wheel_holds_what_runs_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        installed_bytes = sum(info.file_size for info in archive.infolist())
    modules = {Path(name).name.split(".")[0] for name in names if name.endswith(".so")}
    assert modules == {"program", "choose", "boxes", "pixels", "_scalar"} | ISA_MODULES.get(platform.machine(), set())
    assert {name.split("/")[0].split("-")[0] for name in names} == {"edgert"}
    assert not [name for name in names if name.endswith((".pyx", ".pxi", ".pxd", ".h", ".c", ".bin"))]
    sources = {str(p.relative_to(TOP)) for p in (TOP / "edgert").rglob("*.py")}
    sources |= {f"edgert/{p.relative_to(TOP)}" for top in ("kernels", "deploy") for p in (TOP / top).rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources
    assert installed_bytes <= BYTES_LIMIT, f"{installed_bytes:,} bytes"


def test_build_without_a_compiler_says_what_is_missing_and_how_to_mend_it(plain_install):
    folder, said = plain_install
    note = (folder / "edgert/kernels/native/not_built.txt").read_text()
    assert "native modules were not built" in note
    assert "apt install gcc python3-dev" in note
    assert all(line.strip() in said for line in note.splitlines())
    assert not list(folder.rglob("*.so"))


def test_install_without_a_compiler_answers_and_says_what_runs_it(plain_install):
    site = {"PYTHONPATH": str(plain_install[0])}
    assert call("-P", "-c", "import edgert; print(edgert.__file__)", cwd="/", **site).startswith(str(plain_install[0]))
    model = TOP / "models/cifar10/cifar10_int8.bin"
    said = call("-P", "-m", "edgert", "run", model, next(TOP.glob("models/pictures/*.jpg")), cwd="/", **site)
    runs = re.findall(r"(\d+) of (\d+) nodes on (?:reference|jit)", said)
    assert sum(int(count) for count, _ in runs) == int(runs[0][1]), said  # jit, where it is installed, leaves some over
    assert "apt install gcc python3-dev" in call("-P", "-m", "edgert", "doctor", cwd="/", **site)
