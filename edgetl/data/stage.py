"""The data stage: open the images, check them, and write the index, the labels and the contract."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from edgetl.data.audit import check_classes
from edgetl.data.digits import DIGITS, digits_folder
from edgetl.data.folder import Listing, described, list_images, list_unsorted
from edgetl.data.index import INDEX_FILE, ImageIndex, read_index
from edgetl.data.scan import scan
from edgetl.data.sizing import Preprocessing, decide_contract, student_contract
from edgetl.data.survey import stamp_of
from edgetl.data.teaching import check_agreement, check_teacher
from edgetl.data.unlabelled import scan_unlabelled
from edgetl.recipe.fields import Recipe
from edgetl.runs.files import hash_of, write_json
from edgetl.runs.folder import RunFolder
from edgetl.runs.stage import StageContext, StageResult

__all__ = ["LABELS_FILE", "fingerprint", "folder_stamps", "layout", "run", "stamps", "unlabelled_stamps"]

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
    if changes := _changes(context.folder, index):
        context.reporter.say(changes)
    contract = (
        student_contract(teachers[0].contract, index, recipe.student.image_size, preprocessing)
        if teachers
        else decide_contract(index, recipe, preprocessing)
    )
    write_json(context.out / INDEX_FILE, index.to_dict(context.folder.path))
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


def layout(recipe: Recipe) -> str:
    """What the user's images are, in a line, without opening any; empty for the embedded ones.

    Raises:
        DataError: There is no such folder, it has no classes, or they are ambiguous.
    """
    if recipe.data.path == DIGITS:
        return ""
    listing = _listed(recipe)
    check_classes(listing)
    return described(listing)


def fingerprint(recipe: Recipe) -> str:
    """Hash the labelled files by path, size and modification time, which a copy of the folder shares.

    Raises:
        DataError: There is no such folder, or its classes are ambiguous.
    """
    if recipe.data.path == DIGITS:
        return hash_of(DIGITS)
    return hash_of([(file.path, file.size_bytes, file.modified_ns) for file in _listed(recipe).files])


def stamps(recipe: Recipe) -> str:
    """Hash all that tells whether a labelled file is the one that was read, without opening any.

    A file that was replaced by one of its size, with its time of modification set back (`cp -p`, `rsync -t`), has
    another inode or time of change.

    Raises:
        DataError: As of `fingerprint`.
    """
    return hash_of(DIGITS) if recipe.data.path == DIGITS else _stamps_of(_listed(recipe))


def unlabelled_stamps(recipe: Recipe) -> str:
    """The same for the unlabelled files; empty if the recipe names none.

    Raises:
        DataError: There is no such folder.
    """
    return folder_stamps(recipe.distill.unlabelled)


def folder_stamps(place: str) -> str:
    """The same for any folder of images; empty if none is named.

    Raises:
        DataError: There is no such folder.
    """
    return _stamps_of(list_unsorted(Path(place).expanduser())) if place else ""


def _stamps_of(listing: Listing) -> str:
    return hash_of([(file.path, *stamp_of(file)) for file in listing.files])


def _listed(recipe: Recipe) -> Listing:
    return list_images(_root(recipe), recipe.data.classes)


def _root(recipe: Recipe) -> Path:
    return digits_folder() if recipe.data.path == DIGITS else Path(recipe.data.path).expanduser()


def _changes(folder: RunFolder, index: ImageIndex) -> str:
    """What is different from the images that this run was made of before, in a line; empty if nothing is."""
    if INDEX_FILE not in folder.manifest["files"] or folder.damage(INDEX_FILE):
        return ""
    before = {sample.path: sample.sha256 for sample in read_index(folder).samples}
    now = {sample.path: sample.sha256 for sample in index.samples}
    kinds = {
        "new": now.keys() - before.keys(),
        "gone": before.keys() - now.keys(),
        "with other content": {path for path in now.keys() & before.keys() if now[path] != before[path]},
    }
    found = [f"{len(paths):,} {kind} ({_named(paths)})" for kind, paths in kinds.items() if paths]
    return f"Images have changed since they were last read: {', '.join(found)}." if found else ""


def _named(paths: Collection[str]) -> str:
    return f"{min(paths)}{', ...' if len(paths) > 1 else ''}"


def _with_unlabelled(index: ImageIndex, context: StageContext) -> ImageIndex:
    path, allowed = context.recipe.distill.unlabelled, context.recipe.data.max_unreadable
    if not path:
        return index
    place = Path(path).expanduser()
    further = scan_unlabelled(place, index, max_unreadable=allowed, reporter=context.reporter)
    return replace(index, samples=(*index.samples, *further))
