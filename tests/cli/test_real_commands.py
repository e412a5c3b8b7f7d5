"""Whole commands on real models and pictures of the data folder."""

import json

import numpy as np
import pytest

PICTURES = {
    "cat.png": "Egyptian cat",
    "bird.png": "chickadee",
    "grace_hopper.png": "military uniform",
    "parrot.jpg": "macaw",
}
MOBILENETS = ("coral/tf2_mobilenet_v2_1.0_224_ptq", "coral/mobilenet_v2_1.0_224_quant")


@pytest.fixture
def converted(edgert, data_file, tmp_path):
    """Function from a model's name in the data folder and convert's options to the converted file."""

    def convert(name, *options):
        target = tmp_path / "model.bin"
        code, _, err = edgert("convert", data_file(f"models/{name}.tflite"), "-o", target, *options)
        assert code == 0, err
        return target

    return convert


@pytest.mark.parametrize("name", MOBILENETS)
def test_mobilenet_names_the_pictures(edgert, converted, data_file, name):
    model = converted(name, "--labels", data_file("labels/imagenet_labels.txt"))
    pictures = [data_file(f"images/{picture}") for picture in PICTURES]
    code, out, err = edgert("run", model, *pictures, "--json")
    assert code == 0, err
    answers = [json.loads(line)["classes"][0]["label"] for line in out.splitlines()]
    assert answers == list(PICTURES.values())


def test_eval_reaches_the_accuracy_of_resnet_8(edgert, converted, data_file, tmp_path):
    """86.97 % on all 10,000 test images; the first 500 have a standard deviation of 1.5 points."""
    from PIL import Image

    model = converted("mlperf_tiny/resnet8_cifar10_int8")
    with Image.open(data_file("cifar10/test.webp")) as mosaic:
        rows = np.asarray(mosaic.crop((0, 0, 3200, 160)))
    x = rows.reshape(5, 32, 100, 32, 3).transpose(0, 2, 1, 3, 4).reshape(500, 32, 32, 3)
    np.savez(tmp_path / "test.npz", x=x, y=np.load(data_file("cifar10/labels.npz"))["test_labels"][:500])
    code, out, _ = edgert("eval", model, tmp_path / "test.npz", "--json")
    assert code == 0
    assert json.loads(out)["top_1"] >= 0.84
