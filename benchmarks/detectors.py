"""The ONNX detectors: edgert's int8 beside ONNX Runtime, ncnn and LiteRT in float, one thread, in one run.

    EDGERT_DATA=... python benchmarks/detectors.py [--core 1] [--seconds 4] [--json FILE]

Prepares first (converts, calibrates on a few pictures: weights do not change the time), then times. ncnn needs the
package pnnx, which turns ONNX into its files; LiteRT takes the one detector that there is a .tflite of. A runtime that
is not installed is left out and named. A time is one call of the runtime's Python API from input tensor to outputs.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter_ns

import numpy as np
from peer_report import table
from record import machine_record

MODELS = ("FastestDet", "yolo_fastestv2", "yolox_nano", "ultraface_RFB-320")
TFLITE = {"ultraface_RFB-320": "tflite_misc/ultraface_RFB-320.tflite"}
CALIBRATION = 4  # pictures
TURN = 0.15  # seconds that a runtime has at a time


def edgert_int8(source, folder, x):
    import edgert
    from edgert import convert
    from edgert.convert.quantize import quantize
    from edgert.format import writer

    path = folder / f"{source.stem}.bin"
    if not path.exists():
        graph = convert.load(source)[0]
        shape = graph.tensors[graph.inputs[0]].shape
        rng = np.random.default_rng(0)
        samples = [(rng.normal(0.4, 0.25, shape).astype(np.float32),) for _ in range(CALIBRATION)]
        writer.write(quantize(graph, samples, observer="minmax", correct=False)[0], path)
    model = edgert.load(path, threads=1)
    given = [bytes(model.inputs[0].nbytes)]
    return lambda: model.run_buffers(given)


def session_of(source):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = 1, 1, 3
    return onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def onnx_runtime(source, folder, x):
    session = session_of(source)
    given = {session.get_inputs()[0].name: x}
    return lambda: session.run(None, given)


def ncnn_float(source, folder, x):
    import ncnn
    import pnnx

    stem = source.stem.replace("-", "_")
    if not (folder / f"{stem}.ncnn.param").exists():
        shutil.copy(source, folder)
        subprocess.run([pnnx.EXEC_PATH, source.name], cwd=folder, check=True, capture_output=True)
    net = ncnn.Net()
    net.opt.num_threads = 1
    if net.load_param(str(folder / f"{stem}.ncnn.param")) or net.load_model(str(folder / f"{stem}.ncnn.bin")):
        raise OSError("ncnn does not load what pnnx made of it (YOLOX: no layer for slices with a step)")
    names, given = net.output_names(), ncnn.Mat(x[0]).clone()

    def answer():
        with net.create_extractor() as extractor:
            extractor.input(net.input_names()[0], given)
            return [np.array(extractor.extract(name)[1]) for name in names]

    answer()
    return answer


def litert_float(source, folder, x):
    from ai_edge_litert.interpreter import Interpreter

    if source.stem not in TFLITE:
        raise FileNotFoundError("there is no .tflite of it")
    model = Interpreter(str(source.parents[1] / TFLITE[source.stem]), num_threads=1)
    model.allocate_tensors()
    index = model.get_input_details()[0]["index"]
    outputs, given = [out["index"] for out in model.get_output_details()], np.ascontiguousarray(x.transpose(0, 2, 3, 1))

    def answer():
        model.set_tensor(index, given)
        model.invoke()
        return [model.get_tensor(out) for out in outputs]

    return answer


RUNTIMES = {
    "edgert int8": edgert_int8,
    "ONNX Runtime float": onnx_runtime,
    "ncnn float": ncnn_float,
    "LiteRT float": litert_float,
}


def prepared(root, folder):
    """{model: {runtime: function}}, {(model, runtime): why it is left out}."""
    ready, left_out = {}, {}
    for name in MODELS:
        source = root / "models" / "onnx" / f"{name}.onnx"
        x = np.random.default_rng(0).random(session_of(source).get_inputs()[0].shape, np.float32)
        ready[name] = {}
        for runtime, make in RUNTIMES.items():
            try:
                answer = make(source, folder, x)
                answer()
                ready[name][runtime] = answer
            except (ImportError, OSError, subprocess.CalledProcessError) as error:
                left_out[name, runtime] = str(error)
            print(f"{name}: {runtime} {'ready' if runtime in ready[name] else 'left out'}", file=sys.stderr)
    return ready, left_out


def timed(answers, seconds):
    """{runtime: nanoseconds of each call}; they take turns of TURN seconds, in a changing order."""
    times = {runtime: [] for runtime in answers}
    turns = max(2, round(seconds / TURN / len(answers)))
    for turn in range(turns):
        order = list(answers)[turn % len(answers) :] + list(answers)[: turn % len(answers)]
        for runtime in order:
            end = perf_counter_ns() + int(1e9 * TURN)
            while (start := perf_counter_ns()) < end:
                answers[runtime]()
                times[runtime].append(perf_counter_ns() - start)
    return times


def markdown(record, rows, left_out):
    packages = ", ".join(f"{name} {version}" for name, version in record["packages"].items() if version)
    lines = []
    for name in MODELS:
        own = {row["runtime"]: row for row in rows if row["model"] == name}
        cells = [f"{own[r]['min_ms']:.2f} / {own[r]['median_ms']:.2f}" if r in own else "-" for r in RUNTIMES]
        ours, peer = own["edgert int8"], own.get("ONNX Runtime float")
        lines.append([name, *cells, f"{peer['min_ms'] / ours['min_ms']:.2f}" if peer else "-"])
    header = ["ms, min / median", *RUNTIMES, "ONNX Runtime / edgert"]
    notes = "\n".join(f"* {name}, {runtime}: {why}" for (name, runtime), why in left_out.items())
    return f"{record['cpu']}, one thread; {packages}.\n\n{table(header, lines)}\n\n{notes}".rstrip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("EDGERT_DATA", "data")))
    parser.add_argument("--folder", type=Path, help="where prepared files are kept (default: nowhere)")
    parser.add_argument("--prepare", action="store_true", help="only make the files in --folder")
    parser.add_argument("--core", type=int, help="the core to run on")
    parser.add_argument("--seconds", type=float, default=4.0, help="of timing per model")
    parser.add_argument("--json", type=Path, help="write the raw figures here")
    args = parser.parse_args()
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    with contextlib.ExitStack() as stack:
        folder = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        record = machine_record()
        ready, left_out = prepared(args.data, folder.resolve())
        if args.prepare:
            return
        rows = []
        for name, answers in ready.items():
            for runtime, times in timed(answers, args.seconds).items():
                rows.append({"model": name, "runtime": runtime, "min_ms": min(times) / 1e6,
                             "median_ms": median(times) / 1e6, "runs": len(times)})  # fmt: skip
    print(markdown(record, rows, left_out))
    if args.json:
        result = {"machine": record, "rows": rows, "left_out": {" ".join(k): v for k, v in left_out.items()}}
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
