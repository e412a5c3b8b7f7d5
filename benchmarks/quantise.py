"""What quantisation loses on the known float models, repair by repair: the tables of docs/quantisation.md.

    python benchmarks/quantise.py [--data DIR] [--only NAME] [--json FILE]

Classifiers: accuracy and agreement of the int8 kernels with the float model. Detectors: mAP@0.5 on coco256 beside ONNX
Runtime's float in the same run, which needs `onnxruntime`. Data folder: --data or EDGERT_DATA.
"""

import argparse
import csv
import io
import json
import os
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from edgert import convert
from edgert.convert.quantize import batches, calibrate, equalise, goals, measure, quantize, samples
from edgert.graph import Metadata, Tensor
from edgert.vision import coco
from edgert.vision.detect import Detector
from edgert.vision.metrics import mean_average_precision
from edgert.vision.preprocess import Preprocessor

CALIBRATION = 200
RECIPES = {  # name -> (options of quantize, whether layers are equalised first)
    "minmax": ({"observer": "minmax", "correct": False}, False),
    "percentile": ({"observer": "percentile", "correct": False}, False),
    "kl": ({"observer": "kl", "correct": False}, False),
    "mse": ({"observer": "mse", "correct": False}, False),
    "mse, bias corrected (the default)": ({}, False),
    "the default, equalised": ({}, True),
    "minmax, bias corrected": ({"observer": "minmax"}, False),
    "minmax, bias corrected, equalised": ({"observer": "minmax"}, True),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("EDGERT_DATA"), help="the data folder")
    parser.add_argument("--only", default="", help="only models whose name contains this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    args = parser.parse_args()
    if args.data is None:
        parser.error("give --data, or set EDGERT_DATA")
    args.data, rows = Path(args.data), []
    print("| model | recipe | float | int8 | agreement | SQNR | seconds |\n|---|---|---|---|---|---|---|", flush=True)
    for name, run in MODELS.items():
        if args.only in name:
            for row in run(args.data):
                rows.append({"model": name, **row})
                shown = [row.get(key, "") for key in ("recipe", "float", "int8", "agreement", "sqnr_db", "seconds")]
                print(f"| {name} | " + " | ".join(map(str, shown)) + " |", flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


def recipes(graph, calibration):
    """(name, int8 graph, seconds) for each of RECIPES."""
    for name, (options, equal) in RECIPES.items():
        started, source = time.perf_counter(), graph
        if equal:
            data = samples.load(graph, calibration, CALIBRATION)
            source, pairs = equalise.equalise(graph, calibrate.observe(graph, data))
            if not pairs:
                continue
        int8, _ = quantize(source, calibration, limit=CALIBRATION, **options)
        yield name, int8, round(time.perf_counter() - started, 1)


def classifier(graph, calibration, test, labels=None):
    """Rows of one classifier. test: list of float arrays. labels: of the test, or None."""
    data = samples.load(graph, test, None)
    wanted = batches.outputs(graph, data)[0].reshape(len(data), -1)
    for name, int8, seconds in recipes(graph, calibration):
        got = measure.to_reals(goals.answers(int8, data)[0], int8.tensors[int8.outputs[0]]).reshape(len(data), -1)
        error = measure.Error()
        error.add(wanted, got)
        row = {"recipe": name, "agreement": percent(got.argmax(1) == wanted.argmax(1)), "sqnr_db": round(error.db, 1)}
        if labels is not None:
            row |= {"float": percent(wanted.argmax(1) == labels), "int8": percent(got.argmax(1) == labels)}
        yield row | {"seconds": seconds}


def percent(hits):
    return f"{100 * np.mean(hits):.2f} %"


def cifar10(name):
    def run(data):
        graph = convert.tflite(data / f"models/mlperf_tiny/{name}.tflite", mean=0, std=1)
        train, test = (mosaic(data / f"cifar10/{part}.webp") for part in ("train_1", "test"))
        labels = np.load(data / "cifar10/labels.npz")["test_labels"]
        yield from classifier(graph, floats(train[:CALIBRATION]), floats(test), labels)

    return run


def mosaic(path):
    Image.MAX_IMAGE_PIXELS = None
    pixels = np.asarray(Image.open(path).convert("RGB"))
    return pixels.reshape(100, 32, 100, 32, 3).transpose(0, 2, 1, 3, 4).reshape(10_000, 32, 32, 3)


def floats(images):
    return [image[np.newaxis].astype(np.float32) for image in images]


def keywords(data):
    """The first 200 of 1,000 inputs calibrate, the others test. They come as int8 words and are made real again."""
    graph = convert.tflite(data / "models/mlperf_tiny/kws_float.tflite")
    with zipfile.ZipFile(data / "audio/kws01_int8_features.zip") as archive:
        names = {name.rsplit("/", 1)[-1]: name for name in archive.namelist()}
        rows = list(csv.reader(io.StringIO(archive.read(names["y_labels.csv"]).decode())))
        rows = [row for row in rows if row[0] in names]
        words = [np.frombuffer(archive.read(names[row[0]]), np.int8) for row in rows]
    real = [((x.astype(np.float32) - 83) * np.float32(0.584703)).reshape(1, 49, 10, 1) for x in words]
    labels = np.array([int(row[2]) for row in rows])
    yield from classifier(graph, real[:CALIBRATION], real[CALIBRATION:], labels[CALIBRATION:])


def person(data):
    graph = convert.tflite(data / "models/mlperf_tiny/vww_96_float.tflite")
    with pictures(data, "street5") as street, pictures(data, "coco256") as coco256:
        test = samples.load(graph, coco256, None)
        yield from classifier(graph, Path(street) / "train", list(test))


def mobilenet_v2(data):
    """A float MobileNetV2 is made of the int8 one, whose words become the real numbers they stand for."""
    int8 = convert.tflite(data / "models/coral/tf2_mobilenet_v2_1.0_224_ptq.tflite")
    graph = unquantised(int8)
    with pictures(data, "street5") as street, pictures(data, "coco256") as coco256:
        test = [*samples.load(graph, coco256, None), *samples.load(graph, Path(street) / "val", None)]
        yield from classifier(graph, Path(street) / "train", test)


def unquantised(graph):
    """The float graph of an int8 one without lookups: weights as they are, no rounding between layers."""
    tensors = [unquantised_tensor(tensor) for tensor in graph.tensors]
    nodes = []
    for node in graph.nodes:
        if len(node.inputs) == 3:
            x, weight, bias = (graph.tensors[i] for i in node.inputs)
            steps = x.quant.scale[0] * np.array(weight.quant.scale)
            real = (np.frombuffer(bias.data, np.int32) * steps).astype(np.float32)
            tensors[node.inputs[2]] = Tensor(bias.name, "float32", bias.shape, data=real.tobytes())
        quant, attrs = graph.tensors[node.outputs[0]].quant, dict(node.attrs)
        for name in ("clamp_min", "clamp_max"):
            if name in attrs:
                attrs[name] = float(quant.scale[0] * (attrs[name] - quant.zero_point))
        if node.op in ("conv2d", "depthwise_conv2d") and quant.zero_point == -128:
            attrs["clamp_min"] = 0.0  # the ends of the words were the ReLU6
            attrs.setdefault("clamp_max", float(quant.scale[0] * 255))
        nodes.append(node.replace(attrs=attrs))
    metadata = Metadata(graph.metadata.task, graph.metadata.labels, graph.metadata.preprocess)
    return graph.replace(tensors=tuple(tensors), nodes=tuple(nodes), metadata=metadata)


def unquantised_tensor(tensor):
    if tensor.quant is None or tensor.dtype == "int32":
        return tensor  # a bias, which is counted in steps that its layer knows
    if not tensor.is_constant:
        return Tensor(tensor.name, "float32", tensor.shape)
    words = np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape).astype(np.float64) - tensor.quant.zero_point
    axis = tensor.quant.axis
    scale = np.array(tensor.quant.scale)
    if axis is not None:
        scale = scale.reshape([-1 if i == axis else 1 for i in range(words.ndim)])
    return Tensor(tensor.name, "float32", tensor.shape, data=(words * scale).astype(np.float32).tobytes())


def pictures(data, name):
    """A folder with the pictures of one of the detection sets, removed when left."""
    folder = tempfile.TemporaryDirectory()
    with zipfile.ZipFile(data / f"detection/{name}.zip") as archive:
        archive.extractall(folder.name)
    return folder


def detector(name):
    def run(data):
        with pictures(data, "street5") as street, pictures(data, "coco256") as coco256:
            yield from detections(data / f"models/onnx/{name}.onnx", Path(street) / "train", coco256)

    return run


def detections(path, calibration, folder):
    """Rows of one detector; a face detector, for which there is no truth, is held against its own float boxes."""
    graph, _ = convert.load(path)
    truth = coco.read(folder, graph.metadata.labels) if len(graph.metadata.labels) != 1 else None
    files = [name for name, _ in truth or coco.read(folder, ())]
    prepare = Preprocessor(graph.tensors[graph.inputs[0]], graph.metadata.preprocess)
    placed = [prepare.placed(file) for file in files]
    shape = graph.tensors[graph.inputs[0]].shape
    data = [(np.frombuffer(pixels, np.float32).reshape(shape),) for pixels, _ in placed]
    places = [place for _, place in placed]
    exact = onnx_runtime(path, graph, data)
    boxes = [box for _, box in truth] if truth else confident(found(graph, exact, places, 0.5))
    score = 100 * mean_average_precision(found(graph, exact, places), boxes)[0]
    for name, int8, seconds in recipes(graph, calibration):
        got = list(zip(*goals.answers(int8, data)))
        error = measure.Error()
        for want, have in zip(exact, got):
            for a, b, i in zip(want, have, int8.outputs):
                error.add(a, measure.to_reals(b, int8.tensors[i]))
        lost = 100 * mean_average_precision(found(int8, got, places), boxes)[0]
        yield {
            "recipe": name, "float": f"{score:.2f} mAP", "int8": f"{lost:.2f} mAP", "agreement": f"{lost - score:+.2f}",
            "sqnr_db": round(error.db, 1), "seconds": seconds,
        }  # fmt: skip


def onnx_runtime(path, graph, data):
    """The float model's answers by ONNX Runtime, channels last, for the tensors that the converted graph gives."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    names = [graph.tensors[i].name for i in graph.outputs]
    given = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in given)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: weights that are inputs too are warned of one by one
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    source, rows = session.get_inputs()[0].name, []
    for (x,) in data:
        outputs = session.run(names, {source: np.ascontiguousarray(x.transpose(0, 3, 1, 2))})
        rows.append([np.ascontiguousarray(a.transpose(0, 2, 3, 1)) if a.ndim == 4 else a for a in outputs])
    return rows


def found(graph, rows, places, score=goals.LEAST_SCORE):
    detect = Detector(graph.tensors[graph.inputs[0]], [graph.tensors[i] for i in graph.outputs], graph.metadata)
    seen = [detect([np.ascontiguousarray(a).tobytes() for a in arrays], place, score) for arrays, place in
            zip(rows, places)]  # fmt: skip
    return [[(one.index, one.score, one.box) for one in picture] for picture in seen]


def confident(seen):
    """The float detector's own boxes as the truth."""
    return [[(index, box, False) for index, _, box in picture] for picture in seen]


MODELS = {
    "resnet8": cifar10("resnet8_cifar10_float"),
    "resnet_large": cifar10("resnet_large_cifar10_float"),
    "kws": keywords,
    "vww": person,
    "mobilenet_v2": mobilenet_v2,
    "yolo_fastestv2": detector("yolo_fastestv2"),
    "FastestDet": detector("FastestDet"),
    "yolox_nano": detector("yolox_nano"),
    "ultraface": detector("ultraface_RFB-320"),
}

if __name__ == "__main__":
    sys.exit(main())
