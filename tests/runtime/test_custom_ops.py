"""Custom ops: registered, checked, written, planned, compiled, profiled, and every way for them to be wrong."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgert
from edgert import opset
from edgert.errors import CustomOpError, ModelFormatError
from edgert.format import reader, writer
from edgert.graph import Graph, Node, Quant, Tensor
from edgert.kernels import tiers

DOCS = Path(__file__).resolve().parents[2] / "docs" / "custom_ops.md"
FORCED = os.environ.get("EDGERT_TIER")
needs_numba = pytest.mark.skipif(not tiers.has_numba(), reason="Numba is not installed")
needs_executor = pytest.mark.skipif(not tiers.has_native(), reason="the executor is not compiled here")
compiles = pytest.mark.skipif(
    FORCED == "reference" or not tiers.has_numba(), reason="custom ops run as plain Python here"
)
WAYS = [pytest.param("reference", id="python"), pytest.param(None, id="compiled", marks=compiles)]


@pytest.fixture(autouse=True)
def only_the_ops_of_one_test(monkeypatch, tmp_path):
    monkeypatch.setattr(opset, "CUSTOM", dict(opset.CUSTOM))
    monkeypatch.setattr(tiers, "CUSTOM", dict(tiers.CUSTOM))
    monkeypatch.setenv("EDGERT_CACHE", str(tmp_path / "cache"))


def define_swish(name="acme.swish2", **options):
    @edgert.op(name, **options)
    def swish(x, out, *, alpha=1.0):
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                out[i, j] = x[i, j] / (np.float32(1) + np.exp(-np.float32(alpha) * x[i, j]))

    return swish


def graph_of(op, attrs=None, shape=(3, 5), out_shape=None, dtype="float32", quant=None, more=()):
    x, out = Tensor("x", dtype, shape, quant), Tensor("y", dtype, out_shape or shape, quant)
    extra = tuple(Tensor(f"x{i}", dtype, shape, quant) for i in range(more)) if more else ()
    tensors = (x, *extra, out)
    last = len(tensors) - 1
    node = Node(op, tuple(range(last)), (last,), attrs or {}, "its name")
    return Graph("custom", tensors, (node,), tuple(range(last)), (last,))


def load(graph, tier=None):
    return edgert.load(writer.to_bytes(graph), tier=tier)


def some_floats(shape=(3, 5)):
    return np.random.default_rng(0).normal(0, 2, shape).astype(np.float32)


@pytest.mark.parametrize("tier", WAYS)
def test_a_custom_op_runs_in_a_graph(tier):
    define_swish()
    x = some_floats()
    expected = x / (1 + np.exp(-np.float32(1.5) * x))
    np.testing.assert_allclose(load(graph_of("acme.swish2", {"alpha": 1.5}), tier)(x), expected, rtol=1e-6)


@compiles
@needs_executor
def test_it_is_a_step_of_the_executor_like_a_built_in():
    define_swish()
    session = load(graph_of("acme.swish2")).session
    [(step, elapsed_ns)] = session.profile(runs=1)
    assert step == (0, "jit", "acme.swish2__jit", (0, 1))
    assert elapsed_ns > 0


@pytest.mark.parametrize("tier", WAYS)
def test_quantisation_comes_by_name(tier):
    @edgert.op("acme.double")
    def double(x, out, *, x_scale, x_zero_point, out_scale, out_zero_point):
        for i in range(x.shape[0]):
            real = x_scale * (np.int32(x[i]) - x_zero_point) * 2
            out[i] = np.int8(min(max(np.rint(real / out_scale) + out_zero_point, -128), 127))

    tensors = (Tensor("x", "int8", (7,), Quant((0.5,), 3)), Tensor("y", "int8", (7,), Quant((0.25,), -4)))
    model = load(Graph("g", tensors, (Node("acme.double", (0,), (1,)),), (0,), (1,)), tier)
    x = np.array([-128, -5, 0, 3, 4, 20, 127], np.int8)
    expected = np.clip(np.rint(0.5 * (x.astype(int) - 3) * 2 / 0.25) - 4, -128, 127)
    assert (model(x) == expected).all()


@pytest.mark.parametrize("tier", WAYS)
def test_a_shape_rule_sees_shapes_and_attributes(tier):
    @edgert.op("acme.repeat", shape=lambda a, b, *, times: (a[0] * times, *a[1:]))
    def repeat(a, b, out, *, times: int):
        for i in range(out.shape[0]):
            out[i] = a[i % a.shape[0]] + b[i % a.shape[0]]

    assert opset.infer_shape("acme.repeat", [(3, 5), (3, 5)], {"times": 4}) == (12, 5)
    a, b = some_floats(), some_floats()[::-1].copy()
    model = load(graph_of("acme.repeat", {"times": 2}, out_shape=(6, 5), more=1), tier)
    assert (model(a, b) == np.concatenate([a + b, a + b])).all()


def test_files_record_version_and_hash():
    define_swish(version=3)
    loaded = reader.read_bytes(writer.to_bytes(graph_of("acme.swish2", {"alpha": 2.0})))
    attrs = loaded.graph.nodes[0].attrs
    assert attrs["op_version"] == 3
    assert re.fullmatch("[0-9a-f]{64}", attrs["op_hash"])
    assert writer.to_bytes(loaded.graph) == writer.to_bytes(graph_of("acme.swish2", {"alpha": 2.0}))


def test_a_file_that_needs_an_op_nobody_registered_says_which_and_how():
    define_swish()
    content = writer.to_bytes(graph_of("acme.swish2"))
    del opset.CUSTOM["acme.swish2"]
    with pytest.raises(ModelFormatError, match=r"'its name'.*op 'acme.swish2' is not registered.*import the module"):
        edgert.load(content)


def test_a_file_made_with_another_version_is_refused():
    define_swish(version=1)
    content = writer.to_bytes(graph_of("acme.swish2"))
    define_swish(version=2)
    with pytest.raises(ModelFormatError, match=r"made with version 1 \(hash .*registered here is version 2"):
        edgert.load(content)


def test_a_file_made_with_another_function_of_the_same_version_is_refused():
    define_swish()
    content = writer.to_bytes(graph_of("acme.swish2"))

    @edgert.op("acme.swish2")
    def swish(x, out, *, alpha=1.0):
        out[:] = x

    with pytest.raises(ModelFormatError, match="made with version 1"):
        edgert.load(content)


def test_the_hash_is_of_the_source_and_not_of_its_place():
    from edgert.custom import source_hash

    def indented():
        def f(x, out):
            out[:] = x

        return f

    def f(x, out):
        out[:] = x

    assert source_hash(indented()) == source_hash(f)


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"alpha": 1}, "alpha"),
        ({"beta": 1.0}, "attribute 'beta' is unknown"),
    ],
)
def test_attributes_are_checked(attrs, message):
    define_swish()
    with pytest.raises(ModelFormatError, match=message):
        opset.validate(graph_of("acme.swish2", attrs))


def test_an_attribute_without_default_is_required():
    @edgert.op("acme.needs")
    def needs(x, out, *, gain):
        out[:] = x * gain

    with pytest.raises(ModelFormatError, match="'gain' is missing"):
        opset.validate(graph_of("acme.needs"))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda x: (x[0], 99), r"declared \(3, 5\), the op gives \(3, 99\)"),
        (lambda x: list(x), "not a tuple of sizes"),
        (lambda x: (0, 5), "not a tuple of sizes"),
        (lambda x: (x[7], 5), "shape rule failed.*IndexError"),
        (lambda: (3, 5), "shape rule failed.*TypeError"),
    ],
)
def test_a_shape_that_lies_is_named_with_its_node(rule, message):
    define_swish(shape=rule)
    with pytest.raises(ModelFormatError, match=f"its name.*{message}"):
        opset.validate(graph_of("acme.swish2"))


@compiles
def test_a_function_that_does_not_compile_is_named_with_its_node():
    @edgert.op("acme.broken")
    def broken(x, out):
        out[:] = x.no_such_method()

    with pytest.raises(CustomOpError, match=r"node 0 'its name' \(acme.broken.*does not compile.*no_such_method"):
        load(graph_of("acme.broken"))


@pytest.mark.parametrize("tier", WAYS)
def test_what_a_function_raises_is_named_with_its_node(tier):
    @edgert.op("acme.picky")
    def picky(x, out):
        if x[0, 0] < 0:
            raise ValueError("the first element is negative")
        out[:] = x

    model = load(graph_of("acme.picky"), tier)
    good, bad = np.ones((3, 5), np.float32), np.full((3, 5), -1, np.float32)
    with pytest.raises(CustomOpError, match=r"node 0 'its name' \(acme.picky.*ValueError: the first element is neg"):
        model(bad)
    assert (model(good) == good).all()


@pytest.mark.parametrize("tier", WAYS)
def test_boundscheck_stops_at_the_end_of_an_array(tier):
    @edgert.op("acme.beyond", boundscheck=True)
    def beyond(x, out):
        for i in range(x.shape[0] + 1):
            out[i, 0] = x[i, 0]

    with pytest.raises(CustomOpError, match=r"its name.*IndexError"):
        load(graph_of("acme.beyond"), tier)(some_floats())


def test_a_parameter_of_quantisation_needs_a_quantised_tensor():
    @edgert.op("acme.scaled")
    def scaled(x, out, *, x_scale):
        out[:] = x * x_scale

    with pytest.raises(ModelFormatError, match="'x_scale' needs a quantised 'x'"):
        opset.validate(graph_of("acme.scaled"))


@pytest.mark.parametrize("name", ["swish", "acme.", ".swish", "acme swish", "acme.2", 7])
def test_a_name_needs_an_owner(name):
    with pytest.raises(ValueError, match=r"owner\.name"):
        define_swish(name)


def test_a_signature_must_be_inputs_then_out_then_attributes():
    with pytest.raises(ValueError, match="needs inputs, then 'out'"):
        edgert.op("acme.a")(lambda x, y: None)
    with pytest.raises(ValueError, match="no array and no keyword-only"):
        edgert.op("acme.b")(lambda x, out, alpha=1.0: None)
    with pytest.raises(ValueError, match="cannot be"):
        edgert.op("acme.c")(lambda x, out, *, alpha=None: None)


@compiles
@needs_executor
def test_machine_code_is_kept_on_disk(tmp_path):
    define_swish()
    load(graph_of("acme.swish2", {"alpha": 0.125}))  # no other test's: what this process compiled is not read again
    assert len(list((tmp_path / "cache" / "jit").glob("*.o"))) == 1


@needs_numba
def test_registering_imports_neither_numpy_nor_numba():
    code = (
        "import sys, edgert\n"
        "@edgert.op('acme.same')\n"
        "def same(x, out):\n    out[:] = x\n"
        "assert not {'numpy', 'numba'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_documented_example_runs(tmp_path):
    text = DOCS.read_text()
    programs = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.S)
    assert [name for name, _ in programs] == ["acme_ops.py", "make.py", "run.py"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    for name, code in programs:
        (tmp_path / name).write_text(code)
        if name != "acme_ops.py":
            done = subprocess.run([sys.executable, name], cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
    shown = re.search(r"prints\n\n```\n(.*?)```", text, re.S).group(1)
    assert done.stdout == shown
