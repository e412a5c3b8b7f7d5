"""Values of a configuration, each checked when it is asked for: its name, what it is and what it must be."""

from edgert.errors import ConversionError

MOST = 2**31 - 1


class Settings:
    """values: a dict from a JSON object or a checkpoint. where: what errors call it."""

    def __init__(self, values, where):
        self._values, self._where = values, where

    def get(self, name, default=None):
        """The value, whatever it is; null counts as absent."""
        found = self._values.get(name)
        return default if found is None else found

    def count(self, name, default=None):
        """A whole number from 1."""
        found = self._value(name, default)
        if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= MOST:
            raise ConversionError(f"{self._where}: '{name}' is {found!r:.60}; it must be a whole number from 1")
        return found

    def number(self, name, default=None):
        """A finite number above 0."""
        found = self._value(name, default)
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 < found < 1e30:
            raise ConversionError(f"{self._where}: '{name}' is {found!r:.60}; it must be a number above 0")
        return float(found)

    def flag(self, name, default):
        """true or false."""
        found = self._value(name, default)
        if not isinstance(found, bool):
            raise ConversionError(f"{self._where}: '{name}' is {found!r:.60}; it must be true or false")
        return found

    def text(self, name, default=None):
        """A text."""
        found = self._value(name, default)
        if not isinstance(found, str):
            raise ConversionError(f"{self._where}: '{name}' is {found!r:.60}; it must be a text")
        return found

    def choice(self, name, known, default=None):
        """What `known` has for a text."""
        found = self.text(name, default)
        if found not in known:
            raise ConversionError(f"{self._where}: {name} '{found:.60}' is not supported; {', '.join(known)} are")
        return known[found]

    def must_be(self, name, value):
        """Raises: ConversionError if it is there and something else."""
        if self.get(name, value) != value:
            raise ConversionError(f"{self._where}: '{name}' is {self.get(name)!r:.60}; only {value!r} is supported")

    def _value(self, name, default):
        found = self.get(name, default)
        if found is None:
            raise ConversionError(f"{self._where}: '{name}' is missing")
        return found
