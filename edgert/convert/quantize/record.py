"""What quantisation did: measured, printed, and written into the model file."""


class Record:
    """settings: dict of what was asked for. warnings, steps: lists of sentences, steps in the order they happened.
    nodes: list of dicts (name, op, sqnr_db ...). result: dict of final measurements.
    """

    def __init__(self, settings):
        self.settings, self.nodes, self.warnings, self.steps, self.result = settings, [], [], [], {}

    def lines(self):
        """For a person: one sentence a line."""
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        return [f"quantised: {settings}", *self.warnings, *self.steps]

    def summary(self):
        """For a program: plain dicts, lists, strings and numbers."""
        return {
            "settings": self.settings,
            "warnings": self.warnings,
            "steps": self.steps,
            "result": self.result,
            "nodes": self.nodes,
        }
