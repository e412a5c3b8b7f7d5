"""edgert: INT8 inference for the Raspberry Pi.

    model = edgert.load("model.bin")
    for label, score, index in model.classify("cat.jpg"):
        print(label, score)

Names are fetched when first used: `import edgert` itself loads nothing else.
"""

__version__ = "0.1.0"

__all__ = [
    "CameraError",
    "Class",
    "ConversionError",
    "CustomOpError",
    "DeployError",
    "Detection",
    "EdgertError",
    "InputError",
    "Model",
    "ModelFormatError",
    "TierError",
    "UnsupportedOpError",
    "__version__",
    "load",
    "op",
]

_HOMES = {
    "Class": "edgert.model", "Detection": "edgert.vision.detect", "Model": "edgert.model", "load": "edgert.model",
    "op": "edgert.custom",
}  # fmt: skip


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"module 'edgert' has no attribute {name!r}")
    value = getattr(__import__(_HOMES.get(name, "edgert.errors"), fromlist=[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
