"""Detectors are recognised by their outputs, cut at their last convolutions, and see what they saw as ONNX models."""

import numpy as np
import pytest

from edgert import convert
from edgert.convert import evaluate
from edgert.convert.draft import Draft
from edgert.convert.heads import PRESETS, attach
from edgert.errors import InputError
from edgert.graph import Tensor
from edgert.vision.boxes import decoder


def network(height, width, heads, join):
    """A float draft: for each (stride, widths) one convolution a width, joined as `join` says."""
    draft = Draft("net")
    x = draft.add(Tensor("image", "float32", (1, height, width, 3)))
    draft.inputs.append(x)
    rng = np.random.default_rng(0)
    levels = []
    for stride, widths in heads:
        leaves = []
        for n, columns in enumerate(widths):
            weight = draft.constant(f"w{stride}.{n}", rng.normal(0, 0.3, (columns, 1, 1, 3)).astype(np.float32))
            bias = draft.constant(f"b{stride}.{n}", np.zeros(columns, np.float32))
            attrs = {"stride_h": stride, "stride_w": stride}
            leaves.append(draft.derive("conv2d", [x, weight, bias], attrs, f"c{stride}.{n}", "float32", None))
        levels.append(leaves)
    draft.outputs += join(draft, levels)
    return draft


def unary(draft, i, function):
    return draft.derive("unary", [i], {"function": function}, f"{function}{i}", "float32", None)


def rows(draft, i, columns):
    shape = draft.tensors[i].shape
    return draft.derive("reshape", [i], {}, f"rows{i}", "float32", None, (1, shape[1] * shape[2], columns))


def joined_yolox(draft, levels):
    parts = []
    for box, objects, classes in levels:
        joined = [box, unary(draft, objects, "sigmoid"), unary(draft, classes, "sigmoid")]
        whole = draft.derive("concat", joined, {"axis": 3}, f"level{box}", "float32", None)
        parts.append(rows(draft, whole, draft.tensors[whole].shape[3]))
    return [draft.derive("concat", parts, {"axis": 1}, "all", "float32", None)]


def yolox_draft(classes=5):
    return network(64, 96, [(stride, (4, 1, classes)) for stride in (8, 16, 32)], joined_yolox)


@pytest.mark.parametrize("classes", [1, 4, 5])
def test_the_cut_network_gives_the_boxes_of_the_whole_one(classes):
    draft = yolox_draft(classes)
    whole = draft.finish()
    head, _ = attach(draft)
    cut = draft.finish()
    assert head.columns == ("box", "object:sigmoid", "class:sigmoid") * 3
    assert [node.op for node in cut.nodes] == ["conv2d"] * 9
    image = np.random.default_rng(1).normal(0, 2, (1, 64, 96, 3)).astype(np.float32)
    uncut = head.replace(columns=("box object class",))
    answers = []
    for graph, own in ((whole, uncut), (cut, head)):
        decode = decoder(own, graph.tensors[graph.inputs[0]], [graph.tensors[i] for i in graph.outputs])
        answers.append(decode(evaluate.graph(graph, [image]), 0.2, 0.5))
    assert len(answers[0]) > 10
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-5, atol=1e-4)


def test_a_network_of_other_outputs_is_no_detector():
    draft = network(64, 96, [(8, (4,))], lambda draft, levels: levels[0])
    assert attach(draft) == (None, None)
    assert attach(yolox_draft(), "none") == (None, None)


def test_a_named_head_must_fit():
    with pytest.raises(InputError, match="none of fastestdet"):
        attach(yolox_draft(), "retinanet")
    with pytest.raises(InputError, match=r"level 0 of 8 x 12 cells should end in 2 convolutions \(box, class\)"):
        attach(yolox_draft(), "yolo")
    draft = network(64, 96, [(stride, (5, 2, 3)) for stride in (8, 16, 32)], joined_yolox)
    with pytest.raises(InputError, match="no convolution gives the 4 columns of box"):
        attach(draft, "yolox")


FILES = {
    "FastestDet": ("fastestdet", 3), "yolo_fastestv2": ("yolo_fastestv2", 6), "yolox_nano": ("yolox", 9),
    "ultraface_RFB-320": ("ssd", 8),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_the_real_detectors_see_what_onnx_runtime_sees(data_file, tmp_path, name):
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    import edgert
    from edgert.format import writer
    from edgert.vision.detect import Detector

    source = data_file(f"models/onnx/{name}.onnx")
    picture = data_file("images/face.jpg")
    kind, outputs = FILES[name]
    graph, _ = convert.load(source)
    assert (graph.metadata.task, graph.metadata.head.kind, len(graph.outputs)) == ("detect", kind, outputs)
    writer.write(graph, tmp_path / "model.bin")
    model = edgert.load(tmp_path / "model.bin", threads=1)
    found = model.detect(picture)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(source), options)
    data, place = model.prepare_placed(picture)
    pixels = np.frombuffer(data, np.float32).reshape(model.inputs[0].shape).transpose(0, 3, 1, 2)
    answers = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(pixels)})
    tensors = [Tensor(node.name, "float32", tuple(node.shape)) for node in session.get_outputs()]
    whole = PRESETS["ultraface" if name.startswith("ultra") else kind].head
    if kind == "ssd":  # its graph decodes the boxes itself, as fractions of the picture
        size = (320.0, 240.0, 320.0, 240.0)
        whole = whole.replace(kind="boxes", columns=("class", "box"), strides=(), anchors=(), anchor_counts=(),
                              scales=size, box_order="xyxy")  # fmt: skip
    else:
        columns = "object box class" if kind == "fastestdet" else "box object class"
        whole = whole.replace(columns=(columns,))
    wanted = Detector(model.inputs[0], tensors, graph.metadata.replace(head=whole))(
        [np.ascontiguousarray(answer) for answer in answers], place
    )
    assert [item.label for item in found] == [item.label for item in wanted]
    assert len(found) >= 4
    for item, other in zip(found, wanted):
        assert item.score == pytest.approx(other.score, abs=1e-4)
        assert item.box == pytest.approx(other.box, abs=0.1)
