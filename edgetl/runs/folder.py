"""Run folders: a manifest, a SHA-256 per file, and writes that are whole or absent.

```text
RUN/
  manifest.json       schema version, role, parents, recipe, contract, lineage, files, metrics, one record per stage
  data.json labels.txt model.safetensors metrics.jsonl model.fp32.onnx ... report.html
  teacher/            the teacher's own run folder, when it was fine-tuned for this run
  unpruned/           the student before it was pruned, and what pruning measured, if that was asked for
  .lock               exists while a process writes
  .partial-STAGE/     what a stage is writing; moved into place when it is complete
  .checkpoint-STAGE/  where a killed stage resumes
  .quantized/         plans and judgements of quantization, so that the next one need not work them out again
  last-good.safetensors  what a training that diverged had reached; only then
```

A run folder may come from anywhere. Its manifest is checked when the folder is opened, and each file when it is read.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgetl.errors import DamagedFile, RunFolderError
from edgetl.runner.contract import Contract
from edgetl.runs.artifact import Artifact
from edgetl.runs.files import sha256_of, sync_names, write_atomic
from edgetl.runs.lock import LOCK_FILE
from edgetl.runs.manifest import MANIFEST_SCHEMA, Role, problem_of

__all__ = ["WEIGHTS_FILE", "RunFolder", "run_folders"]

WEIGHTS_FILE = "model.safetensors"

_MANIFEST = "manifest.json"
_PARTIAL, _CHECKPOINT = ".partial-", ".checkpoint-"
_CURE = "Restore it, or run again with another --out"
_EMPTY: dict[str, Any] = {"stages": {}, "files": {}, "metrics": {}, "parents": []}


def run_folders(name: str) -> tuple[Path, ...]:
    """The run folders that a teacher's name gives, one or several separated by commas; empty if it names a model."""
    if _is_run_folder(name):
        return (Path(name),)
    parts = [part.strip() for part in name.split(",")]
    return tuple(map(Path, parts)) if len(parts) > 1 and any(map(_is_run_folder, parts)) else ()


def _is_run_folder(name: str) -> bool:
    return bool(name) and ((Path(name) / _MANIFEST).is_file() or ("/" in name and Path(name).is_dir()))


def _is_ours(entry: Path) -> bool:
    """Whether a run killed before its first stage was kept may have left this entry: its own file, or a run inside."""
    if entry.name.startswith((_PARTIAL, _CHECKPOINT)) or entry.name == LOCK_FILE:
        return True
    if entry.is_dir() and not entry.is_symlink():
        return any(each.name == _MANIFEST or _is_ours(each) for each in entry.iterdir())
    return entry.name.startswith(".") and entry.name.endswith(".tmp")


class RunFolder:
    """One run: what was asked for, what was made, and the hashes that prove it."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self._whole: dict[str, tuple[int, int, int]] = {}
        """Files that passed their hash check, with the inode, size and modification time that they had then."""

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open an existing run.

        Raises:
            RunFolderError: It is missing, is not a run folder, is damaged, or was written by another version of edgetl.
        """
        if path.is_file():
            raise RunFolderError(f"{path}: is a file. Give the run folder that it lies in, such as {path.parent}")
        if not path.is_dir():
            raise RunFolderError(f"{path}: no such run folder. 'edgetl run' or 'edgetl distill' makes one")
        file = path / _MANIFEST
        if not file.is_file():
            inner = next(iter(sorted(path.glob(f"*/{_MANIFEST}"))), None)
            hint = f". Give one of those in it, such as {inner.parent}" if inner else ""
            raise RunFolderError(f"{path}: no {_MANIFEST} here, so this is not a run folder of edgetl{hint}")
        manifest = _read(file)
        version = manifest["schema_version"]
        if version > MANIFEST_SCHEMA:
            raise RunFolderError(
                f"{file}: schema version {version} is newer than this edgetl reads ({MANIFEST_SCHEMA}). Upgrade edgetl"
            )
        if version < MANIFEST_SCHEMA:
            raise RunFolderError(
                f"{file}: schema version {version} is from an older edgetl; this one reads {MANIFEST_SCHEMA}. Run again"
                " with another --out"
            )
        if problem := problem_of(manifest):
            raise RunFolderError(f"{file}: damaged ({problem}). {_CURE}")
        return cls(path, manifest)

    @classmethod
    def find(cls, path: Path) -> "RunFolder | None":
        """Open a run if there is one.

        Raises:
            RunFolderError: It is damaged, or was written by another version of edgetl.
        """
        return cls.open(path) if (path / _MANIFEST).is_file() else None

    @classmethod
    def trained(cls, path: Path) -> "RunFolder":
        """Open a run that another network is to learn from.

        Raises:
            RunFolderError: It is missing or damaged, or has no trained network.
        """
        folder = cls.open(path)
        if not folder.is_trained:
            raise RunFolderError(f"{path}: has no trained network to learn from. 'edgetl finetune' makes one")
        return folder

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
            entries = sorted(path.iterdir())
            foreign = [entry.name for entry in entries if not _is_ours(entry)]
            # A run killed while its first stage was kept leaves that stage's files, and its partial folder beside them.
            if foreign and not any(entry.name.startswith(_PARTIAL) for entry in entries):
                raise RunFolderError(
                    f"{path}: holds something else ({', '.join(foreign[:3])}). Choose an empty or new folder with --out"
                )
        return cls(path, {"schema_version": MANIFEST_SCHEMA, **_EMPTY})

    def reload(self) -> None:
        """Read the manifest again, after another process may have written it."""
        if (self.path / _MANIFEST).is_file():
            self.manifest = RunFolder.open(self.path).manifest

    @property
    def role(self) -> Role | None:
        """What the run is for; None if no stage has been kept yet."""
        role: Role | None = self.manifest.get("role")
        return role

    def parents(self, *roles: Role) -> list["RunFolder"]:
        """The runs that this one was made from, filtered by role; those that no longer exist are left out.

        Raises:
            RunFolderError: One of them is damaged.
        """
        paths = [self.path / entry["run"] for entry in self.manifest["parents"] if entry["role"] in roles]
        return [folder for path in paths if (folder := RunFolder.find(path))]

    @property
    def contract(self) -> Contract:
        """How a file becomes the model's input; the data stage decided it.

        Raises:
            RunFolderError: The data stage has not run, or the contract is damaged or from a newer edgetl.
        """
        if "contract" not in self.manifest:
            raise RunFolderError(f"{self.path}: has no contract. Run its data stage first")
        try:
            return Contract.from_dict(self.manifest["contract"])
        except ValueError as cause:
            raise RunFolderError(f"{self.path / _MANIFEST}: {cause}. Upgrade edgetl, or run again") from cause

    @property
    def is_trained(self) -> bool:
        """Whether there is a trained network in it."""
        return WEIGHTS_FILE in self.manifest["files"]

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the trained network's weights file; the run must be trained."""
        return str(self.manifest["files"][WEIGHTS_FILE]["sha256"])

    def file(self, name: str) -> Path:
        """Path of one of the run's files, after checking that it is what its stage wrote.

        Raises:
            RunFolderError: No stage has made it yet.
            DamagedFile: It is gone, was changed, or is a link.
        """
        if name not in self.manifest["files"]:
            raise RunFolderError(f"{self.path / name}: no such file. The stage that makes it has not run")
        if problem := self.damage(name):
            raise DamagedFile(f"{self.path / name}: {problem}. Restore it, or make it again{self._remedy(name)}")
        return self.path / name

    def damage(self, name: str) -> str:
        """What is wrong with one of the files that the run's stages made; empty if it is what its stage wrote."""
        path = self.path / name
        if path.is_symlink():
            return "is a link, where the run had a file"
        if not path.is_file():
            return "is gone"
        status = path.stat()
        seen = (status.st_ino, status.st_size, status.st_mtime_ns)
        if self._whole.get(name) == seen:
            return ""
        entry = self.manifest["files"][name]
        if status.st_size != entry["bytes"] or sha256_of(path) != entry["sha256"]:
            return f"is not what the {entry['stage']} stage wrote"
        self._whole[name] = seen
        return ""

    def read_json(self, name: str) -> dict[str, Any]:
        """What one of the run's JSON files holds.

        Raises:
            RunFolderError: No stage has made it yet.
            DamagedFile: It is gone or was changed.
        """
        file = self.file(name)
        try:
            data = json.loads(file.read_bytes())
        except (ValueError, RecursionError) as cause:
            raise self.damaged(name, f"not JSON: {cause}") from cause
        if not isinstance(data, dict):
            raise self.damaged(name, "not a JSON object")
        return data

    def damaged(self, name: str, problem: str) -> DamagedFile:
        """The error for a file of the run that does not hold what its stage wrote, with what to do."""
        return DamagedFile(f"{self.path / name}: cannot be used ({problem}). Make it again{self._remedy(name)}")

    def _remedy(self, name: str) -> str:
        stage = self.manifest["files"][name]["stage"]
        if stage in ("data", "finetune", "distill", "prune", "control"):
            return " with the command that made this run"
        return f": edgetl {stage} {self.path}"

    def stage(self, name: str) -> dict[str, Any] | None:
        """The record of a finished stage, or None."""
        record: dict[str, Any] | None = self.manifest["stages"].get(name)
        return record

    def files_of(self, stage: str) -> dict[str, str]:
        """Names and SHA-256 of the files that a finished stage made; empty if it has not run."""
        record = self.stage(stage)
        return {name: self.manifest["files"][name]["sha256"] for name in record["files"]} if record else {}

    def artifacts(self) -> list[Artifact]:
        """The exported artifacts, float ones first.

        Raises:
            RunFolderError: Nothing has been exported yet.
        """
        records = [self.stage(name) for name in ("export", "quantize")]
        found = [Artifact(**entry) for record in records if record for entry in record.get("artifacts", [])]
        if not found:
            raise RunFolderError(f"{self.path}: nothing has been exported here. Run 'edgetl export' first")
        return found

    def damage_of(self, artifact: Artifact) -> str:
        """What is wrong with the files of an artifact; empty if nothing is."""
        problems = ((name, self.damage(name)) for name in artifact.files)
        return "; ".join(f"{name} {problem}" for name, problem in problems if problem)

    def recipe_values(self) -> dict[str, Any]:
        """The recipe values that the stages read, merged; a later stage overrides an earlier one."""
        merged: dict[str, Any] = {}
        for record in self.manifest["stages"].values():
            for name, value in record.get("recipe", {}).items():
                merged[name] = {**merged.get(name, {}), **value} if isinstance(value, dict) else value
        return merged

    def is_current(self, stage: str, inputs: str) -> bool:
        """Tell whether a stage last ran with `inputs` (a hash) and its files have not changed since."""
        record = self.stage(stage)
        if record is None or record["inputs"] != inputs:
            return False
        return not any(self.damage(name) for name in record["files"])

    def checkpoint_dir(self, stage: str) -> Path:
        """Where a stage keeps what it needs to resume after being killed; removed when the stage is kept."""
        return self.path / f"{_CHECKPOINT}{stage}"

    @contextmanager
    def writing(self, stage: str) -> Iterator[Path]:
        """A folder for a stage's files; removed afterwards with whatever `keep` did not move out of it."""
        created = [p for p in (self.path, *self.path.parents) if not p.exists()]
        partial = self.path / f"{_PARTIAL}{stage}"
        try:
            partial.mkdir(parents=True, exist_ok=True)
            for left in partial.iterdir():  # left by a killed run; the folder itself marks this as a run, so it stays
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            for folder in created:
                # Only folders that are still empty: a failed stage leaves no trace.
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()

    def keep(
        self,
        stage: str,
        partial: Path,
        record: dict[str, Any],
        facts: dict[str, Any],
        *,
        readers: tuple[str, ...] = (),
        lasting: tuple[str, ...] = (),
    ) -> None:
        """Move a finished stage's files into place and enter them in the manifest.

        If they differ from what the stage made before, the files of its readers are out of date. Those files and their
        records are removed, so that a run folder never contradicts itself.

        Args:
            stage: Its name.
            partial: The folder that `writing` gave.
            record: `inputs` (hash), `seconds`, `metrics` and whatever else the stage's record holds.
            facts: Top-level entries of the manifest that this stage decides, such as the contract.
            readers: Stages that read this one's files, directly or through others.
            lasting: Readers whose files people open: they lose their record; files stay until they are made again.
        """
        written = sorted(partial.iterdir())
        made = {p.name: {"sha256": sha256_of(p), "bytes": p.stat().st_size, "stage": stage} for p in written}
        changed = self.files_of(stage) != {name: entry["sha256"] for name, entry in made.items()}
        dropped = {stage, *(readers if changed else ())}
        stages = {name: r for name, r in self.manifest["stages"].items() if name not in dropped}
        files = {name: entry for name, entry in self.manifest["files"].items() if entry["stage"] not in dropped}
        gone = {name for name, entry in self.manifest["files"].items() if entry["stage"] not in lasting}
        gone -= files.keys() | made.keys()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        stages[stage] = {**record, "files": sorted(made), "finished": now}
        manifest = {
            **self.manifest,
            **facts,
            "stages": stages,
            "files": {**files, **made},
            "metrics": {name: r["metrics"] for name, r in stages.items() if r.get("metrics")},
        }
        # Write the manifest before moving anything: a full disk must not leave new files beside an old manifest.
        write_atomic(partial / _MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        try:
            for name in (*made, _MANIFEST):
                (partial / name).replace(self.path / name)
        except BaseException:
            for name in made.keys() - self.manifest["files"].keys():  # the manifest that stays does not list them
                (self.path / name).unlink(missing_ok=True)
            raise
        sync_names(self.path)
        self.manifest = manifest
        for name in gone:
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.checkpoint_dir(stage), ignore_errors=True)


def _read(file: Path) -> dict[str, Any]:
    """A manifest as it is on disk, with an integer as its schema version."""
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict) or type(manifest.get("schema_version")) is not int:
            raise ValueError("it has no schema version")
    except (ValueError, RecursionError) as cause:
        raise RunFolderError(f"{file}: damaged ({cause}). {_CURE}") from cause
    return manifest
