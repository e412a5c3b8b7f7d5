"""Language models in edgert beside llama.cpp, CTranslate2 and PyTorch in one run: prefill, decode, start, memory.

    EDGERT_DATA=... python benchmarks/text_models.py FOLDER
    python benchmarks/text.py FOLDER [--only gpt2,smollm,char] [--threads 1,2] [--rounds 3] [--json FILE]

Prompts of 32 and 128 token ids, 128 more tokens, greedy. Every runtime is a process of its own, pinned and warm; they
take turns. Markdown on stdout, progress on stderr. The read bandwidth is measured in the same run (roofline.py).
"""

import argparse
import json
import mmap
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
from record import machine_record
from text_worker import RUNTIMES, file_of
from turns import Worker

from edgert.cli.peak import beyond_caches, measured_bandwidth

HERE = Path(__file__).resolve().parent
MODELS = {"gpt2": "GPT-2, 124 M", "smollm": "SmolLM shape, 135 M", "char": "characters, 10 M"}
PROMPTS, NEW_TOKENS = (32, 128), 128
TEXT = (
    "The quick brown fox jumps over the lazy dog near the river bank, and the old man who sat there every morning "
    "looked up from his book and smiled."
)  # 32 tokens of GPT-2
COLD = {
    "edgert": """
import sys, edgert
answer = iter(edgert.load(sys.argv[1], threads=1).generate(sys.argv[2], max_tokens=128, temperature=0))
next(answer)""",
    "llama.cpp": """
import sys
from llama_cpp import Llama
m = Llama(sys.argv[1], n_ctx=256, n_threads=1, n_threads_batch=1, verbose=False)
tokens = m.generate(m.tokenize(sys.argv[2].encode(), add_bos=False), temp=0.0, repeat_penalty=1.0)
next(tokens)
answer = (next(tokens) for _ in range(127))""",
}
END = """
print("answered", flush=True)
list(answer)
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])"""


def main():
    args = arguments()
    result = {
        "machine": machine_record(),
        "rounds": args.rounds,
        "rows": [],
        "left_out": {},
        "cold": [],
        "read_gbs": {},
    }
    for threads in args.threads:
        result["read_gbs"][threads] = max(measured_bandwidth(threads, nbytes=beyond_caches()), huge_page_gbs(threads))
        for model in args.only:
            result["rows"] += measure(args, model, threads, result["left_out"])
    if args.starts:
        result["cold"] = [row for model in args.only for row in cold_starts(args, model)]
    print(markdown(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what text_models.py made")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(MODELS), help=", ".join(MODELS))
    parser.add_argument(
        "--runtimes", type=lambda text: text.split(","), default=list(RUNTIMES), help=", ".join(RUNTIMES)
    )
    parser.add_argument("--threads", type=_numbers, default=[1, 2], help="numbers of threads (1,2)")
    parser.add_argument("--cores", type=_numbers, default=sorted(os.sched_getaffinity(0)), help="cores to pin to")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each runtime (3)")
    parser.add_argument("--starts", type=int, default=5, help="processes per cold start (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    return parser.parse_args()


def _numbers(text):
    return [int(word) for word in text.split(",")]


def _worker(runtime, args, model, threads):
    pinned = ",".join(map(str, args.cores[:threads]))
    words = [HERE / "text_worker.py", runtime, args.folder, model, threads, pinned]
    return Worker(words, {"OMP_NUM_THREADS": str(threads)})


def huge_page_gbs(threads, nbytes=1 << 28, turns=5):
    """Bytes per nanosecond that NumPy's sum reads from huge pages, where the system has them: edgert's large models lie
    in such, so this is their bound."""
    memory = mmap.mmap(-1, nbytes * threads, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    words = np.frombuffer(memory, np.int64)
    words[:] = 1
    parts, best = np.split(words, threads), float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(turns):
            started = time.perf_counter_ns()
            list(pool.map(np.sum, parts))
            best = min(best, time.perf_counter_ns() - started)
    return words.nbytes / best


def measure(args, model, threads, left_out):
    """A row per runtime: tokens per second of both prompts and of decoding, best and median turn."""
    workers = {}
    for runtime in args.runtimes:
        worker = _worker(runtime, args, model, threads)
        if "left_out" not in worker.ready and "left_out" not in worker.ask(0, 8, 4):
            workers[runtime] = worker
        else:
            left_out.setdefault(runtime, {})[model] = worker.ready.get("left_out", "it failed")
    turns = {runtime: [] for runtime in workers}
    for turn in range(args.rounds):
        for runtime, worker in workers.items():
            time.sleep(0.05)
            long = worker.ask(2 * turn + 1, PROMPTS[1], 1)
            turns[runtime].append((long, worker.ask(2 * turn + 2, PROMPTS[0], NEW_TOKENS + 1)))
    for worker in workers.values():
        worker.stop()
    return [_row(args, model, threads, runtime, found) for runtime, found in turns.items()]


def _row(args, model, threads, runtime, turns):
    path = file_of(args.folder, model, runtime)
    short = [PROMPTS[0] * 1e9 / answer["first_ns"] for _, answer in turns]
    long = [PROMPTS[1] * 1e9 / answer["first_ns"] for answer, _ in turns]
    decode = [NEW_TOKENS * 1e9 / answer["rest_ns"] for _, answer in turns]
    print(f"{model}, {threads} threads, {runtime}: {max(decode):.0f} tok/s, prefill {max(short):.0f}", file=sys.stderr)
    best = {"prefill_32": max(short), "prefill_128": max(long), "decode": max(decode)}
    middle = {"prefill_32": median(short), "prefill_128": median(long), "decode": median(decode)}
    return {
        "model": model, "threads": threads, "runtime": runtime, "best": best, "median": middle,
        "bytes": path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.iterdir()),
        "distinct_tokens": len(set(turns[-1][1]["tokens"])),
    }  # fmt: skip


def cold_starts(args, model):
    """From process start to the first token of a text of 32 tokens, and the peak memory after 128; page cache warm."""
    if model == "char":  # its vocabulary has not the letters of TEXT
        return []
    present = {r: file_of(args.folder, model, r) for r in args.runtimes if r.split()[0] in COLD}
    found, rows = {runtime: [] for runtime, path in present.items() if path.exists()}, []
    for _ in range(args.starts + 1):
        for runtime, runs in found.items():
            once = cold_start(COLD[runtime.split()[0]], present[runtime])
            if once is not None:
                runs.append(once)
    for runtime, runs in found.items():
        if len(runs) > 1:
            ms, mb = median(ms for ms, _ in runs[1:]), min(mb for _, mb in runs[1:])
            rows.append({"model": model, "runtime": runtime, "start_ms": ms, "peak_mb": mb})
    return rows


def cold_start(code, path):
    """(ms from process start to the first token, peak MB of that process), or None if it fails."""
    command = [sys.executable, "-c", code + END, str(path), TEXT]
    # Bytecode is kept between starts, as an installation has it, wherever this runs from.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd="/", env=kept
    ) as process:
        answered = process.stdout.readline()
        elapsed = time.perf_counter() - started
        peak = process.stdout.readline()
    return (1e3 * elapsed, int(peak) / 1024) if answered and peak else None


def markdown(result):
    lines = []
    for threads, gbs in result["read_gbs"].items():
        rows = [row for row in result["rows"] if row["threads"] == threads]
        lines += [f"## {threads} thread{'s' if threads > 1 else ''} (memory reads {gbs:.1f} GB/s)", ""]
        lines += ["| model | runtime | decode, tok/s | of the read bound | prefill 32 | prefill 128 | weights |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for row in rows:
            share = row["best"]["decode"] * row["bytes"] / (gbs * 1e9)
            bound = f"{100 * share:.0f} %" if row["bytes"] > 30e6 else ""
            figures = " | ".join(_pair(row, key) for key in ("prefill_32", "prefill_128"))
            lines.append(
                f"| {MODELS[row['model']]} | {row['runtime']} | {_pair(row, 'decode')} | {bound} | {figures} | "
                f"{row['bytes'] / 1e6:.1f} MB |"
            )
        lines.append("")
    if result["cold"]:
        lines += ["| model | runtime | process start to first token | peak memory |", "|---|---|---|---|"]
        for row in result["cold"]:
            cells = MODELS[row["model"]], row["runtime"], f"{row['start_ms']:.0f} ms", f"{row['peak_mb']:.0f} MB"
            lines.append("| " + " | ".join(cells) + " |")
    for runtime, models in result["left_out"].items():
        lines += ["", *[f"{runtime} left out of {model}: {why}" for model, why in models.items()]]
    return "\n".join(lines)


def _pair(row, key):
    """Best and median turn."""
    return f"{row['best'][key]:,.0f} ({row['median'][key]:,.0f})"


if __name__ == "__main__":
    main()
