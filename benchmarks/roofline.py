"""The roofs of this CPU: int8 products and bytes read, with every tier that runs here.

    python benchmarks/roofline.py [--threads 1,2] [--json FILE]

Prints a Markdown table. The measuring is that of `edgert profile`: edgert/cli/peak.py.
"""

import argparse
import json
from pathlib import Path

from record import machine_record

from edgert.cli.peak import beyond_caches, measured_bandwidth, measured_peak
from edgert.cli.text import bytes_text
from edgert.kernels import tiers
from edgert.machine import last_cache_bytes

CACHED_BYTES = 256 << 10


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", default="1", help="numbers of threads, such as 1,2 (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    args = parser.parse_args()
    record = machine_record()
    rows = [measure(tier, int(count)) for tier in native_tiers() for count in args.threads.split(",")]
    cached, memory = bytes_text(CACHED_BYTES), bytes_text(beyond_caches())
    print(f"| tier | threads | int8 dot, GMAC/s | read {cached}, GB/s | read {memory}, GB/s |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['tier']} | {row['threads']} | {row['gmacs']:.3g} | {row['cached_gbs']:.3g} | {row['gbs']:.3g} |")
    if args.json:
        sizes = {"cached_bytes": CACHED_BYTES, "memory_bytes": beyond_caches(), "last_cache_bytes": last_cache_bytes()}
        args.json.write_text(json.dumps({"machine": record, **sizes, "rows": rows}, indent=1) + "\n")


def native_tiers():
    """The tiers whose kernels are compiled before they run."""
    return [tier for tier in tiers.available() if tier not in ("reference", "jit")]


def measure(tier, threads):
    """Peak in GMAC/s and bandwidths in GB/s of one tier."""
    return {
        "tier": tier,
        "threads": threads,
        "gmacs": measured_peak(threads, tier),
        "cached_gbs": measured_bandwidth(threads, tier, CACHED_BYTES),
        "gbs": measured_bandwidth(threads, tier, beyond_caches()),
    }


if __name__ == "__main__":
    main()
