"""One runtime with one model in a process of its own: `peers.py` starts these and lets them take turns.

    python peer_worker.py RUNTIME FOLDER MODEL THREADS CORES

Answers one JSON line to each line on stdin: "run SECONDS" gives times in nanoseconds, "overhead" where a call's time
goes. It first prints how the answer to a fixed input compares with edgert's, or why it cannot take the model.
"""

import json
import os
import sys
from pathlib import Path
from time import perf_counter_ns

import numpy as np

MOST_RUNS = 20_000


class LeftOut(Exception):
    """Why a runtime does not take a model."""


def files(folder, model):
    """The model's files by kind, as `peers.py` lays them out."""
    return {kind: Path(folder) / f"{model}.{kind}" for kind in ("tflite", "bin", "onnx", "pt")}


def words(spec):
    """A fixed input of int8 words."""
    return np.random.default_rng(0).integers(-128, 128, spec.shape, np.int8)


def use_edgert(path, threads, x):
    """Bytes in, bytes out: the way that imports no NumPy."""
    import edgert

    model = edgert.load(path["bin"], threads=threads)
    given = [x.tobytes()]
    return lambda: model.run_buffers(given)


def use_edgert_arrays(path, threads, x):
    """Arrays in, arrays out."""
    import edgert

    model = edgert.load(path["bin"], threads=threads)
    return lambda: model(x)


def use_litert(path, threads, x):
    """The Python API's own way: set the input, invoke, get the output."""
    from ai_edge_litert.interpreter import Interpreter

    model = Interpreter(str(path["tflite"]), num_threads=threads)
    model.allocate_tensors()
    given, made = model.get_input_details()[0], model.get_output_details()[0]["index"]
    if given["dtype"] == np.uint8:
        x = (x.view(np.uint8) ^ 128).reshape(given["shape"])
    x, index = x.astype(given["dtype"]).reshape(given["shape"]), given["index"]

    def answer():
        model.set_tensor(index, x)
        model.invoke()
        return model.get_tensor(made)

    return answer


def use_onnxruntime(path, threads, x):
    import onnxruntime

    if not path["onnx"].exists():
        raise LeftOut(path["onnx"].with_suffix(".onnx.why").read_text())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path["onnx"]), options, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: shifted(x)}
    return lambda: session.run(None, given)[0]


def use_torch(path, threads, x):
    import torch

    if not path["pt"].exists():
        raise LeftOut(path["pt"].with_suffix(".pt.why").read_text())
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    model = torch.jit.load(str(path["pt"]))
    given = torch.from_numpy(shifted(x))
    if x.ndim == 4:
        given = given.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        model(given)
    return lambda: model(given)


def use_ncnn(path, threads, x):
    import ncnn  # noqa: F401

    raise LeftOut("ncnn's int8 has no zero points, so it cannot hold a TFLite model's activations; it reads no TFLite")


RUNTIMES = {
    "edgert": use_edgert,
    "edgert arrays": use_edgert_arrays,
    "edgert tuned": use_edgert,
    "LiteRT": use_litert,
    "ONNX Runtime": use_onnxruntime,
    "PyTorch": use_torch,
    "ncnn": use_ncnn,
}


def shifted(x):
    """uint8 words in NCHW."""
    x = x.view(np.uint8) ^ 128
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2) if x.ndim == 4 else x)


def difference(answer, expected):
    """The largest difference in words (or numbers, for float outputs), whatever shape and signedness the answer has."""
    if isinstance(answer, list):
        answer = answer[0]
    answer = np.frombuffer(answer, expected.dtype) if isinstance(answer, memoryview) else np.asarray(answer)
    if answer.dtype == np.uint8:
        answer = (answer ^ 128).view(np.int8)
    return float(np.abs(answer.reshape(-1).astype(np.float64) - expected.reshape(-1).astype(np.float64)).max())


def timed(answer, seconds):
    times, end = [], perf_counter_ns() + int(1e9 * seconds)
    while len(times) < MOST_RUNS:
        started = perf_counter_ns()
        answer()
        now = perf_counter_ns()
        times.append(now - started)
        if now > end:
            break
    return times


def overhead(path, threads, x):
    """Nanoseconds of a call beyond its kernels, through run_buffers and through model(x)."""
    import edgert
    from edgert.cli.profile import whole_times

    model = edgert.load(path["bin"], threads=threads)
    whole = whole_times(model.session, [x.tobytes()], 3000)
    arrays_ns = min(timed(lambda: model(x), 0.3))
    kernels_ns = whole["kernels_ns"]
    return {**whole, "run_buffers_ns": whole["answer_ns"] - kernels_ns, "model_ns": arrays_ns - kernels_ns}


def main():
    runtime, folder, model, threads, cores = sys.argv[1:]
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    path, threads = files(folder, model), int(threads)
    from edgert.session import Session

    reference = Session(path["bin"], threads=1)
    x = words(reference.inputs[0])
    expected = reference.run([x])[0]
    try:
        answer = RUNTIMES[runtime](path, threads, x)
        ready = {"difference": difference(answer(), expected)}
    except ImportError as error:
        ready = {"left_out": f"not installed ({error})"}
    except LeftOut as error:
        ready = {"left_out": str(error)}
    print(json.dumps(ready), flush=True)
    for line in sys.stdin:
        command, *rest = line.split()
        result = timed(answer, float(rest[0])) if command == "run" else overhead(path, threads, x)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
