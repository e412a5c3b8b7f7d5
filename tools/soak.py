"""Runs a service on the synthetic camera and on prompts for hours and tells what changed meanwhile.

    python tools/soak.py --minutes 120 --camera-model detector.bin [--json soak.json]

Memory is the sum of the proportional set sizes (PSS) of all its processes, so that what they share counts once.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "serve"))

from running import Service  # noqa: E402

PROMPT = json.dumps({"prompt": "ROMEO:", "max_tokens": 64, "temperature": 0.8, "seed": 1})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--every", type=float, default=10, metavar="SECONDS", help="between two samples (10)")
    parser.add_argument("--camera-model", default=str(ROOT / "models/street/street_int8.bin"))
    parser.add_argument("--prompt-model", default=str(ROOT / "models/shakespeare/shakespeare_int4.bin"))
    parser.add_argument("--camera", default="synthetic:640x480@30")
    parser.add_argument("--fps", type=float, default=15)
    parser.add_argument("--json", metavar="FILE", help="write the samples here as well")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        words = (args.camera_model, args.prompt_model, "--camera", args.camera, "--fps", args.fps)
        service = Service(Path(folder), *words)
        try:
            samples = watch(service.until_ready(), args)
            code, seconds = service.stop()
        finally:
            service.close()
    report(samples, code, seconds)
    if args.json:
        Path(args.json).write_text(json.dumps(samples))


def watch(service, args):
    """A sample every few seconds, a prompt every two."""
    samples, started = [], time.monotonic()
    next_sample = started + 5
    while time.monotonic() < started + 60 * args.minutes:
        service.ask("/v1/completions", "POST", PROMPT, timeout=30)
        time.sleep(2)
        if time.monotonic() >= next_sample:
            samples.append(sample(service, started))
            next_sample += args.every
            print(json.dumps(samples[-1]), flush=True)
    return samples


def sample(service, started):
    pids = [service.pid, *service.parts().values()]
    health = service.health()
    return {
        "seconds": round(time.monotonic() - started, 1),
        "pss_mb": round(sum(kilobytes(pid, "smaps_rollup", "Pss:") for pid in pids) / 1024, 3),
        "rss_mb": round(sum(kilobytes(pid, "status", "VmRSS:") for pid in pids) / 1024, 3),
        "written": sum(written(pid) for pid in pids),
        "descriptors": sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),
        "frames": health["frames"]["answers"],
        "fps": health["frames"]["fps"],
        "tokens": health["prompts"]["tokens"],
        "restarts": health["worker_restarts"] + health["camera"]["reopened"],
    }


def kilobytes(pid, file, key):
    with open(f"/proc/{pid}/{file}") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key))


def written(pid):
    """Bytes that a process caused to be written to a disk."""
    with open(f"/proc/{pid}/io") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def report(samples, code, seconds):
    kept = samples[len(samples) // 5 :]  # caches fill in the beginning
    hours = (kept[-1]["seconds"] - kept[0]["seconds"]) / 3600
    usual = 2 * sorted(b["seconds"] - a["seconds"] for a, b in pairwise(kept))[len(kept) // 2]
    # A longer gap: this script was stopped itself, and the service with it.
    pairs = [(a, b) for a, b in pairwise(kept) if b["seconds"] - a["seconds"] < usual]
    rates = [(b["frames"] - a["frames"]) / (b["seconds"] - a["seconds"]) for a, b in pairs]
    third = max(1, len(rates) // 3)
    first, last = sum(rates[:third]) / third, sum(rates[-third:]) / third
    print(f"\n{samples[-1]['seconds'] / 60:.0f} minutes, the last {60 * hours:.0f} of them compared:")
    print(f"  memory       {kept[0]['pss_mb']:.1f} to {kept[-1]['pss_mb']:.1f} MB PSS (sum of the processes)")
    for key in ("pss_mb", "rss_mb"):
        per_hour = slope([(s["seconds"] / 3600, s[key]) for s in kept])
        print(f"  slope        {per_hour:+.3f} MB an hour, {key[:3].upper()}")
    print(f"  frame rate   {first:.2f} a second in the first third, {last:.2f} in the last ({last / first - 1:+.1%})")
    print(f"  written      {samples[-1]['written'] - samples[0]['written']:,} bytes to any disk")
    print(f"  descriptors  {kept[0]['descriptors']} to {kept[-1]['descriptors']}; restarts {samples[-1]['restarts']}")
    print(f"  tokens       {samples[-1]['tokens']:,}; frames {samples[-1]['frames']:,}")
    print(f"  SIGTERM      exit code {code} after {seconds:.2f} s")


def slope(points):
    """Of the straight line with the least squares."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


if __name__ == "__main__":
    main()
