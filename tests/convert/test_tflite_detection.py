"""SSD detectors of TensorFlow Lite: their last operator becomes the head, with the boxes that LiteRT gives."""

import contextlib

import numpy as np
import pytest
from flatbuffers import flexbuffers
from tflite_file import Model

import edgert
from edgert import convert
from edgert.convert.importers.tflite.detection import NAME
from edgert.errors import ConversionError, UnsupportedOpError
from edgert.vision.boxes import decoder

OPTIONS = {
    "max_detections": 20, "max_classes_per_detection": 1, "detections_per_class": 20, "use_regular_nms": False,
    "nms_score_threshold": 0.3, "nms_iou_threshold": 0.999, "num_classes": 3, "y_scale": 10.0, "x_scale": 10.0,
    "h_scale": 5.0, "w_scale": 5.0,
}  # fmt: skip
SIDE, CELLS = 32, 4
BOX_SCALE, SCORE_SCALE, ANCHOR_SCALE = 0.1, 1 / 256, 1 / 200


def anchors():
    """(16, 4) float32: y, x, h, w of one square anchor a cell."""
    middles = (np.arange(CELLS) + 0.5) / CELLS
    y, x = np.meshgrid(middles, middles, indexing="ij")
    return np.stack([y, x, np.full_like(y, 0.4), np.full_like(y, 0.3)], -1).reshape(-1, 4).astype(np.float32)


def model(options=OPTIONS, classes=4, columns=4, more=(), float_=False):
    """One convolution each for boxes and scores (sigmoid), then the operator: in float, or uint8 as the first SSDs."""
    rng, m = np.random.default_rng(0), Model()

    def tensor(name, shape, scale, zero_point=0):
        return m.tensor(name, "float32", shape) if float_ else m.tensor(name, "uint8", shape, scale, zero_point)

    tensor("image", (1, SIDE, SIDE, 3), 1 / 128, 128)
    for name, wide, scale in (("box", columns, BOX_SCALE), ("raw", classes, 0.05)):
        weight = rng.integers(-90, 90, (wide, 8, 8, 3))
        if float_:
            m.constant(f"{name}/w", (weight * 0.002).astype(np.float32))
            m.constant(f"{name}/b", np.zeros(wide, np.float32))
        else:
            m.constant(f"{name}/w", (weight + 128).astype(np.uint8), 0.002, 128)
            m.constant(f"{name}/b", np.zeros(wide, np.int32), 0.002 / 128)
        tensor(f"{name}/c", (1, CELLS, CELLS, wide), scale, 128)
        m.operator("CONV_2D", ["image", f"{name}/w", f"{name}/b"], f"{name}/c", padding=1, stride_w=8, stride_h=8)
        m.constant(f"{name}/shape", np.array([1, CELLS * CELLS, wide], np.int32))
        tensor(name, (1, CELLS * CELLS, wide), scale, 128)
        m.operator("RESHAPE", [f"{name}/c", f"{name}/shape"], name, new_shape=[1, CELLS * CELLS, wide])
    tensor("scores", (1, CELLS * CELLS, classes), SCORE_SCALE)
    m.operator("LOGISTIC", "raw", "scores")
    if float_:
        m.constant("anchors", anchors())
    else:
        m.constant("anchors", np.rint(anchors() / ANCHOR_SCALE).astype(np.uint8), ANCHOR_SCALE)
    names = [f"out{k}" for k in range(4)]
    for name, shape in zip(names, ((1, 20, 4), (1, 20), (1, 20), (1,))):
        m.tensor(name, "float32", shape)
    m.operator(NAME, ["box", "scores", "anchors"], names, custom_options=bytes(flexbuffers.Dumps(options)))
    return m.file(["image"], [*names, *more])


def converted(data, folder, **options):
    (folder / "ssd.tflite").write_bytes(data)
    return convert.load(folder / "ssd.tflite", **options)[0]


def boxes_of(graph, image):
    from edgert.convert import evaluate

    decode = decoder(graph.metadata.head, graph.tensors[0], [graph.tensors[i] for i in graph.outputs])
    return decode(evaluate.graph(graph, [image]), 0.3, 0.999)


@pytest.mark.parametrize("float_", [False, True])
def test_the_boxes_are_those_of_litert(tmp_path, float_):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    data = model(float_=float_)
    rng = np.random.default_rng(1)
    words = rng.integers(-128, 128, (1, SIDE, SIDE, 3))
    image = (words / 128).astype(np.float32) if float_ else (words + 128).astype(np.uint8)
    ours = image if float_ else words.astype(np.int8)
    interpreter = litert.Interpreter(
        model_content=data, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    found = {out["name"]: interpreter.get_tensor(out["index"]) for out in interpreter.get_output_details()}
    boxes, classes, scores, number = (found[f"out{k}"][0] for k in range(4))
    wanted = sorted(
        [(*(SIDE * np.clip(box, 0, 1))[[1, 0, 3, 2]], score, int(label))
         for box, label, score in zip(boxes[: int(number)], classes, scores)], key=lambda row: -row[4]
    )  # fmt: skip
    got = [(*np.clip(row[:4], 0, SIDE), *row[4:]) for row in boxes_of(converted(data, tmp_path), ours)]
    assert len(got) == len(wanted) > 4
    # LiteRT's exp() and ours may differ in the last bits of a float32.
    np.testing.assert_allclose(sorted(got), sorted(wanted), rtol=1e-4, atol=1e-3)


def test_the_file_holds_everything_that_boxes_need(tmp_path):
    graph = converted(model(), tmp_path, labels=("a", "b", "c"))
    head = graph.metadata.head
    assert (graph.metadata.task, head.kind, head.background, head.max_boxes) == ("detect", "ssd", 1, 20)
    assert len(head.anchors) == 64
    assert head.scales == pytest.approx((0.1, 0.1, 0.2, 0.2))
    assert "ssd" not in [node.op for node in graph.nodes]
    from edgert.format import writer

    writer.write(graph, tmp_path / "ssd.bin")
    found = edgert.load(tmp_path / "ssd.bin").detect(
        np.random.default_rng(2).integers(0, 256, (48, 64, 3)).astype("u1")
    )
    assert all(item.label in "abc" for item in found)


def test_without_its_head_the_network_gives_encodings_and_scores(tmp_path):
    graph = converted(model(), tmp_path, head="none")
    assert [graph.tensors[i].shape for i in graph.outputs] == [(1, 16, 4), (1, 16, 4)]
    assert graph.metadata.head is None


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"classes": 6}, ConversionError, "6 scores a box for 3 classes"),
        ({"columns": 6}, UnsupportedOpError, "keypoints"),
        ({"more": ("scores",)}, ConversionError, "'scores' is given beside boxes"),
        ({"options": {"num_classes": 3}}, ConversionError, "damaged or incomplete"),
        ({"options": OPTIONS | {"x_scale": 0.0}}, ConversionError, "cannot|not numbers"),
        ({"options": OPTIONS | {"w_scale": float("nan")}}, ConversionError, "not numbers"),
        ({"options": OPTIONS | {"num_classes": "many"}}, ConversionError, "damaged|scores a box"),
    ],
)
def test_what_does_not_hold_together_is_refused(tmp_path, changes, error, words):
    with pytest.raises(error, match=words):
        converted(model(**changes), tmp_path)


def test_damaged_options_are_one_named_error(tmp_path):
    data = model()
    whole = bytes(flexbuffers.Dumps(OPTIONS))
    start = data.index(whole)
    for place in range(8 * len(whole)):
        damaged = bytearray(data)
        damaged[start + place // 8] ^= 1 << place % 8
        with contextlib.suppress(ConversionError, UnsupportedOpError):
            converted(bytes(damaged), tmp_path)
