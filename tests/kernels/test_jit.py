"""The jit tier: the reference's bits on hard shapes, with every vocabulary; and what it compiles into, keeps and loads.

Compiling takes a third of a second a kernel, so of all the cases the ones that differ in code run here;
EDGERT_JIT_CASES=all runs every one.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import conformance
import pytest
from cases import CASES, build
from test_conformance import check_equal

from edgert.kernels import tiers

if not tiers.has_numba():
    pytest.skip("Numba is not installed", allow_module_level=True)

import llvmlite.binding
from llvmlite import ir

from edgert.kernels.jit import binary, gemm, simd

NAMES = """
conv2d/one_pixel conv2d/1x1_stride_2 conv2d/3x3_same conv2d/3x3_rgb_stride_2 conv2d/5x5_prime conv2d/kws_10x4
conv2d/7x1 conv2d/pads_beyond_kernel conv2d/dilation conv2d/groups_3_odd conv2d/groups_wide conv2d/batch_2_stride_2
conv2d/no_bias conv2d/clamp_both conv2d/weight_zero_point_lowest conv2d/weight_zero_point_groups conv2d/extreme_words
conv2d/ties conv2d/huge_multiplier conv2d/bias_at_int32_limits conv2d/1x1_to_33 conv2d/1x1_to_64 conv2d/9_pixels
conv2d/63_pixels depthwise_conv2d/3x3_stride_2 depthwise_conv2d/5x5_stride_2_prime depthwise_conv2d/pads_beyond_kernel
depthwise_conv2d/dilation depthwise_conv2d/multiplier_3_odd depthwise_conv2d/weight_zero_point_lowest
depthwise_conv2d/extreme_words depthwise_conv2d/65_channels depthwise_conv2d/1x1 linear/vector linear/rank_4
linear/weight_zero_point linear/largest_sum linear/many_rows linear/ties add/every_pair_zero_points add/scalar_b
add/per_row_and_column add/length_131 add/clamp sub/outer mul/every_pair_of_words minimum/channel_vector_first
maximum/extremes squared_difference/batch lookup/131 lookup/scalar avg_pool2d/pads_almost_kernel
avg_pool2d/requantised_global avg_pool2d/ties max_pool2d/clamp max_pool2d/lowest reduce/mean_pixels_batch
reduce/mean_apart reduce/sum_middle reduce/sum_saturates reduce/mean_lowest softmax/classes_1001 softmax/one_class
softmax/large_scale softmax/extremes slice/steps slice/backwards pad/all_axes pad/value transpose/reverse
transpose/rank_6 concat/rows concat/channels reshape/odd_bytes resize/nearest_prime_half_pixel resize/bilinear_prime
resize/bilinear_double_half_pixel resize/bilinear_half_align_corners dynamic_linear/depth_behind_vectors
dynamic_linear/rows_130 dynamic_linear/depth_four_vectors_no_bias dynamic_linear/words_-128
dynamic_linear/int4_thirteen_groups dynamic_linear/int4_bytes_255 layer_norm/2x3x17_bias layer_norm/offset
rms_norm/5x768 attention/grouped_float32 attention/beyond_int8 attention/window_5_int8 attention/negative_int8
cache_append/outside_int8 cache_append/full_float32 embedding/many_float32 embedding/many_int8 embedding/many_int4
rope/part rope/clamped_interleaved gate/silu_1031_both gate/gelu_1031 gate/gelu_tanh_17 positions/3_from_-1
last_row/many add/residual
"""
CHOSEN = NAMES.split()
WITH_WEIGHTS = [name for name in CHOSEN if name.split("/")[0] in ("conv2d", "depthwise_conv2d", "linear")]
PLAIN = [*WITH_WEIGHTS[::4], "add/per_row_and_column", "mul/every_pair_of_words", "dynamic_linear/depth_behind_vectors"]
ALSO = [
    *("add/length_131", "sub/outer", "softmax/extremes", "resize/bilinear_prime", "slice/steps"),
    *("dynamic_linear/depth_behind_vectors", "attention/grouped_float32", "gate/silu_1031_both", "add/residual"),
]
IN_PARTS = [*WITH_WEIGHTS[::5], *ALSO]


@pytest.fixture(scope="module", autouse=True)
def cache_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGERT_CACHE", str(folder))
        yield folder


@pytest.fixture
def forgetful(monkeypatch):
    """Kernels compiled before are not remembered by this process."""
    from edgert.kernels.jit import compiler

    monkeypatch.setattr(compiler, "_compiled", {})


@pytest.mark.parametrize("name", CASES if os.environ.get("EDGERT_JIT_CASES") == "all" else CHOSEN)
def test_jit_agrees_with_the_reference(name):
    case = build(name)
    bound = conformance.bind("jit", case)
    if bound is None:
        assert name not in CHOSEN
        pytest.skip("jit leaves this to another tier")
    check_equal(case, conformance.run(bound, case))


@pytest.mark.parametrize("name", PLAIN)
def test_a_cpu_without_dot_instruction_gets_the_same_bits(name, monkeypatch):
    monkeypatch.setattr(simd, "vocabulary", lambda: simd.Plain)
    case = build(name)
    check_equal(case, conformance.run(conformance.bind("jit", case), case))


@pytest.mark.parametrize("name", PLAIN)
def test_without_the_compiled_executor_a_kernel_is_called_from_python(name, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "edgert.kernels.native.program", None)
        case = build(name)
        bound = conformance.bind("jit", case)
    assert bound[0] == "python"
    check_equal(case, conformance.run(bound, case))


@pytest.mark.skipif(not tiers.has_native(), reason="the executor is not compiled here")
@pytest.mark.parametrize("threads", [2, 5])
def test_threads_share_the_work_without_gaps(threads):
    for name in IN_PARTS:
        case = build(name)
        _, step = conformance.bind("jit", case)
        whole = type(step)(step.name, step.address, step.params, step.params_address, step.scratch_bytes, True)
        check_equal(case, conformance.run(("native", whole), case, threads))


@pytest.mark.skipif(not tiers.has_native(), reason="the executor is not compiled here")
def test_no_kernel_leaves_its_buffers():
    script = Path(__file__).with_name("guard_pages.py")
    run = subprocess.run([sys.executable, script, "jit", *CHOSEN], capture_output=True, text=True)
    lines = run.stdout.splitlines()
    assert run.returncode == 0, f"ended the process ({run.returncode}) in case {lines[-1]}: {run.stderr[-500:]}"
    assert lines[-1].endswith("stayed within their buffers")


def run_again(case):
    """What a process that remembers nothing gives."""
    from edgert.kernels.jit import compiler

    compiler._compiled.clear()
    check_equal(case, conformance.run(conformance.bind("jit", case), case))


DAMAGE = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "a bit flipped": lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
    "another format": lambda content: b"edgert-jit 0" + content[12:],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_file_is_made_anew(damage, monkeypatch, tmp_path, forgetful):
    monkeypatch.setenv("EDGERT_CACHE", str(tmp_path))
    case = build("lookup/131")
    run_again(case)
    [file] = (tmp_path / "jit").glob("*")
    content = file.read_bytes()
    file.write_bytes(DAMAGE[damage](content))
    run_again(case)
    assert len(file.read_bytes()) > len(content) // 2
    written = file.stat().st_mtime_ns
    run_again(case)
    assert file.stat().st_mtime_ns == written


def test_a_cache_folder_that_cannot_be_made_is_done_without(monkeypatch, tmp_path, forgetful):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("EDGERT_CACHE", str(tmp_path / "file"))
    run_again(build("lookup/131"))


def test_code_from_the_cache_never_takes_the_place_of_other_code(tmp_path):
    """Two processes compile different kernels first, a third loads both and compiles one more."""
    code = (
        "import sys, conformance\nfrom cases import build\nfrom test_conformance import check_equal\n"
        "for name in sys.argv[1:]:\n"
        "    case = build(name)\n    check_equal(case, conformance.run(conformance.bind('jit', case), case))\n"
    )
    here = str(Path(__file__).parent)
    environment = os.environ | {
        "EDGERT_CACHE": str(tmp_path), "PYTHONPATH": os.pathsep.join([here, *filter(None, sys.path)])
    }  # fmt: skip
    for names in (["concat/rows"], ["concat/channels"], ["transpose/reverse", "concat/channels", "concat/rows"]):
        subprocess.run([sys.executable, "-c", code, *names], env=environment, check=True, cwd=tmp_path)


def arm_assembly(emit, cpu):
    """What LLVM makes of a function (i8* x 4, i64 x 4) for an Arm core; `emit(builder, arguments)` fills it."""
    llvmlite.binding.initialize_all_targets()
    llvmlite.binding.initialize_all_asmprinters()
    module = ir.Module("tile")
    pointer, word = ir.IntType(8).as_pointer(), ir.IntType(64)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer] * 4 + [word] * 4), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    emit(builder, function.args)
    builder.ret_void()
    module.triple = "aarch64-linux-gnu"
    target = llvmlite.binding.Target.from_triple(module.triple).create_target_machine(cpu=cpu, opt=3)
    return target.emit_assembly(llvmlite.binding.parse_assembly(str(module)))


def tile(isa):
    g = gemm.Gemm(isa.name, 3, 16, 40, -(-40 // isa.lanes), 40, 4, 2, -128, 127, 3, False, 64, -1, 0, 64, 256, 512)
    return lambda builder, args: gemm.Emitter(builder, g, *args).band_by_panels()


def sum_of_two(isa):
    p = binary.Binary(isa.name, "add", (), (), (), 100, 1, 1, 3, 4, 0.1, 0.2, 1.0, -128, 127, 5)
    return lambda b, args: binary.Emitter(b, p).row(*args[:3], *args[4:6], ir.Constant(ir.IntType(1), 1))


FUSED = re.compile(r"\b(fmla|fmls|fmadd|fmsub|vfmadd\w*|vfmsub\w*)\b")


def test_a_pi_5_gets_the_dot_instruction_and_no_pi_a_fused_product():
    new, old = arm_assembly(tile(simd.Neondot), "cortex-a76"), arm_assembly(tile(simd.Plain), "cortex-a72")
    assert new.count("sdot") >= 8
    assert "sdot" not in old
    for isa, core in (simd.Neondot, "cortex-a76"), (simd.Plain, "cortex-a72"):
        text = arm_assembly(sum_of_two(isa), core)
        assert text.count("fmul") >= 2
        assert text.count("fadd") >= 1
        assert not FUSED.search(text + new + old)


def test_this_cpu_gets_no_fused_product(monkeypatch, tmp_path, forgetful):
    monkeypatch.setenv("EDGERT_CACHE", str(tmp_path))
    _, bound = conformance.bind("jit", build("add/length_131"))
    code = bound.params[1] if hasattr(bound, "params") else bound.keeps[0]
    assert not FUSED.search(code.library.get_asm_str())


def test_jit_is_last_but_one_and_never_chosen_unasked(monkeypatch):
    monkeypatch.delenv("EDGERT_TIER", raising=False)
    assert tiers.available()[-2:] == ["jit", "reference"]
    assert tiers.resolve("jit") == ["jit", "scalar", "reference"]
    if tiers.has_native():
        assert "jit" not in tiers.resolve()
    monkeypatch.setattr(tiers, "has_native", lambda: False)
    assert tiers.resolve()[-2:] == ["jit", "reference"]


def test_without_numba_the_tier_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(tiers, "has_numba", lambda: False)
    assert "jit" not in tiers.supported()
    with pytest.raises(ValueError, match="pip install 'edgert\\[jit\\]'"):
        tiers.resolve("jit")


def test_declining_a_node_imports_no_numba():
    code = (
        "import sys\nfrom edgert.kernels import jit\nfrom edgert.graph import Tensor\n"
        "x = Tensor('x', 'float32', (1,))\n"
        "assert jit.bind('gather', (x, x), (x,), {}) is None\nassert jit.bind('sub', (x, x), (x,), {}) is None\n"
        "assert not {'numpy', 'numba', 'llvmlite'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
