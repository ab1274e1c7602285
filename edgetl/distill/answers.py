"""The teachers' answers on disk, by the address of the view: computed once, read by every student and epoch."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.data.dataset import Batch
from edgetl.data.grid import ViewGrid
from edgetl.data.store import ArrayStore
from edgetl.distill.sparse import decoded, encoded
from edgetl.distill.teacher import Teacher
from edgetl.errors import RunFolderError
from edgetl.runs.files import hash_of
from edgetl.runs.stage import StageContext
from edgetl.train.recording import PixelRecorder, Recorder, record
from edgetl.zoo.folding import folded_norms
from edgetl.zoo.head import FeatureTap

__all__ = ["AnswerStores", "Answers", "answer_stores", "teachers_view", "write_answers"]

_SHOWN = 12
"""Characters of a hash in a message."""

_WHOLE_UP_TO, _TOP_K = 64, 16
"""With up to 64 classes all answers are stored, with more the best 16 (see edgetl.distill.sparse)."""


@dataclass(frozen=True)
class AnswerStores:
    """The stores of one teacher's answers."""

    precision: str
    """'fp32' or 'bf16'."""

    logits: ArrayStore
    features: ArrayStore | None

    @property
    def all(self) -> list[ArrayStore]:
        """The stores that there are."""
        return [self.logits] + ([self.features] if self.features else [])

    @property
    def is_sparse(self) -> bool:
        """Whether only the best classes are stored."""
        return self.logits.about["top_k"] is not None


@dataclass(frozen=True)
class Answers:
    """The teachers' answers to a batch."""

    stores: Sequence[AnswerStores]
    classes: int
    first_row: int = 0
    """Row of the first augmented view."""

    def logits(self, batch: Batch) -> torch.Tensor:
        """The mean of the teachers' logits, `float32 (N, K)`."""
        every = [torch.from_numpy(self._one(each, batch)) for each in self.stores]
        return every[0] if len(every) == 1 else torch.stack(every).mean(0)

    def everything(self) -> NDArray[np.float32]:
        """The mean of the teachers' logits of all views of all images, `(R, N, K)`."""
        every = [self._decoded(each, each.logits.read()) for each in self.stores]
        mean_RNK: NDArray[np.float32] = np.mean(every, axis=0, dtype=np.float32)
        return mean_RNK

    def features(self, batch: Batch) -> torch.Tensor:
        """The only teacher's features, `float32 (N, D)`."""
        (only,) = self.stores
        if only.features is None:
            raise RuntimeError("the teacher was not asked for features")
        return torch.from_numpy(self._rows(only.features, batch)).float()

    def _one(self, stores: AnswerStores, batch: Batch) -> NDArray[np.float32]:
        return self._decoded(stores, self._rows(stores.logits, batch))

    def _decoded(self, stores: AnswerStores, numbers: NDArray[Any]) -> NDArray[np.float32]:
        if not stores.is_sparse:
            return numbers.astype(np.float32)
        flat = decoded(np.ascontiguousarray(numbers).reshape(-1, numbers.shape[-1]), self.classes)
        return flat.reshape(*numbers.shape[:-1], self.classes)

    def _rows(self, store: ArrayStore, batch: Batch) -> NDArray[Any]:
        found: NDArray[Any] = store.read()[self.first_row + batch.view, batch.positions_N.cpu().numpy()]
        return found


def answer_stores(
    teacher: Teacher, grid: ViewGrid, context: StageContext, *, precision: str, feature_width: int
) -> AnswerStores:
    """Find the stores of a teacher's answers; they may not exist yet.

    Args:
        teacher: The teacher.
        grid: The views and images.
        context: The stage's context; its recipe may name the folder.
        precision: Arithmetic of the answers.
        feature_width: Features per image, or 0 if no loss needs them.

    Raises:
        RunFolderError: The named folder holds answers of another teacher, or to another grid.
    """
    about = {
        "teacher": teacher.weights_sha256,
        "precision": precision,
        **grid.about(),
        "classes": list(teacher.columns),
    }
    top_k = _kept(context, len(teacher.columns))
    folder = teacher.run.path / ".answers" / hash_of([about, top_k])[:16]
    if context.recipe.distill.cache != "auto":
        named = Path(context.recipe.distill.cache).expanduser()
        folder = named / teacher.weights_sha256[:16] if len(context.teachers) > 1 else named
    shape = (grid.rows, len(grid.samples))
    kept, dtype = (
        (len(teacher.columns), "<f2") if top_k is None else (2 * top_k + 1, "<u2")
    )  # see edgetl.distill.sparse
    logits = ArrayStore(folder, "logits", (*shape, kept), dtype, {**about, "top_k": top_k})
    features = ArrayStore(folder, "features", (*shape, feature_width), "<f2", about) if feature_width else None
    stores = AnswerStores(precision, logits, features)
    for store in stores.all:
        _check_same(store)
    return stores


class TeacherRecorder:
    """Records a teacher's answers, and its features where they are asked for.

    Args:
        teacher: The teacher; it moves to the GPU, if there is one, until it is released.
        answers: Its stores.
    """

    def __init__(self, teacher: Teacher, answers: AnswerStores) -> None:
        self.stores = answers.all
        self._answers = answers
        self._teacher = teacher
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        teacher.classifier.to(self._device).eval()
        contract = teacher.run.contract
        example = torch.zeros((1, contract.height, contract.width, 3), dtype=torch.uint8, device=self._device)
        self._folded = ExitStack()
        self._folded.enter_context(folded_norms(teacher.classifier, example))
        known = len(contract.labels)
        self._tap = FeatureTap(teacher.classifier.net, known) if answers.features else None

    def numbers(self, batch: Batch) -> dict[str, NDArray[Any]]:
        """The answers to a batch, by the store's name."""
        images_NHWC = batch.images_NHWC.to(self._device)
        half = self._answers.precision == "bf16"
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=half):
            logits_NK = self._teacher.logits(images_NHWC).float().cpu()
        width = self._answers.logits.shape[-1]
        sparse = self._answers.is_sparse
        found = {"logits": encoded(logits_NK, width) if sparse else logits_NK.to(torch.float16).numpy()}
        if self._tap:
            found["features"] = self._tap.take().to("cpu", torch.float16).numpy()
        return found

    def release(self) -> None:
        """Move the teacher back to the CPU, as it was."""
        self._folded.close()
        self._teacher.classifier.to("cpu")


def write_answers(
    grid: ViewGrid,
    teachers: Sequence[Teacher],
    stores: Sequence[AnswerStores],
    pixels: ArrayStore | None,
    context: StageContext,
) -> None:
    """Compute and store the missing answers, and the missing pixels.

    Args:
        grid: The views and images, in the student's size.
        teachers: All teachers.
        stores: The stores of each, in the same order.
        pixels: The store of the pixels, if they are kept.
        context: The stage's context.

    Raises:
        OSError: The disk is full, or fails.
        DataError: An image is gone or has changed.
    """
    asked = teachers_view(grid, teachers)
    recorders: list[Recorder] = [TeacherRecorder(teacher, each) for teacher, each in zip(teachers, stores, strict=True)]
    keepers: list[Recorder] = [PixelRecorder(pixels)] if pixels else []
    if asked.about() == grid.about():
        record(grid, [*recorders, *keepers], context, title="Asking the teacher")
    else:
        record(asked, recorders, context, title="Asking the teacher")
        record(grid, keepers, context, title="Storing the views")


def teachers_view(grid: ViewGrid, teachers: Sequence[Teacher]) -> ViewGrid:
    """The same views of the same images in the teachers' size, which need not be the student's."""
    return replace(grid, views=replace(grid.views, contract=teachers[0].run.contract))


def _kept(context: StageContext, classes: int) -> int | None:
    """How many classes of an answer are stored; None for all."""
    asked = context.recipe.distill.top_k
    wanted = (classes if classes <= _WHOLE_UP_TO else _TOP_K) if asked == "auto" else asked
    return None if wanted >= classes else wanted


def _check_same(store: ArrayStore) -> None:
    """Check that a store that exists answers the same grid.

    Raises:
        RunFolderError: It does not; the message says what differs.
    """
    there = store.stated()
    if there is None:
        return
    names = {"teacher": "of another teacher", "images": "to other images", "views": "to other views of the images"}
    names |= {"classes": "in other classes", "precision": "in another precision", "top_k": "of another length"}
    for key, value in store.about.items():
        found = there.get("about", {}).get(key)
        if found != value:
            raise RunFolderError(
                f"{store.folder}: holds answers {names[key]} ({key} {str(found)[:_SHOWN]}, here {str(value)[:_SHOWN]})."
                " Give another folder with --set distill.cache=..., or leave it out"
            )
