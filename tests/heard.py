"""A reporter that keeps what it hears."""

from edgetl.runs.reporter import Reporter


class Heard(Reporter):
    """Keeps every line."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def say(self, text):
        self.lines.append(text)
