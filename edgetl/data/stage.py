"""The data stage: open the images, check them, and write the index, the labels and the contract."""

import json
from dataclasses import replace
from pathlib import Path

from edgetl.artifact import RunFolder, hash_of
from edgetl.config import Recipe
from edgetl.data.digits import DIGITS, digits_folder
from edgetl.data.folder import list_images
from edgetl.data.index import INDEX_FILE, ImageIndex, read_index
from edgetl.data.scan import scan
from edgetl.data.sizing import Preprocessing, decide_contract
from edgetl.errors import ConfigError, DataError
from edgetl.runner.contract import Contract
from edgetl.stage import StageContext, StageResult

__all__ = ["LABELS_FILE", "fingerprint", "run"]

LABELS_FILE = "labels.txt"


def run(context: StageContext, preprocessing: Preprocessing) -> StageResult:
    """Write `data.json` and `labels.txt`, and decide the contract; with a teacher, it is the teacher's.

    Args:
        context: The run.
        preprocessing: What the network to be trained expects.

    Raises:
        DataError: The images cannot be used as they are, or have other classes than the teacher.
    """
    recipe = context.recipe
    index = scan(_root(recipe), recipe.data, seed=recipe.seed, reporter=context.reporter)
    teachers = _teachers(context.teacher, index, recipe)
    if context.teacher:
        _check_unseen(context.teacher, index)
    # A student sees the teacher's pixels; the normalisation inside the graph is each network's own.
    contract = (
        replace(teachers, mean=preprocessing.mean, std=preprocessing.std)
        if teachers
        else decide_contract(index, recipe, preprocessing)
    )
    text = json.dumps(index.to_dict(), indent=1) + "\n"
    (context.out / INDEX_FILE).write_text(text, encoding="utf-8")
    (context.out / LABELS_FILE).write_text("".join(f"{label}\n" for label in index.labels), encoding="utf-8")
    counts = {f"{split}_images": len(index.split(split)) for split in ("train", "val", "test")}
    return StageResult(
        metrics={**counts, "classes": len(index.labels)},
        details={"median_side": index.median_side, "unreadable": index.unreadable},
        facts={"contract": contract.to_dict()},
    )


def fingerprint(recipe: Recipe) -> str:
    """Hash what the files look like from outside: path, size and time of modification of each.

    Raises:
        DataError: There is no such folder, or it cannot be told what is a class.
    """
    if recipe.data.path == DIGITS:
        return hash_of(DIGITS)
    return hash_of([(file.path, file.size_bytes, file.modified_ns) for file in list_images(_root(recipe)).files])


def _root(recipe: Recipe) -> Path:
    return digits_folder() if recipe.data.path == DIGITS else Path(recipe.data.path).expanduser()


def _teachers(teacher: RunFolder | None, index: ImageIndex, recipe: Recipe) -> Contract | None:
    """The teacher's contract, which a student must share to see the same pixels."""
    if teacher is None:
        return None
    contract = teacher.contract
    if contract.labels != index.labels:
        raise DataError(
            f"{index.root}: the teacher was trained on classes {_named(contract.labels, index.labels)}; "
            f"the data has {_named(index.labels, contract.labels)}. Give the teacher's classes, or another teacher"
        )
    size = recipe.data.image_size
    if size not in ("auto", contract.height):
        hint = "Leave it out, or train a teacher at this size."
        raise ConfigError("data.image_size", f"is {size}, but the teacher was trained at {contract.height}", hint=hint)
    return contract


def _check_unseen(teacher: RunFolder, index: ImageIndex) -> None:
    """Make sure that no test image of this run taught the teacher, or the comparison of the two would be worthless."""
    seen = {sample.sha256 for sample in read_index(teacher).split("train")}
    known = [sample.path for sample in index.split("test") if sample.sha256 in seen]
    if known:
        raise DataError(
            f"{index.root}: the teacher was trained on {len(known)} of this run's test images ({known[0]} ...). "
            f"Split as it did, with --seed {teacher.manifest.get('seed', 0)}"
        )


def _named(labels: tuple[str, ...], others: tuple[str, ...]) -> str:
    """The labels as a list, those first that the others lack."""
    ordered = sorted(labels, key=lambda label: (label in others, label))
    return f"[{', '.join(ordered[:5])}{', ...' if len(ordered) > 5 else ''}] ({len(ordered)})"
