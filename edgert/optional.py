"""Packages that only some uses need: imported when first used, and named with their install command when missing."""

import sys

from edgert.errors import EdgertError

PACKAGES = {  # module -> what pip calls it
    "av": "av",
    "PIL": "pillow",
    "flatbuffers": "flatbuffers",
    "gguf": "gguf",
    "jinja2": "jinja2",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "onnx": "onnx",
    "paho": "paho-mqtt",
    "prometheus_client": "prometheus-client",
    "psutil": "psutil",
    "starlette": "starlette",
    "tokenizers": "tokenizers",
    "torch": "torch",
    "uvicorn": "uvicorn",
}
_DEBIAN = {"pillow": "pil"}


def require(module, purpose):
    """Import `module`, or say in one line what it was for and how to install its package.

    Raises: EdgertError.
    """
    try:
        return __import__(module, fromlist=["_"])
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES:
            raise
        package = PACKAGES[error.name]
        raise EdgertError(f"{purpose} needs {package}: {install_command(package)}") from error
    except ImportError as error:  # a library that it is linked to, as a rule
        raise EdgertError(f"{purpose} needs {module}, which is installed but does not load: {error}") from error


def install_command(package):
    """The command that installs `package` for this very interpreter."""
    if _is_externally_managed():
        return f"apt install python3-{_DEBIAN.get(package, package)}"
    return f"{sys.executable or 'python3'} -m pip install {package}"


def _is_externally_managed():
    """Debian's own Python refuses pip outside a virtual environment (PEP 668)."""
    import os
    import sysconfig

    in_venv = sys.prefix != sys.base_prefix
    return not in_venv and os.path.exists(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED"))
