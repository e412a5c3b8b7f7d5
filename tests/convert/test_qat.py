"""Training through int8 arithmetic: its answers are the kernels', its gradients those of fake quantisation."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch_nets import Fn, MobileBlock, Neck, Shuffle, SqueezeExcite, prepared  # noqa: E402

from edgert.convert import evaluate, qat  # noqa: E402
from edgert.errors import ConversionError  # noqa: E402
from edgert.format import writer  # noqa: E402
from edgert.session import Session  # noqa: E402
from models.cifar10_plain.model import ResNet  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


def prepare(module, x, **options):
    return qat.prepare(prepared(module), (x[:1],), x, **options)


def stored(tensor, x):
    """Real inputs, as the graph has them, as the words of its input."""
    words = np.rint(x.numpy() / np.float32(tensor.quant.scale[0])) + tensor.quant.zero_point
    return np.ascontiguousarray(np.clip(words, -128, 127).astype(np.int8))


def assert_same_words(network, graph, x, run):
    """Each word of the network in eval mode is the int8 graph's."""
    with torch.no_grad():
        expected = network.eval().words(x)
    words = stored(graph.tensors[graph.inputs[0]], network.arranged([x])[0])
    for k in range(len(x)):
        for got, want, i in zip(run([words[k : k + 1]]), expected, graph.outputs, strict=True):
            want = want[k : k + 1].numpy() + graph.tensors[i].quant.zero_point
            assert np.array_equal(np.asarray(got).reshape(want.shape), want)


def arithmetic(first, second, x):
    a, b = first(x), second(x)
    return (a - b) * a + torch.maximum(a, b)


def small_resnet():
    return ResNet(stem=8, stages=((8, 1, 1), (16, 1, 2)))


EVERYTHING = [
    ("resnet", small_resnet(), (3, 3, 12, 12)),
    ("mobile_silu", MobileBlock(), (3, 8, 7, 9)),
    ("mobile_hardswish", MobileBlock(activation=nn.Hardswish), (3, 8, 7, 9)),
    ("squeeze_excite", SqueezeExcite(8, 4), (3, 8, 5, 5)),
    ("shuffle", Shuffle(), (3, 8, 5, 6)),
    ("neck", Neck(), (3, 3, 16, 24)),
    ("pools", nn.Sequential(nn.Conv2d(3, 8, 3), nn.AvgPool2d(3, 2, 1), nn.MaxPool2d(3, 2, 1)), (3, 3, 9, 10)),
    ("flat", nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(48, 5)), (3, 3, 5, 6)),
    ("transposed", nn.Sequential(nn.ConvTranspose2d(3, 8, 3, 2, 1, 1), nn.BatchNorm2d(8), nn.ReLU()), (2, 3, 5, 7)),
    ("conv1d", nn.Sequential(nn.Conv1d(4, 8, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 2, 5)), (2, 4, 24)),
    ("softmax", nn.Sequential(nn.Linear(12, 7), nn.Softmax(1)), (4, 12)),
    ("long_sums", nn.Sequential(nn.Conv2d(256, 8, 3), nn.Flatten(), nn.Linear(128, 3)), (2, 256, 6, 6)),
    ("arithmetic", Fn(arithmetic, nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)), (2, 3, 4, 5)),
    ("bilinear", nn.Sequential(nn.Conv2d(3, 4, 3), nn.Upsample(scale_factor=2, mode="bilinear")), (2, 3, 6, 7)),
    ("pixel_shuffle", nn.Sequential(nn.Conv2d(3, 8, 1), nn.PixelShuffle(2), nn.Conv2d(2, 2, 1)), (2, 3, 4, 5)),
]


@pytest.mark.parametrize("ranges", ["learned", "fixed"])
@pytest.mark.parametrize("name, module, shape", EVERYTHING)
def test_the_graph_answers_as_the_network_did_bit_for_bit(name, module, shape, ranges):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    network = prepare(copy.deepcopy(module), x, ranges=ranges)
    torch.manual_seed(0)
    with torch.no_grad():  # as if it had been trained
        network.shift.uniform_(-0.2, 0.2)
        for parameter in network.network.parameters():
            parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
    network.train()(x)
    graph, record = network.to_graph()
    assert "in training (QAT)" in record.lines()[0]
    assert_same_words(network, graph, x, lambda arrays: evaluate.graph(graph, arrays))


def test_the_shipped_kernels_answer_as_the_network_did():
    x = torch.randn((2, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    network = prepare(ResNet(), x)
    graph, _ = network.to_graph()
    session = Session(writer.to_bytes(graph))
    run = lambda arrays: [np.frombuffer(y, np.int8) for y in session.run_buffers([a.tobytes() for a in arrays])]  # noqa: E731
    assert_same_words(network, graph, x, run)


def test_eval_mode_is_close_to_the_float_network():
    x = torch.randn((8, 3, 12, 12), generator=torch.Generator().manual_seed(1))
    network = prepare(small_resnet(), x).eval()
    with torch.no_grad():
        error = network(x) - network.network.eval()(x)
        assert error.std() < 0.03 * network(x).std()


def test_norms_that_measure_batches_give_what_a_float_norm_gives():
    """Up to rounding to 8 bits; the running statistics move as those of the float network."""
    module = nn.Sequential(nn.Conv2d(3, 8, 3, bias=True), nn.BatchNorm2d(8))
    x = torch.randn((16, 3, 12, 12), generator=torch.Generator().manual_seed(1)) + 0.5
    network = prepare(copy.deepcopy(module), x, norms="batch", ranges="fixed").train()
    plain = prepared(copy.deepcopy(module)).train()
    expected, got = plain(x), network(x)
    inside = expected.abs() < float(got.abs().max()) * 0.9
    assert (got - expected)[inside].abs().mean() < 0.02
    norm, wanted = network.network[1], plain[1]
    assert torch.allclose(norm.running_mean, wanted.running_mean, atol=2e-3)
    assert torch.allclose(norm.running_var, wanted.running_var, rtol=2e-2)
    before = norm.running_mean.clone()
    network.freeze_norms()(x)
    assert torch.equal(norm.running_mean, before)


def test_gradients_are_those_of_fake_quantisation():
    """One layer against PyTorch's own fake quantisation, and its scale against the rule for learned step sizes."""
    torch.manual_seed(0)
    x = torch.randn((6, 10))
    network = prepare(nn.Linear(10, 7), x).train()
    network(x).square().sum().backward()
    layer = network.network
    weight_grad, bias_grad, shift_grad = (
        layer.weight.grad.clone(),
        layer.bias.grad.clone(),
        float(network.shift.grad[0]),
    )
    layer.zero_grad()

    q_in, q_out = (network.recipe.quants[i] for i in (network.graph.inputs[0], network.graph.outputs[0]))
    real_x = torch.fake_quantize_per_tensor_affine(x, q_in.scale[0], q_in.zero_point, -128, 127)
    scale, zeros = layer.weight.detach().abs().amax(1) / 127, torch.zeros(7, dtype=torch.int32)
    weight = torch.fake_quantize_per_channel_affine(layer.weight, scale, zeros, 0, -127, 127)
    exact = F.linear(real_x, weight, layer.bias)
    real = torch.fake_quantize_per_tensor_affine(exact, q_out.scale[0], q_out.zero_point, -128, 127)
    real.square().sum().backward()
    assert torch.allclose(weight_grad, layer.weight.grad, rtol=1e-4, atol=1e-5)
    assert torch.allclose(bias_grad, layer.bias.grad, rtol=1e-4, atol=1e-5)

    steps, words = (exact / q_out.scale[0]).detach(), (real / q_out.scale[0]).detach()
    error = torch.where((steps - words).abs() <= 0.5, words - steps, words)  # Esser et al. 2020, equation 3
    wanted = float((2 * real.detach() * error).sum()) * q_out.scale[0] / (127 * len(x)) ** 0.5
    assert shift_grad == pytest.approx(wanted, rel=0.02)  # this bias is rounded to int32 words, that one is not


def test_gradients_in_bfloat16_are_close_to_those_in_float32():
    x = torch.randn((4, 3, 12, 12), generator=torch.Generator().manual_seed(1))
    network = prepare(small_resnet(), x).train()
    grads = []
    for network.bf16 in (False, True):
        network.zero_grad()
        network(x).square().sum().backward()
        grads.append(network.network.blocks[0].first[0].weight.grad.clone())
    assert (grads[0] - grads[1]).norm() < 0.05 * grads[0].norm()


def test_training_repairs_what_rounding_to_8_bits_broke():
    """Scales of activations twenty times too wide: training finds them again."""
    torch.manual_seed(0)
    x, y = torch.randn(64, 8), torch.randint(0, 2, (64,))
    x[:, 0] += 2.0 * y
    module = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    network = prepare(module, x)
    with torch.no_grad():
        network.shift.fill_(3.0)
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    losses = []
    for _ in range(40):
        loss = F.cross_entropy(network.train()(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.6 * losses[0]
    assert (network.eval()(x).argmax(1) == y).float().mean() > 0.8


def test_parameters_that_a_pass_rearranged_are_trained_as_the_graph_has_them():
    """Flattened pictures lie channels last in the graph, so the linear layer's columns do too."""
    x = torch.randn((2, 3, 6, 6), generator=torch.Generator().manual_seed(1))
    network = prepare(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 3)), x)
    network.train()(x).sum().backward()
    assert all(p.grad is not None for p in network.trained())


def test_what_stays_in_float_is_named():
    x = torch.randn((2, 6), generator=torch.Generator().manual_seed(1))
    with pytest.raises(ConversionError, match=r"cannot be trained in int8: node \d+ log_softmax"):
        prepare(nn.Sequential(nn.Linear(6, 4), nn.LogSoftmax(1)), x)


def test_unknown_settings_are_refused():
    x = torch.randn((2, 6), generator=torch.Generator().manual_seed(1))
    with pytest.raises(ValueError, match="norms 'folded'"):
        prepare(nn.Linear(6, 4), x, norms="folded")
