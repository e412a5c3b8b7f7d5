"""Language models: weights by name, as an importer found them -> a Graph, one tensor in memory at a time."""

from edgert.convert.language.build import Options, load

__all__ = ["Options", "load"]
