"""The README's figures, measured on this machine: start-up, memory, size and accuracy, beside LiteRT where it is there.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install '.[convert]' ai-edge-litert
    EDGERT_DATA=... /tmp/v/bin/python benchmarks/figures.py            # Markdown on stdout; --json: one object

Use a plain install as above: an editable one makes every start some 30 ms slower. Nothing else should run meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import files
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np

DATA = Path(os.environ.get("EDGERT_DATA", "data"))
TINY, CORAL = DATA / "models" / "mlperf_tiny", DATA / "models" / "coral"
RESNET8, LARGE = TINY / "resnet8_cifar10_int8.tflite", TINY / "resnet_large_cifar10_int8.tflite"
KWS, MOBILENET = TINY / "kws_int8.tflite", CORAL / "tf2_mobilenet_v2_1.0_224_ptq.tflite"
CAT = DATA / "images" / "cat_720p.jpg"

EDGERT = "import sys, edgert; m = edgert.load(sys.argv[1]); m.run_buffers([bytes(int(sys.argv[2]))])"
LITERT = """
import sys, numpy
from ai_edge_litert.interpreter import Interpreter
m = Interpreter(sys.argv[1], num_threads=1)
m.allocate_tensors()
given = m.get_input_details()[0]
m.set_tensor(given["index"], numpy.zeros(given["shape"], given["dtype"]))
m.invoke()
m.get_tensor(m.get_output_details()[0]["index"])
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=21, help="processes per figure; the median counts (21)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), args.runs)
    if args.json:
        print(json.dumps(figures))
        return
    print("| figure | LiteRT | edgert |\n|---|---|---|")
    for name, (peer, ours) in figures.items():
        print(f"| {name} | {peer} | {ours} |")


def measure(folder, runs):
    from edgert.convert import convert

    models = {source: folder / f"{source.stem}.bin" for source in (RESNET8, LARGE, KWS, MOBILENET)}
    for source, target in models.items():
        convert(source, target)
    peer = find_spec("ai_edge_litert") is not None
    figures = {}
    alone = start_ms(["-c", "pass"], runs)
    figures["Python alone, start to end"] = ("", f"{alone:.0f} ms")
    for name, source, nbytes in (("ResNet-8", RESNET8, 3072), ("MobileNetV2", MOBILENET, 150528)):
        for figure, unit, take in (
            (f"process start to first {name} answer", "ms", start_ms),
            (f"peak memory of that process, {name}", "MB", peak_mb),
        ):
            theirs = f"{take(['-c', LITERT, source], runs):.0f} {unit}" if peer else ""
            figures[figure] = (theirs, f"{take(['-c', EDGERT, models[source], nbytes], runs):.0f} {unit}")
    whole = start_ms(["-m", "edgert", "run", models[MOBILENET], "--image", CAT], runs)
    figures["`edgert run model.bin --image cat.jpg` (MobileNetV2, 720p), whole process"] = ("", f"{whole:.0f} ms")
    figures["installed size without NumPy"] = (
        f"{installed_mb('ai-edge-litert'):.0f} MB" if peer else "",
        f"{installed_mb('edgert'):.1f} MB",
    )
    for name, source, samples in (
        ("ResNet-8, 10,000 CIFAR-10 test images", RESNET8, cifar10()),
        ("larger ResNet, the same", LARGE, cifar10()),
        ("keyword spotting, 1,000 official inputs", KWS, keywords()),
    ):
        theirs = f"{100 * litert_accuracy(source, samples):.2f} %" if peer else ""
        figures[f"accuracy, {name}"] = (theirs, f"{100 * edgert_accuracy(models[source], samples):.2f} %")
    return figures


def start_ms(arguments, runs):
    """Median wall time of a fresh interpreter, after one that fills the caches."""
    times = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        run(arguments)
        times.append(1e3 * (time.perf_counter() - started))
    return median(times[1:])


def peak_mb(arguments, runs):
    """Least peak of memory of a few interpreters, told by themselves: wait4() would count this process's own."""
    flag, code, *rest = arguments
    code += "\nprint([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
    return min(int(run([flag, code, *rest]).split()[-1]) for _ in range(min(runs, 5))) / 1024


def run(arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout


def installed_mb(package):
    sizes = [path.stat().st_size for file in files(package) if (path := Path(file.locate())).is_file()]
    return sum(sizes) / 1e6


def cifar10():
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    mosaic = np.asarray(Image.open(DATA / "cifar10" / "test.webp").convert("RGB"))
    x = mosaic.reshape(100, 32, 100, 32, 3).transpose(0, 2, 1, 3, 4).reshape(10000, 32, 32, 3)
    return (x.astype(np.int16) - 128).astype(np.int8), np.load(DATA / "cifar10" / "labels.npz")["test_labels"]


def keywords():
    import csv
    import io
    import zipfile

    with zipfile.ZipFile(DATA / "audio" / "kws01_int8_features.zip") as archive:
        name = next(name for name in archive.namelist() if name.endswith("y_labels.csv"))
        rows = list(csv.reader(io.TextIOWrapper(archive.open(name))))
        folder = name.removesuffix("y_labels.csv")
        x = [np.frombuffer(archive.read(folder + row[0].strip()), np.int8).reshape(49, 10, 1) for row in rows]
    return np.stack(x), np.array([int(row[2]) for row in rows])


def edgert_accuracy(path, samples):
    import edgert

    model = edgert.load(path, threads=1)
    x, y = samples
    answers = [np.frombuffer(model.run_buffers([item.tobytes()])[0], np.int8).argmax() for item in x]
    return float(np.mean(np.array(answers) == y))


def litert_accuracy(path, samples):
    from ai_edge_litert.interpreter import Interpreter

    model = Interpreter(str(path), num_threads=1)
    model.allocate_tensors()
    given, made = model.get_input_details()[0]["index"], model.get_output_details()[0]["index"]
    x, y = samples
    right = 0
    for item, truth in zip(x, y):
        model.set_tensor(given, item[None])
        model.invoke()
        right += int(model.get_tensor(made)[0].argmax() == truth)
    return right / len(y)


if __name__ == "__main__":
    main()
