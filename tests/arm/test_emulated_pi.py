"""The aarch64 wheel on emulated Raspberry Pis: it installs, picks the right kernels and gives the same bits as here."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from emulated import CORES, KERNEL_TESTS, PYTHONS, STAGE, TOP, output, start

from edgert.graph import TOKENS
from edgert.session import Session

pytestmark = pytest.mark.arm

DATA = Path(os.environ.get("EDGERT_DATA", "data"))
MODELS = [
    *sorted(DATA.glob("models/mlperf_tiny/*_int8.tflite")),
    *sorted(DATA.glob("models/coral/*.tflite")),
    *sorted(DATA.glob("models/tflite_micro/[mp]*.tflite")),  # micro_speech, person_detect
    *sorted(TOP.glob("models/*/*.bin")),
]

# The names a wheel may have on this Python and C library, as pip computes them.
TAGS = "from packaging import tags; print(*map(str, tags.sys_tags()))"
TIERS = "from edgert.kernels import tiers; print(*tiers.available())"


@pytest.mark.parametrize("python", PYTHONS)
def test_pip_on_raspberry_pi_os_takes_the_wheel(python):
    (wheel,) = (STAGE / "dist").glob(f"edgert-*-cp{python.replace('.', '')}-*.whl")
    tag = wheel.stem.split("-", 2)[2]
    assert tag in output("cortex-a53", "-c", TAGS, python=python).split()


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("core", CORES)
def test_dispatch_follows_the_core(core, python):
    assert output(core, "-c", TIERS, python=python).split() == CORES[core]


def test_a_tier_beyond_the_core_is_refused_by_name():
    done = start("cortex-a72", "-c", "from edgert.kernels import tiers; tiers.resolve('neondot')")
    assert done.returncode == 1
    assert "this CPU cannot run tier 'neondot': it needs neon and asimddp" in done.stderr


def conformance(core, *options, python="3.11"):
    """The closing line of the kernels' own tests, run over there."""
    said = output(core, "-m", "pytest", "-p", "no:cacheprovider", *KERNEL_TESTS, *options, python=python)
    closing = said.splitlines()[-1]
    print(f"{core}, Python {python}: {closing}")
    return closing


# scalar and the threads say the same on every core: once is enough for what costs most of the time.
@pytest.mark.parametrize(
    ("core", "python", "selection"),
    [
        ("cortex-a53", "3.11", "neon and not threads"),
        ("cortex-a72", "3.11", ""),
        ("cortex-a76", "3.11", "neondot or requant"),
        ("cortex-a76", "3.13", "neondot and conv2d"),
    ],
)
def test_kernels_conform(core, python, selection):
    assert "passed" in conformance(core, "-k", selection, python=python)


def sample(tensor):
    """Smooth waves and some noise: like a picture it drives all layers, and it needs no file. A language model's ends:
    seven tokens, at position 0."""
    if tensor.dtype == "int32":
        return (np.arange(7) * 9 if TOKENS in tensor.shape else np.zeros(1)).astype(np.int32).tobytes()
    rng = np.random.default_rng(0)
    t = np.arange(tensor.size)
    wave = np.sin(t * 0.011) * 0.6 + np.sin(t * 0.37) * 0.2 + rng.normal(0, 0.1, tensor.size)
    if tensor.dtype == "float32":
        return wave.astype(np.float32).tobytes()
    info = np.iinfo(tensor.dtype)
    middle = 128 if info.min == 0 else 0
    return np.clip(np.rint(wave * 127) + middle, info.min, info.max).astype(tensor.dtype).tobytes()


@pytest.fixture(scope="module", params=MODELS, ids=lambda path: path.stem)
def model(request, tmp_path_factory):
    """(file, its input files, the outputs' bytes as this machine computes them)."""
    source = request.param
    folder = tmp_path_factory.mktemp(source.stem)
    path = source
    if source.suffix == ".tflite":
        path = folder / "model.bin"
        subprocess.run([sys.executable, "-m", "edgert", "convert", source, "-o", path], check=True, cwd=folder)
    session = Session(path)
    inputs = [sample(tensor) for tensor in session.inputs]
    files = [folder / f"input{i}" for i in range(len(inputs))]
    for file, data in zip(files, inputs, strict=True):
        file.write_bytes(data)
    return path, files, [bytes(out) for out in session.run_buffers(inputs)]


@pytest.mark.parametrize("core", CORES)
def test_whole_model_gives_the_same_bits(model, core):
    path, files, expected = model
    result = json.loads(output(core, "tests/arm/guest_model.py", str(path), "2", *map(str, files)))
    assert result["outputs"] == [hashlib.sha256(data).hexdigest() for data in expected]
    assert result["tiers"] == CORES[core][:1]
    assert not result["numpy"]
