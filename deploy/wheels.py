"""Which wheels a board can install, by their file names (PEP 425, PEP 600)."""

import re
from pathlib import Path

from edgert.errors import DeployError

_NAME = re.compile(
    r"(?P<name>[^-]+)-(?P<version>[^-]+)(-\d[^-]*)?-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl"
)


def fitting(folder, facts):
    """Paths of the wheels in `folder` that the board of `facts` can install, edgert's own first.

    Raises: DeployError if edgert's own is not among them.
    """
    wheels = [path for path in sorted(Path(folder).glob("*.whl"), key=_age) if fits(path.name, facts)]
    own = [path for path in wheels if path.name.startswith("edgert-")]
    if not own:
        python = "{}.{}".format(*facts["python"])
        raise DeployError(
            f"{folder} has no edgert wheel for Python {python} on {facts['machine']} "
            "(`make wheels` in edgert's sources makes them, --wheels names the folder)"
        )
    return [own[-1], *[path for path in wheels if path not in own]]


def fits(name, facts):
    """Whether a wheel of this file name installs on the board of `facts`."""
    match = _NAME.fullmatch(name)
    if not match:
        return False
    tags = [match[part].split(".") for part in ("python", "abi", "platform")]
    return (
        any(_python_fits(tag, tags[1], facts["python"]) for tag in tags[0])
        and any(_platform_fits(tag, facts) for tag in tags[2])
    )  # fmt: skip


def _python_fits(tag, abis, version):
    exact = f"cp{version[0]}{version[1]}"
    if tag == exact:
        return bool({exact, "abi3", "none"} & set(abis))
    minor = re.fullmatch(rf"(cp|py){version[0]}(\d*)", tag)
    if not minor or int(minor[2] or 0) > version[1]:
        return False
    return "abi3" in abis if minor[1] == "cp" else "none" in abis


def _platform_fits(tag, facts):
    if tag == "any":
        return True
    if not tag.endswith("_" + facts["machine"]):
        return False
    known = re.match(r"manylinux_(\d+)_(\d+)_", tag)
    legacy = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
    needs = (int(known[1]), int(known[2])) if known else legacy.get(tag.split("_")[0], (0, 0))
    return tag.startswith(("manylinux", "linux")) and needs <= _version(facts["glibc"])


def _age(path):
    """Sorts 0.9.0 before 0.10.0."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def _version(text):
    parts = re.findall(r"\d+", text)[:2]
    return tuple(int(part) for part in parts) or (0, 0)
