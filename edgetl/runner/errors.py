"""What can go wrong in the runner, each with one line that says what to do."""

__all__ = ["BrokenModel", "MissingRuntime", "RunnerError", "UnreadableImage", "UnsupportedDevice", "WrongImages"]


class RunnerError(Exception):
    """Base of all errors of the runner that a user can act on."""


class MissingRuntime(RunnerError, ImportError):
    """The library that runs this kind of file is not installed, or does not load."""


class UnsupportedDevice(RunnerError):
    """The runtime would compute on another device, or in another precision, than asked for."""


class BrokenModel(RunnerError, ValueError):
    """The file is damaged, or is not a model that edgetl made."""


class WrongImages(RunnerError, ValueError):
    """The images have another size or type than the model takes."""


class UnreadableImage(RunnerError, ValueError):
    """A file that does not decode to an image; the text says why."""
