"""The import arrows of docs/architecture.md, read from the source of every module, and the size of files."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Unit -> what it may import of ours. A unit is the longest prefix listed; `errors` is everyone's.
ARROWS = {
    "edgert": ("edgert.model", "edgert.custom", "edgert.errors", "edgert.vision"),
    "edgert.__main__": ("edgert.cli",),
    "edgert.errors": (),
    "edgert.optional": (),
    "edgert.graph": (),
    "edgert.numerics": ("edgert.graph", "edgert.shapes"),
    "edgert.shapes": ("edgert.graph",),
    "edgert.heads": ("edgert.graph",),
    "edgert.text_rules": (),
    "edgert.text_limits": ("edgert.graph",),
    "edgert.pages": ("kernels.native",),
    "edgert.operators": ("edgert.graph", "edgert.shapes", "edgert.numerics", "edgert.text_rules"),
    "edgert.opset": ("edgert.graph", "edgert.operators", "edgert.numerics", "edgert.heads"),
    "edgert.macs": ("edgert.graph",),
    "edgert.custom": ("edgert.opset", "edgert.format", "kernels.tiers", "kernels.jit"),
    "edgert.format": ("edgert.graph", "edgert.opset"),
    "edgert.storage": ("edgert.graph",),
    "edgert.plan": ("edgert.graph", "edgert.opset", "edgert.storage", "kernels.tiers", "kernels.native"),
    "edgert.threads": (),
    "edgert.messages": (),
    "edgert.machine": (),
    "edgert.plots": (),
    "edgert.monitor": ("edgert.machine", "edgert.messages"),
    "edgert.tuned": ("edgert", "edgert.messages", "kernels.tiers", "kernels.cpu"),
    "edgert.session": ("edgert.plan", "edgert.format", "edgert.graph", "edgert.opset", "edgert.pages",
                       "edgert.text_limits", "edgert.threads", "edgert.tuned"),
    "edgert.tune": ("edgert.plan", "edgert.format", "edgert.graph", "edgert.threads", "edgert.tuned",
                    "edgert.messages", "kernels.tiers", "kernels.native"),
    "edgert.governor": ("edgert.machine",),
    "edgert.sources": ("edgert.messages", "edgert.optional", "edgert.vision"),
    "edgert.serve": ("edgert", "edgert.format", "edgert.governor", "edgert.machine", "edgert.messages", "edgert.model",
                     "edgert.monitor", "edgert.optional", "edgert.serve.web", "edgert.sources", "edgert.stream",
                     "edgert.threads"),
    "edgert.serve.web": ("edgert", "edgert.messages", "edgert.optional", "edgert.stream", "edgert.text"),
    "edgert.stream": ("edgert.model", "edgert.vision"),
    "edgert.vision": ("edgert.optional", "edgert.heads", "edgert.graph", "kernels.tiers", "kernels.native",
                      "kernels.jit", "kernels.reference"),
    "edgert.text": ("edgert.graph", "edgert.optional", "kernels.native"),
    "edgert.model": ("edgert.session", "edgert.text", "edgert.vision"),
    "edgert.convert": ("edgert", "edgert.graph", "edgert.opset", "edgert.shapes", "edgert.numerics", "edgert.format",
                       "edgert.heads", "edgert.optional", "edgert.vision", "kernels.reference", "kernels.requant",
                       "kernels.coordinates", "edgert.convert.importers.onnx", "edgert.convert.importers.tflite",
                       "edgert.convert.importers.torch", "edgert.convert.importers.language"),
    # One source format knows nothing of another.
    "edgert.convert.importers.onnx": ("edgert.convert", "edgert.graph", "kernels.coordinates"),
    "edgert.convert.importers.tflite": ("edgert.convert", "edgert.graph", "edgert.numerics"),
    "edgert.convert.importers.torch": ("edgert.convert", "edgert.graph"),
    "edgert.convert.importers.language": ("edgert.convert", "edgert.graph", "edgert.optional"),
    "edgert.convert.prune": ("edgert.convert", "edgert.convert.importers.torch", "edgert.session", "edgert.format"),
    "edgert.convert.optimize": ("edgert", "edgert.convert", "edgert.convert.prune", "edgert.format", "edgert.graph",
                                "edgert.macs", "edgert.machine", "edgert.model", "edgert.monitor", "edgert.optional",
                                "edgert.session"),
    "edgert.convert.report": ("edgert.convert.optimize", "edgert.macs", "edgert.optional", "edgert.plots",
                              "edgert.session"),
    "edgert.cli.report": ("edgert.cli", "edgert.convert", "edgert.convert.report"),
    "edgert.cli": ("edgert", "edgert.governor", "edgert.serve", "edgert.serve.web", "edgert.sources", "edgert.stream",
                   "edgert.model", "edgert.session", "edgert.plan", "edgert.format", "edgert.graph", "edgert.macs",
                   "edgert.optional", "edgert.vision", "edgert.threads", "edgert.tune", "edgert.tuned",
                   "edgert.messages", "edgert.plots", "edgert.text", "edgert.machine", "edgert.monitor",
                   "kernels.tiers", "kernels.native"),
    "edgert.cli.deploy": ("edgert.cli", "deploy"),
    "deploy": ("edgert.format",),
    "deploy.board": (),  # sent to the board alone
    "edgert.cli.convert": ("edgert.cli", "edgert.convert", "edgert.format"),
    "kernels.tiers": ("kernels.cpu", "kernels.native"),
    "kernels.cpu": ("kernels.native",),
    "kernels.native": (),
    "kernels.requant": (),
    "kernels.coordinates": ("kernels.requant",),
    "kernels.reference": ("kernels.requant", "kernels.coordinates"),
    "kernels.jit": ("kernels.cpu", "kernels.native", "kernels.requant", "kernels.coordinates"),
    "kernels": (),
}  # fmt: skip

# Unit -> packages of others that it may import, at any depth. Not listed: the standard library alone.
FOREIGN = {
    "edgert.format": {"flatbuffers"},
    "edgert.plan": {"numpy"},
    "edgert.session": {"numpy"},
    "edgert.serve": {"paho"},
    "edgert.serve.web": {"starlette", "uvicorn", "prometheus_client"},
    "edgert.sources": {"PIL", "numpy", "picamera2", "av"},
    "edgert.text": {"numpy"},
    "edgert.text.template": {"jinja2"},
    "edgert.vision": {"PIL", "numpy"},
    "edgert.monitor": {"psutil"},
    "edgert.convert.optimize": {"numpy", "torch", "onnxruntime", "ai_edge_litert"},
    "edgert.convert.report": {"matplotlib"},
    "edgert.cli.report": {"numpy"},
    "edgert.cli.page.resources": {"matplotlib"},
    "edgert.convert": {"numpy", "flatbuffers", "torch", "onnx", "google"},  # google.protobuf: what onnx raises
    "edgert.convert.prune": {"numpy", "torch"},
    "edgert.cli.convert": {"numpy"},
    "kernels.reference": {"numpy"},
    "kernels.jit": {"numpy", "numba", "llvmlite"},
    "kernels.requant": {"numpy"},
    "kernels.coordinates": {"numpy"},
}

# What a process that only answers must not pay for: no import of these at the top of a device module.
DEVICE_CORE = (
    *("errors", "graph", "opset", "operators", "shapes", "numerics", "text_rules", "text_limits", "storage", "plan"),
    *("threads", "messages", "tuned", "session", "model"),
    *("__init__", "optional", "pages", "format/reader", "format/flat", "format/header", "format/schema"),
)
SLOW = {"numpy", "dataclasses", "enum", "typing", "re", "pathlib", "hashlib", "collections", "functools", "inspect",
        "json", "contextlib", "PIL", "flatbuffers"}  # fmt: skip

MAX_LINES = 400
LONGER = {}  # path -> why one file is better than two


def modules():
    for top in ("edgert", "kernels", "deploy"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            yield pytest.param(name, path, id=name)


def imports(path, name):
    """(imported module, whether every process pays for it) for each import; relative ones made absolute."""
    tree = ast.parse(path.read_text(), str(path))
    deferred = (ast.FunctionDef, ast.ClassDef, ast.ExceptHandler)
    later = {id(node) for outer in ast.walk(tree) if isinstance(outer, deferred) for node in ast.walk(outer)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names = [
                f"{module}.{alias.name}" if is_module(f"{module}.{alias.name}") else module for alias in node.names
            ]
        else:
            continue
        for imported in names:
            yield ours(imported), id(node) not in later


def ours(module):
    """`edgert.kernels` and `edgert.deploy` are the installed names of the folders kernels/ and deploy/."""
    return module.removeprefix("edgert.") if module.startswith(("edgert.kernels", "edgert.deploy")) else module


def is_module(name):
    path = ROOT / ours(name).replace(".", "/")
    return path.with_suffix(".py").exists() or path.is_dir() or path.with_suffix(".pyx").exists()


def unit(module, units):
    fitting = [name for name in units if module == name or module.startswith(name + ".")]
    return max(fitting, key=len, default=None)


@pytest.mark.parametrize(("name", "path"), list(modules()))
def test_imports_follow_the_arrows(name, path):
    home = unit(name, ARROWS)
    foreign = FOREIGN.get(unit(name, FOREIGN), set())
    for imported, _ in imports(path, name):
        top = imported.split(".")[0]
        if top in ("edgert", "kernels", "deploy"):
            target = unit(imported, ARROWS)
            allowed = target in (home, "edgert.errors", *ARROWS[home]) or (
                target == "kernels" and home.startswith("kernels")
            )
            assert allowed, f"{name} imports {imported}: no arrow from {home} to {target}"
        else:
            assert top in foreign or is_standard(top), f"{name} imports {imported}"


def is_standard(top):
    return top in sys.stdlib_module_names or top in ("_sha2", "_sha256")  # one or the other, by Python's version


def test_kernels_never_import_the_package():
    for parameter in modules():
        name, path = parameter.values
        if name.startswith("kernels"):
            assert not [m for m, _ in imports(path, name) if m.startswith("edgert")], name


def test_native_kernels_import_only_each_other_and_the_shared_rules():
    ours_allowed = ("edgert.kernels.native", "edgert.kernels.coordinates", "edgert.kernels.requant")
    for path in sorted((ROOT / "kernels" / "native").rglob("*.p[xy][xid]")):
        for line in path.read_text().splitlines():
            words = line.split()
            if len(words) < 2 or words[0] not in ("from", "import", "cimport"):
                continue
            module = ".".join(words[1::2]) if words[1] == "edgert.kernels" else words[1]
            top = module.split(".")[0]
            assert module.startswith(ours_allowed) or top in ("cpython", "libc", "posix") or is_standard(top), (
                f"{path.name}: {line}"
            )


def test_only_its_verb_imports_the_converter():
    for parameter in modules():
        name, path = parameter.values
        if not name.startswith(("edgert.convert", "edgert.cli.convert", "edgert.cli.report")):
            assert not [m for m, _ in imports(path, name) if m.startswith("edgert.convert")], name


@pytest.mark.parametrize("module", DEVICE_CORE)
def test_the_device_core_imports_nothing_slow_at_the_top(module):
    path = ROOT / "edgert" / f"{module}.py"
    slow = {
        m for m, at_top in imports(path, f"edgert.{module.replace('/', '.')}") if at_top and m.split(".")[0] in SLOW
    }
    assert not slow


def sources():
    suffixes = (".py", ".pyx", ".pxi", ".pxd", ".h", ".js", ".css")
    for top in ("edgert", "kernels", "deploy", "models", "tests", "tools"):
        yield from (path for path in sorted((ROOT / top).rglob("*")) if path.suffix in suffixes and path.is_file())


def test_no_file_is_longer_than_a_reader_can_hold():
    generated = "Generated by Cython"
    for path in sources():
        lines = path.read_text().splitlines()
        name = str(path.relative_to(ROOT))
        if name not in LONGER and not (lines and generated in lines[0]):
            assert len(lines) <= MAX_LINES, f"{name} has {len(lines)} lines"
