"""`edgert doctor`: what this machine can do, what troubles it, and the mend for each trouble."""

import os
import struct
import sys

from edgert import machine
from edgert.cli.text import bytes_text, table
from edgert.optional import install_command
from edgert.tuned import cache_dir

EXAMPLE = "edgert doctor\nedgert doctor --json"

OK, WARN, BAD = "ok", "warn", "bad"
_LEAST_MEMORY = 64 << 20
_LEAST_DISK = 64 << 20
_WARM_C, _HOT_C = 70, 80  # a Pi lowers its clock from 80 degrees on
_PACKAGES = (  # module, package, what for, whether a device misses something without it
    ("numpy", "numpy", "arrays in and out, the reference tier", True),
    ("PIL", "pillow", "pictures", True),
    ("flatbuffers", "flatbuffers", "converting models", False),
)


def configure(parser):
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args):
    findings = examine()
    bad = any(finding["state"] == BAD for finding in findings)
    if args.json:
        import json

        print(json.dumps({"ok": not bad, "findings": findings}))
        return int(bad)
    print(table(("", "what", "finding"), [(f["state"], f["what"], f["value"]) for f in findings]))
    troubles = [finding for finding in findings if finding["mend"]]
    for finding in troubles:
        print(f"\n{finding['what']}: {finding['value']}\n  mend: {finding['mend']}")
    if not troubles:
        print("\nNo trouble found.")
    return int(bad)


def examine(root="", vcgencmd=None):
    """Every finding as {what, value, state, mend}, in the order they matter.

    root, vcgencmd: see `edgert.machine`; for tests.
    """
    return [
        *_cpu(root),
        *_kernels(),
        *_python(),
        *_resources(root),
        *_packages(),
        *_service(),
        *_raspberry_pi(root, vcgencmd),
    ]


def _finding(what, value, state=OK, mend=""):
    return {"what": what, "value": value, "state": state, "mend": mend}


def _cpu(root):
    usable, present = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    cores = f"{present} cores" if usable == present else f"{usable} of {present} cores usable"
    yield _finding("cpu", f"{machine.cpu_model(root) or os.uname().machine}, {cores}")
    yield _finding("cpu features", " ".join(machine.cpu_features(root)) or "none that the kernels use")
    if struct.calcsize("P") == 4:
        mend = "install the 64-bit Raspberry Pi OS: the fast kernels need it"
        yield _finding("system", f"32-bit Python on {os.uname().machine}", WARN, mend)


def _kernels():
    from edgert.kernels import tiers

    missing = _extension_trouble()
    yield missing or _finding("compiled kernels", "present")
    usable = tiers.available()
    supported = tiers.supported()
    for tier, _, needs in tiers.TIERS:
        if tier in supported and tier not in usable and not missing:
            yield _finding("tier", f"{tier} would run here but is not built", WARN, _build_mend())
        elif tier in usable:
            yield _finding("tier", tier + (f" (needs {', '.join(needs)})" if needs else ""))
    forced = os.environ.get("EDGERT_TIER")
    try:
        order = [tier for tier in tiers.resolve() if tier in usable]
        yield _finding("tiers tried", ", ".join(order) + (f" (EDGERT_TIER={forced})" if forced else ""))
    except ValueError as error:
        yield _finding("tiers tried", str(error), BAD, "unset EDGERT_TIER, or set it to one of " + ", ".join(usable))


def _extension_trouble():
    """Why the compiled executor cannot be imported, or None."""
    try:
        import edgert.kernels.native.program  # noqa: F401
    except ImportError as error:
        reason = _why_not_built() or str(error)
        return _finding("compiled kernels", f"absent, so every answer is slow: {reason}", WARN, _build_mend())
    return None


def _why_not_built():
    """What the installation noted, or a module built for another Python."""
    import edgert.kernels.native as native

    for folder in native.__path__:
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        if "not_built.txt" in names:
            with open(os.path.join(folder, "not_built.txt"), encoding="utf-8", errors="replace") as file:
                return " ".join(file.read(2000).split())
        built = [name for name in names if name.startswith("program.") and name.endswith(".so")]
        if built:
            return f"{built[0]} is not for this Python {sys.version_info.major}.{sys.version_info.minor}"
    return ""


def _build_mend():
    return (
        "apt install gcc python3-dev, then "
        f"{sys.executable} -m pip install --force-reinstall --no-deps --no-cache-dir edgert (or the folder you cloned)"
    )


def _python():
    version = ".".join(map(str, sys.version_info[:3]))
    yield _finding("python", f"{version} at {sys.executable}")


def _resources(root):
    memory = machine.memory_bytes(root)
    if memory:
        low = memory[1] < _LEAST_MEMORY
        mend = "stop other programs, or enable swap in compressed memory: apt install zram-tools" if low else ""
        value = f"{bytes_text(memory[1])} available of {bytes_text(memory[0])}"
        yield _finding("memory", value, WARN if low else OK, mend)
    cache = cache_dir()
    free = machine.disk_free_bytes(cache)
    if free is not None:
        low = free < _LEAST_DISK
        mend = "free some space, or set EDGERT_CACHE to another disk" if low else ""
        yield _finding("cache folder", f"{cache}, {bytes_text(free)} free", WARN if low else OK, mend)


def _packages():
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    for module, package, purpose, wanted in _PACKAGES:
        if find_spec(module) is None:
            mend = install_command(package) if wanted else ""
            yield _finding(package, f"not installed; it is for {purpose}", WARN if wanted else OK, mend)
            continue
        try:
            yield _finding(package, version(package))
        except PackageNotFoundError:
            yield _finding(package, "present, version unknown")


def _service():
    """What `edgert serve` needs: two packages, and memory that processes share without a name in a folder."""
    from importlib.util import find_spec

    missing = [package for package in ("starlette", "uvicorn") if find_spec(package) is None]
    if missing:
        yield _finding("edgert serve", f"not installed: {' and '.join(missing)}; {install_command(' '.join(missing))}")
        return
    try:
        os.close(os.memfd_create("edgert-doctor"))
        os.close(os.eventfd(0))
    except (OSError, AttributeError) as error:
        mend = "a kernel from 3.17 on; under systemd, SystemCallFilter must let memfd_create and eventfd2 pass"
        yield _finding("edgert serve", f"frames cannot be shared between processes: {error}", WARN, mend)
    else:
        yield _finding("edgert serve", "its packages and shared memory are there")


def _raspberry_pi(root, vcgencmd):
    model = machine.pi_model(root)
    if not model:
        return
    yield _finding("board", model)
    heat = machine.temperature_c(root)
    if heat is not None:
        state = OK if heat < _WARM_C else WARN
        note = " (the clock is lowered from 80 °C)" if heat >= _HOT_C else ""
        yield _finding("temperature", f"{heat:.0f} °C{note}", state, "" if state == OK else machine.THROTTLE_MENDS[3])
    clock = machine.governor(root)
    if clock:
        yield _finding("clock governor", clock)
    word = machine.throttled(root, vcgencmd)
    if word is None:
        mend = "apt install raspi-utils (or libraspberrypi-bin) and add your user to group video"
        yield _finding("throttling", "unknown: neither vcgencmd nor sysfs tells", WARN, mend)
        return
    states = machine.throttle_states(word)
    if not states:
        yield _finding("throttling", f"none since boot ({word:#x})")
    for bit, what, now in states:
        when = "now" if now else "since boot, not now"
        yield _finding("throttling", f"{what} {when} ({word:#x})", WARN, machine.THROTTLE_MENDS[bit])
