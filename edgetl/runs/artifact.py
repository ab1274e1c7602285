"""An artifact: a model file that a stage wrote, and what is known about it without opening it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgetl.recipe.fields import Format, Precision
from edgetl.runs.files import sha256_of, shipped_bytes

__all__ = ["EXACT", "Artifact"]

EXACT: Precision = "fp32"
"""The precision that computes as the trained network does."""


@dataclass(frozen=True)
class Artifact:
    """A model file."""

    file: str
    """Its name in the run folder."""

    format: Format
    precision: Precision
    size_bytes: int
    """All that must be shipped; for OpenVINO, that includes the weights beside the graph."""

    sha256: str
    """Of the file, in hex."""

    @classmethod
    def made(cls, path: Path, format: Format, precision: Precision) -> "Artifact":  # noqa: A002  the field's name
        """Describe a file that was just written."""
        return cls(path.name, format, precision, shipped_bytes(path), sha256_of(path))

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all its files: OpenVINO keeps the weights beside the graph."""
        return (self.file, str(Path(self.file).with_suffix(".bin"))) if self.format == "openvino" else (self.file,)

    @property
    def is_exact(self) -> bool:
        """Whether it computes as the trained network does, in single precision."""
        return self.precision == EXACT

    def named(self) -> dict[str, str]:
        """What identifies it in reports: file, format and precision."""
        return {"file": self.file, "format": self.format, "precision": self.precision}

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)
