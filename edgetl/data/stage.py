"""The data stage: open the images, check them, and write the index, the labels and the contract."""

from dataclasses import replace
from pathlib import Path

from edgetl.data.digits import DIGITS, digits_folder
from edgetl.data.folder import Listing, list_images, list_unsorted
from edgetl.data.index import INDEX_FILE, ImageIndex
from edgetl.data.scan import scan
from edgetl.data.sizing import Preprocessing, decide_contract, student_contract
from edgetl.data.teaching import check_agreement, check_teacher
from edgetl.data.unlabelled import scan_unlabelled
from edgetl.recipe.fields import Recipe
from edgetl.runs.files import hash_of, write_json
from edgetl.runs.stage import StageContext, StageResult

__all__ = ["LABELS_FILE", "fingerprint", "folder_fingerprint", "run", "unlabelled_fingerprint"]

LABELS_FILE = "labels.txt"


def run(context: StageContext, preprocessing: Preprocessing) -> StageResult:
    """Write `data.json` and `labels.txt`, and decide the contract; a student sees what its teacher sees.

    Args:
        context: The run.
        preprocessing: What the network expects of its input.

    Raises:
        DataError: The images cannot be used, or not with this teacher.
        ConfigError: The recipe asks for another preprocessing than the teacher's.
    """
    recipe, teachers = context.recipe, context.teachers
    index, validation = scan(_root(recipe), recipe.data, seed=recipe.seed, reporter=context.reporter)
    for teacher in teachers:
        check_teacher(teacher, index, recipe)
    if teachers:
        check_agreement(teachers)
        index = _with_unlabelled(index, context)
    contract = (
        student_contract(teachers[0].contract, index, recipe.student.image_size, preprocessing)
        if teachers
        else decide_contract(index, recipe, preprocessing)
    )
    write_json(context.out / INDEX_FILE, index.to_dict())
    (context.out / LABELS_FILE).write_text("".join(f"{label}\n" for label in index.labels), encoding="utf-8")
    counts = {f"{split}_images": len(index.split(split)) for split in ("train", "val", "test", "unlabelled")}
    return StageResult(
        metrics={**{name: count for name, count in counts.items() if count}, "classes": len(index.labels)},
        details={
            "median_side": index.median_side,
            "unreadable": index.unreadable,
            "validation": validation,
            "fingerprint": fingerprint(recipe),
        },
        facts={"contract": contract.to_dict()},
    )


def fingerprint(recipe: Recipe) -> str:
    """Hash the labelled files by path, size and modification time, without opening them.

    Raises:
        DataError: There is no such folder, or its classes are ambiguous.
    """
    if recipe.data.path == DIGITS:
        return hash_of(DIGITS)
    return _look_of(list_images(_root(recipe)))


def unlabelled_fingerprint(recipe: Recipe) -> str:
    """The same for the unlabelled files; empty if the recipe names none.

    Raises:
        DataError: There is no such folder.
    """
    return folder_fingerprint(recipe.distill.unlabelled)


def folder_fingerprint(place: str) -> str:
    """The same for any folder of images; empty if none is named.

    Raises:
        DataError: There is no such folder.
    """
    return _look_of(list_unsorted(Path(place).expanduser())) if place else ""


def _look_of(listing: Listing) -> str:
    return hash_of([(file.path, file.size_bytes, file.modified_ns) for file in listing.files])


def _root(recipe: Recipe) -> Path:
    return digits_folder() if recipe.data.path == DIGITS else Path(recipe.data.path).expanduser()


def _with_unlabelled(index: ImageIndex, context: StageContext) -> ImageIndex:
    path, allowed = context.recipe.distill.unlabelled, context.recipe.data.max_unreadable
    if not path:
        return index
    place = Path(path).expanduser()
    further = scan_unlabelled(place, index, max_unreadable=allowed, reporter=context.reporter)
    return replace(index, samples=(*index.samples, *further))
