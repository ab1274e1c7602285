"""The index: every image of a run with its label, split and hash, as `data.json` keeps it."""

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PlainValidator, model_validator

from edgetl.data.digits import DIGITS, digits_folder, digits_place
from edgetl.errors import DataError, RunFolderError
from edgetl.runs.folder import RunFolder
from edgetl.runs.reports import Part, problem_in

__all__ = ["INDEX_FILE", "INDEX_SCHEMA", "UNLABELLED", "ImageIndex", "Sample", "read_index"]

INDEX_SCHEMA = 1
INDEX_FILE = "data.json"

UNLABELLED = -1
"""The label of an image that has none."""

_LINKS_AT = 3
"""Depth above which folders may be links: the root, split and class."""


@dataclass(frozen=True)
class Sample:
    """One image."""

    path: str
    """Relative to the root, with '/'; absolute if it is unlabelled and lies elsewhere."""

    label: int
    """Position of its class in the labels; `UNLABELLED` if it has none."""

    split: str
    """'train', 'val', 'test' or 'unlabelled'."""

    sha256: str
    """Of the file's bytes, in hex."""


def _is_text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("should be a text")
    return value


_PathText = Annotated[str, PlainValidator(_is_text)]
"""A path; pydantic's own `str` refuses the surrogates of a name that is not UTF-8."""


class _Sample(Part):
    model_config = ConfigDict(extra="forbid", strict=True)
    path: _PathText
    label: int = Field(ge=UNLABELLED)
    split: Literal["train", "val", "test", "unlabelled"]
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class _Index(Part):
    """What `data.json` holds."""

    schema_version: int
    root: _PathText
    labels: list[str] = Field(min_length=1)
    samples: list[_Sample]
    unreadable: dict[_PathText, str]
    median_side: int = Field(ge=1)

    @model_validator(mode="after")
    def _labels_are_known(self) -> "_Index":
        if any(sample.label >= len(self.labels) for sample in self.samples):
            raise ValueError("an image has a label without a name")
        return self


@dataclass(frozen=True)
class ImageIndex:
    """All images of a run, ordered by path; the unlabelled ones last."""

    root: Path
    """Absolute."""

    labels: tuple[str, ...]
    """Class names, sorted."""

    samples: tuple[Sample, ...]
    unreadable: dict[str, str]
    """Files that were left out, with the reason."""

    median_side: int
    """Median of the shorter sides, in pixels."""

    def split(self, name: str) -> list[Sample]:
        """The images of 'train', 'val', 'test' or 'unlabelled', ordered by path."""
        return [sample for sample in self.samples if sample.split == name]

    def spread(self, name: str, count: int) -> list[Path]:
        """Up to `count` images of a split, evenly over it and so over its classes.

        Raises:
            DataError: One is gone.
        """
        samples = self.split(name)
        places = [k * (len(samples) - 1) // max(1, count - 1) for k in range(count)]
        chosen = range(len(samples)) if len(samples) <= count else places
        return [self.file(samples[place]) for place in chosen]

    def file(self, sample: Sample) -> Path:
        """The path of an image.

        Raises:
            DataError: It is gone, or leads out of the root.
        """
        path = self.root / sample.path
        if sample.split != "unlabelled" and self._leads_out(sample.path):
            raise DataError(f"{path}: leads out of {self.root}. Start a run on the data as it is now")
        if path.is_file():
            return path
        gone = path if self.root.is_dir() else self.root
        raise DataError(
            f"{gone}: is gone since this run read it, unless the run was moved without its images. Put it back, or"
            " start a run on the data as it is now"
        )

    def _leads_out(self, path: str) -> bool:
        """Whether a path leaves the root, other than by a folder of a class or split that is a link."""
        parts = Path(path).parts
        if Path(path).is_absolute() or ".." in parts:
            return True
        above = [self.root.joinpath(*parts[:depth]) for depth in range(_LINKS_AT) if depth < len(parts)]
        homes = [os.path.realpath(each) for each in above if each == self.root or each.is_symlink()]
        target = Path(os.path.realpath(self.root / path))
        return not any(target.is_relative_to(home) for home in homes)

    def to_dict(self, at: Path) -> dict[str, Any]:
        """Everything, as plain JSON types; the embedded set is stored by name, so that the run opens on any machine.

        Args:
            at: The run's folder, from which all places are told: a run and its images can move together, and whoever
                gets a run does not learn where its maker keeps things.
        """
        return {
            "schema_version": INDEX_SCHEMA,
            "root": DIGITS if self.root == digits_place() else os.path.relpath(self.root, at.resolve()),
            "labels": list(self.labels),
            "median_side": self.median_side,
            "unreadable": self.unreadable,
            "samples": [asdict(sample) | {"path": self._told(sample)} for sample in self.samples],
        }

    def _told(self, sample: Sample) -> str:
        return os.path.relpath(sample.path, self.root) if Path(sample.path).is_absolute() else sample.path

    @classmethod
    def from_dict(cls, data: dict[str, Any], at: Path) -> "ImageIndex":
        """Read what `to_dict` wrote for a run's folder; the embedded set is made again where it is missing.

        Raises:
            ValueError: It was written by a newer edgetl, or is damaged.
        """
        version = data.get("schema_version", 0)
        if isinstance(version, int) and version > INDEX_SCHEMA:
            raise ValueError(f"schema version {version} is newer than {INDEX_SCHEMA}")
        if problem := problem_in(_Index, data):
            raise ValueError(f"a field is missing or wrong: {problem}")
        root = digits_folder() if data["root"] == DIGITS else _place(at.resolve(), data["root"])
        return cls(
            root=root,
            labels=tuple(data["labels"]),
            samples=tuple(_sample(root, each) for each in data["samples"]),
            unreadable=dict(data["unreadable"]),
            median_side=data["median_side"],
        )


def _place(start: Path, told: str) -> Path:
    return Path(os.path.normpath(start / told))


def _sample(root: Path, told: dict[str, Any]) -> Sample:
    """An image as it was told; an unlabelled one lies anywhere."""
    sample = Sample(**told)
    return replace(sample, path=str(_place(root, sample.path))) if sample.split == "unlabelled" else sample


def read_index(folder: RunFolder) -> ImageIndex:
    """Read the index of a run.

    Raises:
        RunFolderError: The data stage has not run, or its file is damaged or of a newer edgetl.
    """
    file = folder.file(INDEX_FILE)
    try:
        return ImageIndex.from_dict(json.loads(file.read_bytes()), folder.path)
    except (ValueError, AttributeError) as cause:
        raise RunFolderError(f"{file}: cannot be used ({cause}). Run again with another --out") from cause
