"""Whether a teacher fits the data: its classes, its preprocessing, and its training images."""

from collections.abc import Sequence

from edgetl.data.index import ImageIndex, read_index
from edgetl.errors import ConfigError, DataError
from edgetl.recipe.fields import Recipe
from edgetl.runner.contract import Contract
from edgetl.runs.folder import RunFolder

__all__ = ["check_agreement", "check_teacher"]

_SHOWN = 5
_PIXELS = ("height", "width", "resize", "crop_fraction", "filter")
"""Fields of the contract that decide the pixels a network sees."""


def check_teacher(teacher: RunFolder, index: ImageIndex, recipe: Recipe) -> None:
    """Check that a teacher knows the classes, has the recipe's preprocessing, and was not trained on test images.

    Raises:
        DataError: It does not know a class, or was trained on test images.
        ConfigError: The recipe asks for another preprocessing than the teacher's.
    """
    contract = teacher.contract
    _check_classes(contract, index, recipe.distill.class_map)
    _check_preprocessing(contract, recipe)
    _check_unseen(teacher, index, recipe.seed)


def check_agreement(teachers: Sequence[RunFolder]) -> None:
    """Check that several teachers see the same pixels.

    Raises:
        ConfigError: They do not.
    """
    first = teachers[0].contract
    for other in teachers[1:]:
        for field in _PIXELS:
            here, there = getattr(first, field), getattr(other.contract, field)
            if here != there:
                problem = f"{teachers[0].path} was trained with {field} {here}, {other.path} with {there}"
                raise ConfigError("teacher.model", problem, hint="Teachers of one student must see the same pixels.")


def _check_classes(contract: Contract, index: ImageIndex, class_map: dict[str, str]) -> None:
    strangers = sorted(set(class_map) - set(index.labels))
    if strangers:
        raise ConfigError("distill.class_map", f"the data has no class {strangers[0]!r}", hint=_list_of(index.labels))
    wanted = {label: class_map.get(label, label) for label in index.labels}
    missing = {label: name for label, name in wanted.items() if name not in contract.labels}
    if missing:
        free = [name for name in contract.labels if name not in wanted.values()]
        example = f"{next(iter(missing))}: {free[0] if free else '...'}"
        raise DataError(
            f"{index.root}: the teacher does not know {len(missing)} of the data's classes {_named(missing)}; of its"
            f" own {_named(free)} are left. Say which is which with --set 'distill.class_map={{{example}}}', or give"
            " another teacher"
        )
    twice = sorted({name for name in wanted.values() if list(wanted.values()).count(name) > 1})
    if twice:
        raise ConfigError("distill.class_map", f"two classes of the data mean the teacher's {twice[0]!r}")
    if len(contract.labels) > len(wanted) and not class_map:
        extra = [name for name in contract.labels if name not in wanted.values()]
        raise DataError(
            f"{index.root}: the teacher knows {len(extra)} classes more {_named(extra)}. To leave them out, name one"
            f" class with --set 'distill.class_map={{{index.labels[0]}: {index.labels[0]}}}'"
        )


def _check_preprocessing(contract: Contract, recipe: Recipe) -> None:
    size = recipe.data.image_size
    if size not in ("auto", contract.height):
        hint = "Leave it out, or train a teacher at this size."
        raise ConfigError("data.image_size", f"is {size}, but the teacher was trained at {contract.height}", hint=hint)
    for field in ("resize", "filter"):
        asked, known = getattr(recipe.data, field), getattr(contract, field)
        if field in recipe.data.model_fields_set and asked != known:
            hint = f"Set data.{field}={known}, or train a teacher with data.{field}={asked}."
            raise ConfigError(f"data.{field}", f"is {asked}, but the teacher was trained with {known}", hint=hint)


def _check_unseen(teacher: RunFolder, index: ImageIndex, seed: int) -> None:
    """Check that no test image is a training image of the teacher, since its accuracy would then mean nothing."""
    taught = read_index(teacher)
    seen = {sample.sha256 for split in ("train", "unlabelled") for sample in taught.split(split)}
    known = [sample.path for sample in index.split("test") if sample.sha256 in seen]
    if known:
        its_seed = (teacher.stage("data") or {}).get("recipe", {}).get("seed", 0)
        # With the same seed the folders differ: images have moved, or the splits are given here and were not there.
        other = "Train a teacher on this folder, or take these images out of the test split"
        cure = other if seed == its_seed else f"Split as it did, with --seed {its_seed}"
        raise DataError(
            f"{index.root}: the teacher was trained on {len(known)} of this run's test images ({known[0]} ...). {cure}"
        )


def _named(labels: Sequence[str] | dict[str, str]) -> str:
    shown = list(labels)[:_SHOWN]
    return f"[{', '.join(shown)}{', ...' if len(labels) > _SHOWN else ''}]"


def _list_of(labels: Sequence[str]) -> str:
    return f"It has {_named(labels)}."
