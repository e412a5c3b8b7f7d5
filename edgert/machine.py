"""What the machine says about itself in /proc and /sys.

`root` is put in front of every path, so that tests bring their own machine.
"""

import os
from glob import glob

# Part number in /proc/cpuinfo of an Arm core -> its name and the Pi that has it.
_ARM_PARTS = {
    0xB76: "ARM1176",
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
}
# Features in /proc/cpuinfo that matter to int8 kernels, as the kernel spells them on x86 and Arm.
_RELEVANT = ("sse4_1", "avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimd", "asimddp", "i8mm", "sve")

THROTTLE_BITS = {
    0: "under-voltage",
    1: "Arm clock capped",
    2: "throttled",
    3: "soft temperature limit",
}
_POWER_MEND = "use the official supply (Pi 5: 5 V 5 A, Pi 4: 5 V 3 A) and a short, thick cable"
_HEAT_MEND = "add a heat sink or fan, or free the air around the board"
THROTTLE_MENDS = {0: _POWER_MEND, 1: f"{_POWER_MEND}; if it is hot, {_HEAT_MEND}", 2: _HEAT_MEND, 3: _HEAT_MEND}


def cpu_model(root=""):
    """The CPU's name, or '' if the machine does not tell."""
    fields = _cpuinfo(root)
    if fields.get("model name") and "cpu part" not in fields:
        return fields["model name"]
    try:
        part = int(fields.get("cpu part", ""), 16)
    except ValueError:
        return ""
    return _ARM_PARTS.get(part, f"Arm core, part {part:#x}")


def cpu_features(root=""):
    """Features of the CPU that int8 kernels care about, in a fixed order."""
    fields = _cpuinfo(root)
    present = (fields.get("flags") or fields.get("features") or "").split()
    return [name for name in _RELEVANT if name in present]


def _cpuinfo(root):
    """First value of every key."""
    fields = {}
    for line in (_read(f"{root}/proc/cpuinfo") or "").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip().lower(), value.strip())
    return fields


def memory_bytes(root=""):
    """(total, available) of main memory, or None."""
    fields = _meminfo(root)
    if "MemTotal" not in fields or "MemAvailable" not in fields:
        return None
    return fields["MemTotal"], fields["MemAvailable"]


def cma_free_bytes(root=""):
    """Free memory of the area that camera and video buffers come from, or None where there is no such area."""
    fields = _meminfo(root)
    return fields.get("CmaFree") if fields.get("CmaTotal") else None


def _meminfo(root):
    fields = {}
    for line in (_read(f"{root}/proc/meminfo") or "").splitlines():
        key, _, value = line.partition(":")
        words = value.split()
        if words and words[0].isdigit():
            fields[key] = int(words[0]) * 1024
    return fields


def last_cache_bytes(root=""):
    """Size of the largest cache of the first core, 0 if the machine does not tell."""
    sizes = [(_read(path) or "").strip() for path in glob(f"{root}/sys/devices/system/cpu/cpu0/cache/index*/size")]
    units = {"K": 1 << 10, "M": 1 << 20}
    return max([int(size[:-1]) * units[size[-1]] for size in sizes if size[:-1].isdigit() and size[-1] in units] or [0])


def pi_model(root=""):
    """'Raspberry Pi 5 Model B Rev 1.0', or '' on other machines."""
    model = (_read(f"{root}/proc/device-tree/model") or "").rstrip("\0\n")
    return model if model.startswith("Raspberry Pi") else ""


def temperature_c(root=""):
    """Of the CPU's thermal zone in degrees Celsius, or None."""
    for zone in sorted(glob(f"{root}/sys/class/thermal/thermal_zone*")):
        if "cpu" in (_read(f"{zone}/type") or ""):
            text = (_read(f"{zone}/temp") or "").strip()
            if text.lstrip("-").isdigit():
                return int(text) / 1000
    return None


def clock_mhz(root=""):
    """Clock of the first core now, or None."""
    text = (_read(f"{root}/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq") or "").strip()
    if text.isdigit():
        return int(text) / 1000
    try:
        return float(_cpuinfo(root).get("cpu mhz", ""))
    except ValueError:
        return None


def governor(root=""):
    """How the CPU's clock is chosen ('ondemand', 'performance', ...), or ''."""
    return (_read(f"{root}/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "").strip()


def throttled(root="", vcgencmd=None):
    """The firmware's throttle word, or None if nothing tells it.

    vcgencmd: function from arguments to the tool's output, or None where it is not installed.
    Source: Raspberry Pi documentation, vcgencmd get_throttled: bits 0..3 are now, 16..19 since boot.
    """
    text = (vcgencmd or run_vcgencmd)("get_throttled") or ""
    _, equals, value = text.strip().partition("=")
    if not equals:
        files = [
            file
            for place in ("soc*/", "")
            for file in glob(f"{root}/sys/devices/platform/{place}*firmware*/get_throttled")
        ]
        value = (_read(files[0]) or "").strip() if files else ""
    try:
        return int(value, 16)
    except ValueError:
        return _undervoltage_alarm(root)


def _undervoltage_alarm(root):
    for sensor in sorted(glob(f"{root}/sys/class/hwmon/hwmon*")):
        if (_read(f"{sensor}/name") or "").strip() == "rpi_volt":
            return int((_read(f"{sensor}/in0_lcrit_alarm") or "").strip() == "1")
    return None


def run_vcgencmd(*args):
    """Output of the firmware's tool, or None where there is none."""
    import shutil
    import subprocess

    tool = shutil.which("vcgencmd")
    if tool is None:
        return None
    try:
        return subprocess.run([tool, *args], capture_output=True, text=True, timeout=3, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None


def throttle_states(word):
    """[(bit, what, now)] for every trouble in a throttle word; what is only in the past has now=False."""
    states = []
    for bit, what in THROTTLE_BITS.items():
        now, since_boot = word >> bit & 1, word >> (bit + 16) & 1
        if now or since_boot:
            states.append((bit, what, bool(now)))
    return states


def disk_free_bytes(path):
    """Free space for this user where `path` is or would be made, or None."""
    while not os.path.exists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    try:
        status = os.statvfs(path)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 16)
    except OSError:
        return None
