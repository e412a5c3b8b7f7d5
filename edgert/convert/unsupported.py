"""Why an operator of a source model cannot be expressed; importers collect these and report them all at once."""

from edgert.errors import UnsupportedOpError


class Unsupported(Exception):
    """Raised by a builder with the reason; the importer adds the operator's name and index."""


def error(source, problems):
    """The UnsupportedOpError for `problems`: a list of (index, operator name, reason)."""
    what = "an operator is" if len(problems) == 1 else f"{len(problems)} operators are"
    listed = [f"operator {index} {name}: {reason}" for index, name, reason in problems]
    return UnsupportedOpError(f"{source}: {what} not supported: " + "; ".join(listed))
