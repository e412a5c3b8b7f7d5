"""Python on an emulated Raspberry Pi. `make test-arm` fills build/arm: the unpacked wheels and a copy of the tests."""

import os
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
STAGE = TOP / "build/arm"
KERNEL_TESTS = [f"tests/kernels/test_{name}.py" for name in ("conformance", "requant")]
PYTHONS = ("3.11", "3.13")  # Raspberry Pi OS Bookworm and Trixie

# Raspberry Pi 3 and Zero 2 W, 4, 5: the tiers each must offer. Only the last has the dot product.
CORES = {
    "cortex-a53": ["neon", "scalar", "reference"],
    "cortex-a72": ["neon", "scalar", "reference"],
    "cortex-a76": ["neondot", "neon", "scalar", "reference"],
}


def start(core, *arguments, python="3.11", **environment):
    """The finished process of `python arguments` on that core: returncode, stdout, stderr."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("EDGERT_TIER", "PYTHONHOME")}
    return subprocess.run(
        [TOP / "tools/arm/python.sh", core, python, "-P", *arguments],
        cwd=STAGE / "tree",
        env=inherited | {"PYTHONPATH": str(STAGE / f"site-{python}")} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def output(core, *arguments, **options):
    """What it printed; fails the test with everything it said if it ended otherwise than with 0."""
    done = start(core, *arguments, **options)
    assert done.returncode == 0, f"{core}: exit {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout
