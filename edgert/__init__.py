"""edgert: INT8 inference for the Raspberry Pi.

    model = edgert.load("model.bin")
    for label, score, index in model.classify("cat.jpg"):
        print(label, score)

Names are fetched when first used: `import edgert` itself loads nothing else.
"""

__version__ = "0.1.0"

_HOME = {
    "load": "edgert.model",
    "Model": "edgert.model",
    "Class": "edgert.model",
    "EdgertError": "edgert.errors",
    "ModelFormatError": "edgert.errors",
    "UnsupportedOpError": "edgert.errors",
    "ConversionError": "edgert.errors",
    "InputError": "edgert.errors",
    "TierError": "edgert.errors",
    "CameraError": "edgert.errors",
    "DeployError": "edgert.errors",
}

__all__ = ("__version__", *_HOME)


def __getattr__(name):
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'edgert' has no attribute {name!r}")
    value = getattr(__import__(home, fromlist=[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_HOME})
