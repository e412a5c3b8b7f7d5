"""What a camera's frame costs around the network: preprocessing, boxes, and everything from the synthetic camera on.

    python benchmarks/camera.py [--core 1] [--seconds 2] [--json FILE] [MODEL ...]

Preprocessing takes turns with Pillow's BILINEAR and NumPy doing the same. MODEL: detectors that are run on 640 x 480
frames of the synthetic camera as fast as they come, on one thread (the shipped street detector).
"""

import argparse
import json
import os
from pathlib import Path
from statistics import median
from time import perf_counter_ns

import numpy as np
from peer_report import table
from PIL import Image
from record import machine_record

import edgert
from edgert.graph import Head, Preprocess, Quant, Tensor
from edgert.sources.frame import Frame
from edgert.sources.synthetic import Synthetic
from edgert.stream import Timings, Watcher
from edgert.vision import boxes
from edgert.vision.frames import FramePreprocessor

STREET = Path(__file__).resolve().parents[1] / "models/street/street_int8.bin"
TURN = 0.1  # seconds that each has at a time
CELLS = ((1, 80, 80, 84), (1, 40, 40, 84), (1, 20, 20, 84))  # 8,400 candidates of 80 classes at 640 x 640


def timed(functions, seconds):
    """{name: (minimum, median)} in milliseconds of one call; they take turns."""
    times = {name: [] for name in functions}
    for _ in range(max(2, round(seconds / TURN / len(functions)))):
        for name, function in functions.items():
            end = perf_counter_ns() + int(1e9 * TURN)
            while (start := perf_counter_ns()) < end:
                function()
                times[name].append(perf_counter_ns() - start)
    return {name: (min(each) / 1e6, median(each) / 1e6) for name, each in times.items()}


def preprocessing():
    """1280 x 720 RGB to 320 x 320 int8, (pixel - 127) / 128, by us and by Pillow and NumPy."""
    pixels = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    scale, frame, out = 1 / 128, Frame(pixels.tobytes(), "RGB", 1280, 720, 0), bytearray(320 * 320 * 3)
    tensor = Tensor("picture", "int8", (1, 320, 320, 3), Quant((scale,), 0))
    ours = FramePreprocessor(tensor, Preprocess("RGB", "stretch", (127.0,), (128.0,)))

    def theirs():
        small = np.asarray(Image.fromarray(pixels).resize((320, 320), Image.Resampling.BILINEAR), np.float32)
        return np.clip(np.rint((small - 127.0) / 128.0 / scale), -128, 127).astype(np.int8)

    return {"edgert": lambda: ours(frame, out), "Pillow BILINEAR and NumPy": theirs}


def suppression():
    """Decoding and suppressing 8,400 candidates: few above the threshold, a crowd, and all of them."""
    outputs = [Tensor(f"o{i}", "int8", shape, Quant((0.05,), 0)) for i, shape in enumerate(CELLS)]
    head = Head("yolo", ("box class:sigmoid",) * 3, strides=(8, 16, 32))
    decode = boxes.decoder(head, Tensor("image", "int8", (1, 640, 640, 3), Quant((1.0,), 0)), outputs)
    rng, cases = np.random.default_rng(0), {}
    for name, share, score in (("quiet", 0.001, 0.3), ("crowd", 0.06, 0.3), ("every candidate passes", 1.0, 0.0)):
        arrays = [rng.integers(-128, -60, shape, np.int8) for shape in CELLS]
        for array in arrays:
            array[..., :4] = rng.integers(10, 60, (*array.shape[:3], 4))  # sides of 0.5 to 3 cells
            seen = rng.random(array.shape[:3]) < share
            array[seen, 4 + rng.integers(0, 80)] = 40
        cases[name] = lambda arrays=arrays, score=score: decode(arrays, score, 0.45)
    return cases


def end_to_end(model, frames):
    """Timings of a model on the synthetic camera."""
    watch, timings = Watcher(edgert.load(model, threads=1)), Timings(kept=frames)
    for frame in Synthetic(640, 480, fps=1e6, frames=frames).frames():
        timings.add(watch(frame).ms)
    return timings


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, default=[STREET], metavar="MODEL")
    parser.add_argument("--core", type=int, help="the core to run on")
    parser.add_argument("--seconds", type=float, default=2.0, help="of timing per figure")
    parser.add_argument("--frames", type=int, default=1500, help="of the synthetic camera")
    parser.add_argument("--json", type=Path, help="write the raw figures here")
    args = parser.parse_args()
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    rows = [[f"1280x720 to 320x320 int8: {name}", *pair] for name, pair in timed(preprocessing(), args.seconds).items()]
    rows += [[f"8,400 x 80 boxes: {name}", *pair] for name, pair in timed(suppression(), args.seconds).items()]
    print(table(["ms", "minimum", "median"], [[name, f"{low:.3f}", f"{middle:.3f}"] for name, low, middle in rows]))
    lines = []
    for model in args.models:
        timings = end_to_end(model, args.frames)
        total, inference = (timings.summary()[stage][0] for stage in ("total", "inference"))
        lines.append([model.stem, f"{total:.3f}", f"{timings.fps():.0f}", f"{100 * inference / total:.0f} %"])
    print("\n" + table(["640x480 to answer", "ms", "frames a second", "of it inference"], lines))
    if args.json:
        result = {"machine": machine_record(), "figures": rows, "end_to_end": lines}
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
