"""PyTorch networks: every family of operators against PyTorch itself, exported files, and what is refused."""

import io
import pickle
import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch import nn  # noqa: E402
from torch_nets import CASES, Fn, MobileBlock, Neck, prepared  # noqa: E402

from edgert import convert, opset  # noqa: E402
from edgert.convert import evaluate  # noqa: E402
from edgert.convert.importers.torch import program as torch_program  # noqa: E402
from edgert.errors import ConversionError, UnsupportedOpError  # noqa: E402
from models.cifar10_plain.model import ResNet  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
# Float sums in another order than PyTorch's: a few hundred terms of size 1 differ by some 1e-6.
TOLERANCE = 1e-4
# Those whose operators have another form in core ATen.
CORE = (
    "conv_norm_relu", "conv_transpose", "linear", "linear_rows", "norm_of_shared_conv", "layer_norm", "group_norm",
    "parts", "max_pool", "softmax_channels", "index", "neck",
)  # fmt: skip


def random_inputs(shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def fitted(array, shape):
    """`array` as the graph has it: pictures channels last."""
    return array if array.shape == shape else np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def assert_answers_are_those_of(module, graph, inputs):
    with torch.no_grad():
        expected = module(*inputs)
    expected = expected if isinstance(expected, (tuple, list)) else [expected]
    arrays = [fitted(x.numpy(), graph.tensors[i].shape) for i, x in zip(graph.inputs, inputs)]
    for got, want in zip(evaluate.graph(graph, arrays), expected, strict=True):
        want = fitted(want.numpy(), got.shape)
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("name, module, shapes", [(name, module, shapes) for name, module, *shapes in CASES])
def test_a_network_answers_as_pytorch_does(name, module, shapes):
    inputs = random_inputs(shapes)
    module = prepared(module)
    assert_answers_are_those_of(module, convert.from_torch(module, inputs), inputs)


@pytest.mark.parametrize("name, module, shapes", [(n, m, s) for n, m, *s in CASES if n in CORE])
def test_programs_decomposed_to_core_aten_are_the_same(name, module, shapes):
    inputs = random_inputs(shapes)
    module = prepared(module)
    program = torch_program.export(module, inputs, name).run_decompositions()
    graph = torch_program.load(program, name, name).finish()
    opset.validate(graph)
    assert_answers_are_those_of(module, graph, inputs)


def test_the_cifar10_network_has_its_norms_and_activations_inside_its_convolutions():
    network, inputs = prepared(ResNet()), random_inputs([(1, 3, 32, 32)])
    graph, draft = convert.torch_draft(network, inputs)
    assert_answers_are_those_of(network, graph, inputs)
    kinds = [node.op for node in graph.nodes]
    assert kinds.count("conv2d") == 13
    assert not {"mul", "sub", "unary", "transpose"}.intersection(kinds)
    assert draft.origins["stem.0.weight"] == {
        "weight": "stem.0.weight",
        "bias": None,
        "norm": {
            "weight": "stem.1.weight",
            "bias": "stem.1.bias",
            "running_mean": "stem.1.running_mean",
            "running_var": "stem.1.running_var",
            "eps": 1e-5,
        },
    }


def test_a_classifier_of_tiny_pictures_is_not_taken_for_a_detector():
    """A picture of 16 x 16 is one cell of FastestDet's grid, and ten classes could be a row of it."""
    network, inputs = prepared(ResNet()), random_inputs([(1, 3, 16, 16)])
    graph = convert.from_torch(network, inputs)
    assert graph.metadata.task != "detect"
    assert_answers_are_those_of(network, graph, inputs)


def test_a_module_in_training_mode_is_converted_in_eval_mode_and_left_as_it_was():
    network = MobileBlock().train()
    network.body[1].eval()
    convert.from_torch(network, random_inputs([(1, 8, 7, 9)]))
    assert network.training
    assert network.body[4].training
    assert not network.body[1].training


def test_all_operators_that_cannot_be_expressed_are_named_at_once():
    module = Fn(lambda x: torch.cumsum(torch.sort(x)[0], 1) + torch.erfinv(x) + torch.relu(x))
    with pytest.raises(UnsupportedOpError) as error:
        convert.from_torch(module, random_inputs([(2, 3)]))
    assert all(name in str(error.value) for name in ("3 operators", "sort.default", "cumsum.default", "erfinv.default"))


def test_a_module_that_branches_on_values_is_refused_with_the_reason_of_export():
    with pytest.raises(ConversionError, match=r"Fn: torch\.export cannot follow"):
        convert.from_torch(Fn(lambda x: x + 1 if x.sum() > 0 else x), random_inputs([(2, 3)]))


def test_weights_that_are_not_finite_are_named():
    module = nn.Conv2d(2, 3, 1)
    module.weight.data[0] = float("nan")
    with pytest.raises(ConversionError, match="2 of 6 values of 'weight' are not finite"):
        convert.from_torch(module, random_inputs([(1, 2, 4, 4)]))


def test_a_norm_in_training_mode_is_refused():
    program = torch.export.export(nn.BatchNorm2d(2, track_running_stats=False).eval(), random_inputs([(2, 2, 3, 3)]))
    with pytest.raises(UnsupportedOpError, match="batch_norm"):
        torch_program.load(program, "norm", "norm")


def saved(folder, program):
    path = folder / "model.pt2"
    torch.export.save(program, path)
    return path


def test_an_exported_program_converts_from_its_file(tmp_path):
    module, inputs = prepared(Neck()), random_inputs([(1, 3, 16, 24)])
    path = saved(tmp_path, torch.export.export(module, inputs))
    graph = convert.load(path)[0]
    assert_answers_are_those_of(module, graph, inputs)
    assert graph.name == "model"


def test_dynamic_shapes_are_refused_and_the_input_named(tmp_path):
    batch = torch.export.Dim("batch", min=2, max=16)
    program = torch.export.export(
        nn.Conv2d(3, 4, 1).eval(), random_inputs([(4, 3, 8, 8)]), dynamic_shapes={"input": {0: batch}}
    )
    with pytest.raises(ConversionError, match="input 'input' has the dynamic shape"):
        convert.load(saved(tmp_path, program))
    graph, _ = convert.load(tmp_path / "model.pt2", shapes={"input": (2, 3, 8, 8)})
    assert graph.tensors[graph.inputs[0]].shape == (2, 8, 8, 3)
    with pytest.raises(ConversionError, match="has no input x"):
        convert.load(tmp_path / "model.pt2", shapes={"x": (2, 3, 8, 8)})
    with pytest.raises(ConversionError, match="does not take shapes"):
        convert.load(tmp_path / "model.pt2", shapes={"input": (2, 5, 8, 8)})


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was run')",))


@pytest.mark.parametrize(
    "content, words",
    [
        ({"conv.weight": torch.zeros(2), "conv.bias": torch.zeros(1)}, "holds 2 weights .*'conv.weight'.*from_torch"),
        ({"state_dict": {"w": torch.zeros(2)}, "epoch": 3}, "holds 1 weights"),
        (torch.zeros(3), "holds a Tensor and no network"),
        (Evil(), "a pickle of Python objects, which could run any code"),
        (nn.Linear(2, 2), "a pickle of Python objects"),
    ],
)
def test_files_of_torch_save_are_refused_with_what_to_do(tmp_path, content, words):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ConversionError, match=words):
        convert.load(tmp_path / "model.pt")


def test_torchscript_is_refused_with_what_to_do(tmp_path):
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(tmp_path / "model.pt")
    with pytest.raises(ConversionError, match=r"TorchScript archive; .*torch\.export\.save"):
        convert.load(tmp_path / "model.pt")


def rewritten(path, change):
    """The archive at `path` with change(name, bytes) in place of each entry."""
    with zipfile.ZipFile(path) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            archive.writestr(name, change(name, data))
    return path


def test_pickled_code_inside_an_exported_program_is_never_run(tmp_path):
    evil = io.BytesIO()
    torch.save({"x": Evil()}, evil, pickle_module=pickle)
    path = saved(tmp_path, torch.export.export(nn.Linear(2, 3), random_inputs([(1, 2)])))
    rewritten(path, lambda name, data: evil.getvalue() if name.endswith("model.pt") else data)
    with pytest.raises(ConversionError, match="cannot read the program"):
        convert.load(path)


def test_shape_expressions_that_are_code_are_refused(tmp_path):
    path = saved(tmp_path, torch.export.export(nn.Linear(2, 3), random_inputs([(1, 2)])))
    code = b'"as_expr": {"expr_str": "__import__(\'os\').abort()"}'
    rewritten(path, lambda name, data: data.replace(b'"as_int": 2', code) if name.endswith("model.json") else data)
    with pytest.raises(ConversionError, match="is no arithmetic of sizes"):
        convert.load(path)


def test_compressed_archives_and_libraries_are_refused(tmp_path):
    path = tmp_path / "bomb.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/archive_format", bytes(2**20))
    with pytest.raises(ConversionError, match="is compressed"):
        convert.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/archive_format", b"pt2")
        archive.writestr("model/data/aotinductor/model/x.so", b"\x7fELF")
    with pytest.raises(ConversionError, match="holds compiled code"):
        convert.load(path)


def test_damaged_archives_are_refused(tmp_path):
    path = saved(tmp_path, torch.export.export(nn.Linear(2, 3), random_inputs([(1, 2)])))
    data = path.read_bytes()
    for size in (30, len(data) // 3, len(data) // 2, len(data) - 5):
        path.write_bytes(data[:size])
        with pytest.raises(ConversionError):
            convert.load(path)
    path.write_bytes(data.replace(b'"schema_version"', b'"schema_versiom"'))
    with pytest.raises(ConversionError):
        convert.load(path)
