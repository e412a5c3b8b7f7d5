"""edgert beside the other runtimes, on the same models in one run: latency, cold start, memory, file size, overhead.

    EDGERT_DATA=... python benchmarks/peers.py [--only resnet8,kws] [--threads 1,2] [--tune] [--json FILE]

Markdown on stdout, progress on stderr. benchmarks/README.md says how it measures and what to install.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import geometric_mean, median

from peer_report import markdown
from peer_worker import RUNTIMES, files
from record import machine_record
from turns import Worker

HERE = Path(__file__).resolve().parent
MODELS = {
    "ResNet-8": "models/mlperf_tiny/resnet8_cifar10_int8.tflite",
    "VWW": "models/mlperf_tiny/vww_96_int8.tflite",
    "KWS": "models/mlperf_tiny/kws_int8.tflite",
    "AD": "models/mlperf_tiny/ad01_int8.tflite",
    "MobileNetV2": "models/coral/tf2_mobilenet_v2_1.0_224_ptq.tflite",
    "MoveNet": "models/coral/movenet_single_pose_lightning_ptq.tflite",
    "MobileNetV2-uint8": "models/coral/mobilenet_v2_1.0_224_quant.tflite",
}
KINDS = {"edgert": "bin", "LiteRT": "tflite", "ONNX Runtime": "onnx", "PyTorch": "pt"}  # what each is started from
COLD = {
    "edgert": "import sys, edgert; edgert.load(sys.argv[1], threads=1).run_buffers([bytes(int(sys.argv[2]))])",
    "LiteRT": """
import sys, numpy
from ai_edge_litert.interpreter import Interpreter
m = Interpreter(sys.argv[1], num_threads=1)
m.allocate_tensors()
g = m.get_input_details()[0]
m.set_tensor(g["index"], numpy.zeros(g["shape"], g["dtype"]))
m.invoke()
m.get_tensor(m.get_output_details()[0]["index"])""",
    "ONNX Runtime": """
import sys, numpy, onnxruntime
o = onnxruntime.SessionOptions()
o.intra_op_num_threads = 1
m = onnxruntime.InferenceSession(sys.argv[1], o, providers=["CPUExecutionProvider"])
g = m.get_inputs()[0]
m.run(None, {g.name: numpy.zeros(g.shape, numpy.uint8)})""",
    "PyTorch": """
import sys, torch
torch.set_num_threads(1)
torch.set_grad_enabled(False)
torch.jit.load(sys.argv[1])(torch.zeros(eval(sys.argv[3]), dtype=torch.uint8))""",
}
PEAK = "\nprint([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"


def main():
    args = arguments()
    record = machine_record()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["EDGERT_CACHE"] = str(folder / "untuned")
        names = [name for name in MODELS if not args.only or name.lower() in args.only]
        sizes = {name: prepare(folder, name, args.data / MODELS[name]) for name in names}
        result = {"machine": record, "settings": settings(args), "latency": [], "left_out": {}, "tuned": []}
        for threads in args.threads:
            for name in names:
                if args.tune:
                    result["tuned"].append({"model": name, **tune(folder, name, threads, args.cores)})
                result["latency"] += latency(folder, name, threads, args, result["left_out"])
        result["geometric_mean"] = geometric_means(result["latency"])
        result["cold"] = [row for name in names for row in cold_starts(folder, name, sizes[name], args)]
        if "AD" in names:
            result["overhead"] = overhead(folder, args.cores)
    print(markdown(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("EDGERT_DATA"), help="the data folder")
    parser.add_argument("--only", type=lambda text: text.lower().split(","), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--threads", type=numbers, default=[1, 2], help="numbers of threads (1,2)")
    parser.add_argument("--cores", type=numbers, help="cores to pin to, as many as threads (the first ones)")
    parser.add_argument("--rounds", type=int, default=11, help="turns of each runtime (11)")
    parser.add_argument("--seconds", type=float, default=0.15, help="length of a turn (0.15)")
    parser.add_argument("--starts", type=int, default=11, help="processes per cold start; the median counts (11)")
    parser.add_argument("--tune", action="store_true", help="also edgert after `edgert tune`")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    args = parser.parse_args()
    if args.data is None:
        parser.error("give --data, or set EDGERT_DATA")
    args.cores = args.cores or sorted(os.sched_getaffinity(0))
    if max(args.threads) > len(args.cores):
        parser.error(f"{max(args.threads)} threads on {len(args.cores)} cores")
    return args


def numbers(text):
    return [int(word) for word in text.split(",")]


def settings(args):
    """How it was measured. An editable install of edgert starts slower, so it is told."""
    editable = subprocess.run(
        [sys.executable, "-c", "import edgert; print(edgert.__file__)"], capture_output=True, text=True, cwd="/"
    ).stdout
    plain = "site-packages" in editable or "dist-packages" in editable
    return {
        "turns": args.rounds,
        "turn_seconds": args.seconds,
        "starts": args.starts,
        "pinned_to_cores": args.cores,
        "plain_install": plain,
    }


def prepare(folder, name, source):
    """Put the model's files for every runtime into the folder. Returns: bytes of its input, and the peers' shape."""
    from peer_onnx import Unsupported, nchw, to_onnx

    from edgert import convert

    path = files(folder, name)
    path["tflite"].symlink_to(source.resolve())
    graph = convert.convert(source, path["bin"])
    try:
        path["onnx"].write_bytes(to_onnx(graph))
    except Unsupported as error:
        path["onnx"].with_suffix(".onnx.why").write_text(str(error))
    try:
        from peer_torch import to_torch

        to_torch(graph)[0].save(str(path["pt"]))
    except Unsupported as error:
        path["pt"].with_suffix(".pt.why").write_text(str(error))
    except ImportError:
        path["pt"].with_suffix(".pt.why").write_text("not installed")
    spec = graph.tensors[graph.inputs[0]]
    return spec.nbytes, nchw(spec.shape)


def tune(folder, name, threads, cores):
    """What `edgert tune` finds, kept in a cache of its own."""
    command = [sys.executable, "-m", "edgert", "tune", files(folder, name)["bin"], "--threads", threads, "--json"]
    command += ["--pin", ",".join(map(str, cores[:threads]))]
    environment = os.environ | {"EDGERT_CACHE": str(folder / "tuned")}
    # In another folder, because `-m` would import edgert from a checkout that it is started in.
    done = subprocess.run(list(map(str, command)), env=environment, stdout=subprocess.PIPE, check=True, cwd="/")
    return json.loads(done.stdout) | {"model": name}


def _worker(runtime, folder, name, threads, cores):
    pinned = ",".join(map(str, cores[:threads]))
    cache = folder / ("tuned" if runtime == "edgert tuned" else "untuned")
    return Worker([HERE / "peer_worker.py", runtime, folder, name, threads, pinned], {"EDGERT_CACHE": str(cache)})


def latency(folder, name, threads, args, left_out):
    """A row per runtime that takes the model: all of them loaded and warm, taking turns on the same cores."""
    runtimes = [runtime for runtime in RUNTIMES if args.tune or runtime != "edgert tuned"]
    workers = {runtime: _worker(runtime, folder, name, threads, args.cores) for runtime in runtimes}
    times = {}
    for runtime, worker in workers.items():
        if "left_out" in worker.ready:
            left_out.setdefault(runtime, {})[name] = worker.ready["left_out"]
        else:
            worker.ask(f"run {args.seconds}")  # warm
            times[runtime] = []
    for turn in range(args.rounds):
        order = list(times)
        for runtime in order[turn % len(order) :] + order[: turn % len(order)]:
            time.sleep(0.02)  # the threads of the one before fall asleep
            times[runtime] += workers[runtime].ask(f"run {args.seconds}")
    for worker in workers.values():
        worker.stop()
    least = ", ".join(f"{runtime} {min(found) / 1e3:.1f} us" for runtime, found in times.items())
    print(f"{name}, {threads} threads: {least}", file=sys.stderr)
    return [
        {
            "model": name,
            "threads": threads,
            "runtime": runtime,
            "min_ns": min(found),
            "median_ns": round(median(found)),
            "runs": len(found),
            "difference_from_edgert": workers[runtime].ready["difference"],
        }
        for runtime, found in times.items()
    ]


def geometric_means(rows):
    """Per number of threads and runtime of ours: the geometric mean of its share of LiteRT's time, min and median."""
    litert = {(row["model"], row["threads"]): row for row in rows if row["runtime"] == "LiteRT"}
    means = []
    for threads, runtime in sorted({(row["threads"], row["runtime"]) for row in rows if "edgert" in row["runtime"]}):
        ours = [row for row in rows if (row["threads"], row["runtime"]) == (threads, runtime)]
        pairs = [(row, litert[row["model"], threads]) for row in ours if (row["model"], threads) in litert]
        if pairs:
            shares = {key: geometric_mean(a[key] / b[key] for a, b in pairs) for key in ("min_ns", "median_ns")}
            means.append({"threads": threads, "runtime": runtime, "models": len(pairs), **shares})
    return means


def cold_starts(folder, name, size, args):
    """Per runtime: from process start to its first answer, the peak of that process's memory, the file it loads."""
    nbytes, shape = size
    path = files(folder, name)
    present = {runtime: path[kind] for runtime, kind in KINDS.items() if path[kind].exists()}
    found = {runtime: [] for runtime in present}
    for _ in range(args.starts + 1):
        for runtime, file in present.items():
            if runtime in found:
                once = cold_start(COLD[runtime], [file, nbytes, shape])
                if once is None:
                    del found[runtime]
                else:
                    found[runtime].append(once)
    return [
        {
            "model": name,
            "runtime": runtime,
            "start_ms": median(ms for ms, _ in runs[1:]),
            "least_start_ms": min(ms for ms, _ in runs[1:]),
            "peak_mb": min(mb for _, mb in runs[1:]),
            "file_bytes": present[runtime].stat().st_size,
        }
        for runtime, runs in found.items()
    ]


def cold_start(code, words):
    """(ms from process start to the first answer, peak MB of that process), or None if it fails (not installed)."""
    command = [sys.executable, "-c", code + "\nprint('answered', flush=True)" + PEAK, *map(str, words)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd="/") as process:
        answered = process.stdout.readline()
        elapsed = time.perf_counter() - started
        peak = process.stdout.readline()
    return (1e3 * elapsed, int(peak) / 1024) if answered and peak else None


def overhead(folder, cores):
    """Where the time of a call of the AD model goes, beside its kernels."""
    worker = _worker("edgert", folder, "AD", 1, cores)
    found = worker.ask("overhead")
    worker.stop()
    return found


if __name__ == "__main__":
    main()
