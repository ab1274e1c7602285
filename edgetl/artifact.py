"""Run folders: a manifest, a SHA-256 per file, and writes that are whole or absent.

```text
RUN/
  manifest.json       schema version, recipe, contract, lineage, files, versions, metrics, one record per stage
  data.json labels.txt model.safetensors metrics.jsonl model.fp32.onnx ... report.html
  teacher/            the teacher's own run folder, when it was fine-tuned for this run
  unpruned/           the student before it was pruned, and what pruning measured, if it was asked for
  .partial-STAGE/     what a stage is writing; moved into place when it is complete
  .checkpoint-STAGE/  where a killed stage goes on
```
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgetl.errors import RunFolderError
from edgetl.runner.contract import Contract

__all__ = ["MANIFEST_SCHEMA", "RunFolder", "hash_of", "run_folders", "sha256_of", "shipped_bytes", "write_atomic"]

MANIFEST_SCHEMA = 1
_MANIFEST = "manifest.json"
_ALWAYS_THERE = {"kind", "recipe", "stages", "files", "metrics"}
_PARTIAL, _CHECKPOINT = ".partial-", ".checkpoint-"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_of(value: Any) -> str:
    """SHA-256 of JSON-like data, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that it is, at any moment, the old or the new one; on failure nothing is left behind."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_names(path.parent)


def shipped_bytes(artifact: Path) -> int:
    """Size of what must be shipped: OpenVINO keeps the weights in a file beside."""
    weights = artifact.with_suffix(".bin")
    beside = weights.stat().st_size if artifact.suffix == ".xml" and weights.is_file() else 0
    return artifact.stat().st_size + beside


def _sync_names(folder: Path) -> None:
    """Make a rename last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def run_folders(name: str) -> tuple[Path, ...]:
    """The run folders that a teacher's name gives, one or several with commas; empty if it is a model's name."""
    if _is_run_folder(name):
        return (Path(name),)
    parts = [part.strip() for part in name.split(",")]
    return tuple(map(Path, parts)) if len(parts) > 1 and any(map(_is_run_folder, parts)) else ()


def _is_run_folder(name: str) -> bool:
    return bool(name) and ((Path(name) / _MANIFEST).is_file() or ("/" in name and Path(name).is_dir()))


def _is_unfinished(name: str) -> bool:
    """Tell whether a file or folder is what a run leaves that was killed before its first stage was kept."""
    killed_write = name.startswith(".") and name.endswith(".tmp")
    return name in ("teacher", "unpruned") or name.startswith((_PARTIAL, _CHECKPOINT, "assistant-")) or killed_write


class RunFolder:
    """One run: what was asked, what was made of it, and the hashes that prove it."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open an existing run.

        Raises:
            RunFolderError: It is missing, is no run folder, is damaged, or was written by a newer edgetl.
        """
        if path.is_file():
            raise RunFolderError(f"{path}: is a file. Give the run folder that it lies in, such as {path.parent}")
        if not path.is_dir():
            raise RunFolderError(f"{path}: no such run folder. 'edgetl run' or 'edgetl distill' makes one")
        file = path / _MANIFEST
        if not file.is_file():
            raise RunFolderError(f"{path}: no {_MANIFEST} here, so this is not a run folder of edgetl")
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
            version = int(manifest["schema_version"])
        except (ValueError, KeyError, TypeError) as cause:
            raise RunFolderError(f"{file}: damaged ({cause}). Restore it, or run again with another --out") from cause
        if version > MANIFEST_SCHEMA:
            raise RunFolderError(
                f"{file}: schema version {version} is newer than this edgetl reads ({MANIFEST_SCHEMA}). Upgrade edgetl"
            )
        if missing := sorted(_ALWAYS_THERE - manifest.keys()):
            raise RunFolderError(f"{file}: damaged (no {missing[0]!r}). Restore it, or run again with another --out")
        return cls(path, manifest)

    @classmethod
    def prepare(cls, path: Path) -> "RunFolder":
        """Open a run, or plan a new one; nothing is written until a stage has something to keep.

        Raises:
            RunFolderError: The folder holds something that is not a run.
        """
        if (path / _MANIFEST).exists():
            return cls.open(path)
        if path.exists() and not path.is_dir():
            raise RunFolderError(f"{path}: is a file. Choose another place with --out")
        if path.is_dir():
            names = sorted(p.name for p in path.iterdir())
            foreign = [name for name in names if not _is_unfinished(name)]
            # A run killed while its first stage was kept leaves that stage's files, and its partial folder beside them.
            if foreign and not any(name.startswith(_PARTIAL) for name in names):
                raise RunFolderError(
                    f"{path}: holds something else ({', '.join(foreign[:3])}). Choose an empty or new folder with --out"
                )
        return cls(path, {"schema_version": MANIFEST_SCHEMA, "stages": {}, "files": {}, "metrics": {}})

    def reload(self) -> None:
        """Read the manifest again, after another process may have written it."""
        if (self.path / _MANIFEST).is_file():
            self.manifest = RunFolder.open(self.path).manifest

    @property
    def contract(self) -> Contract:
        """How a file becomes the model's input; the data stage decided it.

        Raises:
            RunFolderError: The data stage has not run, or the contract is damaged or of a newer edgetl.
        """
        if "contract" not in self.manifest:
            raise RunFolderError(f"{self.path}: has no contract. Run its data stage first")
        try:
            return Contract.from_dict(self.manifest["contract"])
        except ValueError as cause:
            raise RunFolderError(f"{self.path / _MANIFEST}: {cause}. Upgrade edgetl, or run again") from cause

    def file(self, name: str) -> Path:
        """Path of one of the run's files, which must exist.

        Raises:
            RunFolderError: No stage has made it yet, or it was deleted.
        """
        path = self.path / name
        if not path.is_file():
            raise RunFolderError(f"{path}: no such file. The stage that makes it has not run")
        return path

    def stage(self, name: str) -> dict[str, Any] | None:
        """The record of a finished stage, or None."""
        record: dict[str, Any] | None = self.manifest["stages"].get(name)
        return record

    def files_of(self, stage: str) -> dict[str, str]:
        """Names and SHA-256 of the files that a finished stage made; empty if it has not run."""
        record = self.stage(stage)
        return {name: self.manifest["files"][name]["sha256"] for name in record["files"]} if record else {}

    def artifacts(self) -> list[dict[str, str]]:
        """What was exported: `file`, `format` and `precision` of each, float ones first.

        Raises:
            RunFolderError: Nothing was.
        """
        records = [self.stage(name) for name in ("export", "quantize")]
        found: list[dict[str, str]] = [artifact for record in records if record for artifact in record["artifacts"]]
        if not found:
            raise RunFolderError(f"{self.path}: nothing is exported here. 'edgetl export' does it")
        return found

    def is_current(self, stage: str, inputs: str) -> bool:
        """Tell whether a stage was made from `inputs` (a hash) and its files are still what it wrote."""
        record = self.stage(stage)
        if record is None or record["inputs"] != inputs:
            return False
        return all((self.path / n).is_file() and sha256_of(self.path / n) == s for n, s in self.files_of(stage).items())

    def checkpoint_dir(self, stage: str) -> Path:
        """Where a stage keeps what it needs to go on after being killed; removed when the stage is kept."""
        return self.path / f"{_CHECKPOINT}{stage}"

    @contextmanager
    def writing(self, stage: str) -> Iterator[Path]:
        """A folder to write a stage's files in; removed again, with its content, unless `keep` took them."""
        created = [p for p in (self.path, *self.path.parents) if not p.exists()]
        partial = self.path / f"{_PARTIAL}{stage}"
        try:
            partial.mkdir(parents=True, exist_ok=True)
            for left in partial.iterdir():  # a killed run's; the folder itself tells that this is a run, so it stays
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            for folder in created:
                # Only what is still empty: a stage that failed leaves no trace.
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()

    def keep(
        self, stage: str, partial: Path, record: dict[str, Any], facts: dict[str, Any], readers: tuple[str, ...] = ()
    ) -> None:
        """Move a finished stage's files into place and enter them in the manifest.

        If they differ from what the stage made before, its readers' files were made from something that is gone; they
        and their records are removed, so that a run folder never contradicts itself.

        Args:
            stage: Its name.
            partial: The folder that `writing` gave.
            record: `inputs` (hash), `seconds`, `metrics` and whatever else the stage's record holds.
            facts: Top-level entries of the manifest that this stage decides, such as the contract.
            readers: Stages that read this one's files, directly or through others.
        """
        written = sorted(partial.iterdir())
        made = {p.name: {"sha256": sha256_of(p), "bytes": p.stat().st_size, "stage": stage} for p in written}
        changed = self.files_of(stage) != {name: entry["sha256"] for name, entry in made.items()}
        dropped = {stage, *(readers if changed else ())}
        stages = {name: r for name, r in self.manifest["stages"].items() if name not in dropped}
        files = {name: entry for name, entry in self.manifest["files"].items() if entry["stage"] not in dropped}
        gone = set(self.manifest["files"]) - set(files) - set(made)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        stages[stage] = {**record, "files": sorted(made), "finished": now}
        manifest = {
            **self.manifest,
            **facts,
            "stages": stages,
            "files": {**files, **made},
            "metrics": {name: r["metrics"] for name, r in stages.items() if r.get("metrics")},
        }
        # Written in full before anything moves: a full disk must not leave new files beside an old manifest.
        write_atomic(partial / _MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        try:
            for name in (*made, _MANIFEST):
                (partial / name).replace(self.path / name)
        except BaseException:
            for name in made.keys() - self.manifest["files"].keys():  # the manifest that stays does not know them
                (self.path / name).unlink(missing_ok=True)
            raise
        _sync_names(self.path)
        self.manifest = manifest
        for name in gone:
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.checkpoint_dir(stage), ignore_errors=True)
