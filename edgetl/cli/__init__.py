"""The command line: the verbs by family, their flags, and the terminal. The only place that prints or exits."""

# In the order in which the help page shows the verbs.
from edgetl.cli import making, on_run, around  # noqa: I001
from edgetl.cli.app import app, main

__all__ = ["app", "around", "main", "making", "on_run"]
