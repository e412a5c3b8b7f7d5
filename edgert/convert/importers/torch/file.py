"""Files that PyTorch writes: exported programs (.pt2) are imported, everything else is refused with what to do instead.

A pickle can run any code while it is read, and torch.export.load falls back to plain pickles where its own reader finds
something that is no tensor. Here nothing but tensors is ever unpickled.
"""

import io
import json
import os
import re
import warnings
import zipfile
from contextlib import contextmanager

import torch

from edgert.convert.importers.torch import program
from edgert.errors import ConversionError

EXPORT = "torch.export.save(torch.export.export(module.eval(), example_inputs), 'model.pt2')"
ADVICE = f"build the network, load its weights and call edgert.convert.from_torch(module, inputs), or save {EXPORT}"
PROGRAM = ("/archive_format", "/models/model.json", "serialized_exported_program.json")
# Names in a program's shape expressions, which SymPy evaluates as Python.
SYMBOL = re.compile(
    r"[a-z]\d+|Symbol|Integer|Rational|positive|nonnegative|integer|real|True|False"
    r"|Add|Mul|Pow|Mod|Max|Min|FloorDiv|CeilDiv|floor|ceiling|Eq|Ne|Le|Lt|Ge|Gt"
)
MAX_JSON_BYTES = 2**28


def load(data, source, name, shapes=None):
    """The exported program in `data` (a file's bytes) as a Draft. shapes: {input name: sizes} of dynamic inputs.

    Raises: ConversionError for damaged archives, weights without a network, TorchScript and pickled code;
    UnsupportedOpError.
    """
    infos = _entries(data, source)
    if any(f"/{info.filename}".endswith(PROGRAM) for info in infos):
        return program.load(_fixed(_program(data, source, infos), source, shapes), source, name)
    if any("/code/" in info.filename for info in infos):
        raise ConversionError(f"{source}: this is a TorchScript archive; {ADVICE}")
    raise ConversionError(f"{source}: {_contents(data)}; {ADVICE}")


def _entries(data, source):
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise ConversionError(f"{source}: the archive is damaged: {error}") from None


def _program(data, source, infos):
    """The archive as an ExportedProgram, after a look at what PyTorch would do with it."""
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > len(data):
            raise ConversionError(f"{source}: '{info.filename}' is compressed, which PyTorch's archives never are")
        if "/aotinductor/" in info.filename or info.filename.endswith((".so", ".pyd", ".dll")):
            raise ConversionError(f"{source}: holds compiled code ('{info.filename}'), which is never loaded; {ADVICE}")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in infos:
            if info.filename.endswith(".json"):
                _check_json(archive, info, source)
    try:
        with _tensors_only(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(io.BytesIO(data))
    except Exception as error:  # whatever a damaged archive makes of its reader
        reason = str(error).strip().split("\n")[0][:200]
        raise ConversionError(f"{source}: PyTorch {torch.__version__} cannot read the program: {reason}") from error


def _fixed(program, source, shapes):
    """The program exported anew for inputs of the given shapes, itself where none are given."""
    if not shapes:
        return program
    inputs = [node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
    unknown = set(shapes) - {node.name for node in inputs}
    if unknown:
        raise ConversionError(f"{source}: has no input {', '.join(sorted(unknown))}; it has {[n.name for n in inputs]}")
    values = [node.meta["val"] for node in inputs]
    for node, value in zip(inputs, values):
        if node.name not in shapes and not all(isinstance(dim, int) for dim in value.shape):
            raise ConversionError(f"{source}: input '{node.name}' is dynamic too: give --shape {node.name}=...")
    examples = [torch.zeros(shapes.get(n.name, tuple(v.shape)), dtype=v.dtype) for n, v in zip(inputs, values)]
    try:
        return torch.export.export(program.module(), tuple(examples))
    except Exception as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise ConversionError(f"{source}: the program does not take shapes {shapes}: {reason}") from error


def _check_json(archive, info, source):
    entry = info.filename
    if info.file_size > MAX_JSON_BYTES:
        raise ConversionError(f"{source}: '{entry}' has {info.file_size} bytes, more than {MAX_JSON_BYTES}")
    try:
        content = json.loads(archive.read(info))
    except (ValueError, RecursionError, zipfile.BadZipFile) as error:
        raise ConversionError(f"{source}: '{entry}' is damaged: {error}") from None
    pending = [content]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            _check_expression(value.get("expr_str"), source)
            pending += value.values()
        elif isinstance(value, list):
            pending += value


def _check_expression(text, source):
    if text is None:
        return
    words = re.findall(r"[^\W\d]\w*", text) if isinstance(text, str) else ["?"]
    strange = [word for word in words if not SYMBOL.fullmatch(word)]
    if strange or re.search(r"[\"\[\]{}:;\\.@]", text):
        raise ConversionError(f"{source}: the shape {str(text)[:80]!r} is no arithmetic of sizes")


@contextmanager
def _tensors_only():
    """Makes every torch.load in here refuse what is no tensor, even where PyTorch itself asks for plain unpickling."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _contents(data):
    """What a file of torch.save holds, in words."""
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception:
        return "this is a pickle of Python objects, which could run any code and is never loaded"
    while isinstance(content, dict) and "state_dict" in content:
        content = content["state_dict"]
    if isinstance(content, dict) and any(isinstance(value, torch.Tensor) for value in content.values()):
        shown = ", ".join(f"'{name}'" for name in list(content)[:3])
        return f"this holds {len(content)} weights ({shown} ...) and not the network they belong to"
    return f"this holds a {type(content).__name__} and no network"
