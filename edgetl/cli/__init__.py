"""What is typed and seen: the verbs by family, their flags, and the terminal. The only place that prints or exits."""

from edgetl.cli import around, making, on_run
from edgetl.cli.app import app, main

__all__ = ["app", "around", "main", "making", "on_run"]
