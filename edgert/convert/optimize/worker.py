"""One candidate in a process of its own, so that its memory is its own; it waits on stdin for its turn.

    python -m edgert.convert.optimize.worker JOB

JOB: a folder with job.json (runner, threads, entries, path of the model, quant of its input), rows.npy (float32). To a
line "run SECONDS" it answers with times, to "accuracy NPZ" with a share of rows, to "end" with its peak memory and the
records of the resource monitor: a line of JSON each.
"""

import json
import os
import sys
import time

import numpy as np

from edgert.convert.optimize.caching import Cached

SAMPLE_S = 0.1


def main(folder):
    with open(os.path.join(folder, "job.json")) as file:
        job = json.load(file)
    rows = np.load(os.path.join(folder, "rows.npy"))
    run, prepare = RUNNERS[job["runner"]](job)
    inputs = [prepare(row) for row in rows]
    if job["entries"]:
        run = Cached(run, job["entries"])
    started = time.perf_counter_ns()
    run(inputs[0])
    say({"first_ms": (time.perf_counter_ns() - started) / 1e6})

    from edgert.monitor import Sampler

    with Sampler(interval=SAMPLE_S) as sampler:
        serve(run, prepare, inputs, sampler)
    say({"peak_rss_mb": peak_rss_mb(), "resources": list(sampler.records)})


def serve(run, prepare, inputs, sampler):
    """Answers the lines of stdin until "end"."""
    at = 0
    for line in sys.stdin:
        command, _, word = line.strip().partition(" ")
        if command == "end":
            return
        if command == "accuracy":
            say({"accuracy": accuracy(run, prepare, np.load(word))})
            continue
        fresh, again = [], []
        end = time.perf_counter() + float(word)
        while time.perf_counter() < end or not fresh:
            at = (at + 1) % len(inputs)
            for times in (fresh, again):  # the same input twice: an answer that is kept shows in the second
                started = time.perf_counter_ns()
                run(inputs[at])
                times.append(time.perf_counter_ns() - started)
                sampler.answered(times[-1])
        say({"fresh_ns": fresh, "again_ns": again})


def accuracy(run, prepare, data):
    """Percent of the rows whose largest output is the label's."""
    return 100.0 * float(np.mean([np.argmax(run(prepare(x))) == y for x, y in zip(data["x"], data["y"])]))


def say(answer):
    print(json.dumps(answer), flush=True)


def peak_rss_mb():
    """Of this program in MiB; getrusage would tell the parent's peak if that was higher, as it outlives exec."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def edgert_runner(tier):
    def make(job):
        from edgert.convert.optimize.words import to_words
        from edgert.model import load

        model = load(job["path"], threads=job["threads"], tier=tier)
        tensor = model.inputs[0]
        return lambda arrays: model(*arrays), lambda row: (to_words(tensor, row[None]).reshape(tensor.shape),)

    return make


def torch_runner(compiled):
    def make(job):
        import torch

        torch.set_num_threads(job["threads"])
        torch.set_grad_enabled(False)
        network = torch.export.load(job["path"]).module()
        run = torch.compile(network) if compiled else network

        return lambda arrays: run(*map(torch.from_numpy, arrays)), lambda row: (channels_first(row[None]),)

    return make


def litert_runner(job):
    from ai_edge_litert.interpreter import Interpreter

    model = Interpreter(job["path"], num_threads=job["threads"])
    model.allocate_tensors()
    given, made = model.get_input_details()[0], model.get_output_details()[0]["index"]
    index, dtype = given["index"], given["dtype"]
    scale, zero_point = given["quantization"]

    def run(arrays):
        model.set_tensor(index, arrays[0])
        model.invoke()
        return model.get_tensor(made)

    def prepare(row):
        words = np.rint(row[None] / np.float32(scale)) + zero_point if scale else row[None]
        limits = np.iinfo(dtype) if scale else np.finfo(dtype)
        return (np.clip(words, limits.min, limits.max).astype(dtype),)

    return run, prepare


def onnx_runner(job):
    """Pictures channels first; words of an int8 model as uint8, which is how ONNX Runtime is fastest."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = job["threads"], 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(job["path"], options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def prepare(row):
        if job["quant"]:
            scale, zero_point = job["quant"]
            words = np.clip(np.rint(row / np.float32(scale)) + zero_point, -128, 127).astype(np.int8)
            row = words.view(np.uint8) ^ 128
        return (channels_first(row[None]),)

    return lambda arrays: session.run(None, {name: arrays[0]})[0], prepare


def channels_first(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2) if x.ndim == 4 else x)


RUNNERS = {
    "edgert native": edgert_runner(None),
    "edgert reference": edgert_runner("reference"),
    "PyTorch eager": torch_runner(False),
    "PyTorch compiled": torch_runner(True),
    "LiteRT": litert_runner,
    "ONNX Runtime": onnx_runner,
}

if __name__ == "__main__":
    main(sys.argv[1])
