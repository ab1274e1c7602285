"""The teachers' answers on disk, by the address of the view: computed once, read by every student and epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.data.dataset import Batch
from edgetl.data.index import ImageIndex, Sample
from edgetl.data.loader import planned_batches
from edgetl.data.views import Views
from edgetl.distill.sparse import decoded, encoded
from edgetl.distill.store import ArrayStore, Piece
from edgetl.distill.teacher import Teacher
from edgetl.errors import RunFolderError
from edgetl.runs.files import hash_of
from edgetl.runs.stage import StageContext
from edgetl.train.memory import kept_memory
from edgetl.zoo.head import FeatureTap

__all__ = ["Answers", "Question", "answer_stores", "pixel_store", "write_answers"]

_PIECE = 64
"""Images of one piece of a store, which are one batch of the teacher."""

_SHOWN = 12
"""Characters of a hash in a message."""

_WHOLE_UP_TO, _TOP_K = 64, 16
"""With up to 64 classes all answers are stored, with more the best 16 (see edgetl.distill.sparse)."""


@dataclass(frozen=True)
class Question:
    """The views of which images the teachers answer."""

    index: ImageIndex
    samples: Sequence[Sample]
    views: Views
    view_count: int

    def about(self) -> dict[str, str]:
        """Hashes of what decides the pixels of a view.

        Normalisation does not count, since it is part of each network; nor does the number of views, since each view is
        a function of its own number.
        """
        contract = self.views.contract
        pixels = [contract.height, contract.width, contract.resize, contract.filter]
        augment = self.views.augment.model_dump() if self.views.augment else None
        return {
            "images": hash_of([sample.sha256 for sample in self.samples]),
            "views": hash_of([pixels, augment, self.views.seed, self.views.mixup]),
        }

    def pieces(self) -> list[Piece]:
        """All views of all images, in pieces of one batch."""
        count = len(self.samples)
        starts = range(0, count, _PIECE)
        return [(view, start, min(start + _PIECE, count)) for view in range(self.view_count) for start in starts]


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

    def logits(self, batch: Batch) -> torch.Tensor:
        """The mean of the teachers' logits, `float32 (N, K)`."""
        every = [torch.from_numpy(self._one(each, batch)) for each in self.stores]
        return every[0] if len(every) == 1 else torch.stack(every).mean(0)

    def features(self, batch: Batch) -> torch.Tensor:
        """The only teacher's features, `float32 (N, D)`."""
        (only,) = self.stores
        if only.features is None:
            raise RuntimeError("the teacher was not asked for features")
        return torch.from_numpy(_rows(only.features, batch)).float()

    def _one(self, stores: AnswerStores, batch: Batch) -> NDArray[np.float32]:
        rows_NW = _rows(stores.logits, batch)
        return decoded(rows_NW, self.classes) if stores.is_sparse else rows_NW.astype(np.float32)


def answer_stores(
    teacher: Teacher, question: Question, context: StageContext, *, precision: str, feature_width: int
) -> AnswerStores:
    """Find the stores of a teacher's answers; they may not exist yet.

    Args:
        teacher: The teacher.
        question: The views and images.
        context: The stage's context; its recipe may name the folder.
        precision: Arithmetic of the answers.
        feature_width: Features per image, or 0 if no loss needs them.

    Raises:
        RunFolderError: The named folder holds answers of another teacher, or to another question.
    """
    about = {
        "teacher": teacher.weights_sha256,
        "precision": precision,
        **question.about(),
        "classes": list(teacher.columns),
    }
    top_k = _kept(context, len(teacher.columns))
    folder = teacher.run.path / ".answers" / hash_of([about, top_k])[:16]
    if context.recipe.distill.cache != "auto":
        named = Path(context.recipe.distill.cache).expanduser()
        folder = named / teacher.weights_sha256[:16] if len(context.teachers) > 1 else named
    shape = (question.view_count, len(question.samples))
    kept, dtype = (
        (len(teacher.columns), "<f2") if top_k is None else (2 * top_k + 1, "<u2")
    )  # see edgetl.distill.sparse
    logits = ArrayStore(folder, "logits", (*shape, kept), dtype, {**about, "top_k": top_k})
    features = ArrayStore(folder, "features", (*shape, feature_width), "<f2", about) if feature_width else None
    stores = AnswerStores(precision, logits, features)
    for store in stores.all:
        _check_same(store)
    return stores


def pixel_store(question: Question, folder: Path) -> ArrayStore:
    """The store of the views' pixels, kept while a student trains."""
    contract = question.views.contract
    shape = (question.view_count, len(question.samples), contract.height, contract.width, 3)
    return ArrayStore(folder, "pixels", shape, "|u1", question.about())


def write_answers(
    question: Question,
    teachers: Sequence[Teacher],
    stores: Sequence[AnswerStores],
    pixels: ArrayStore | None,
    context: StageContext,
) -> None:
    """Compute and store the missing answers, and the missing pixels.

    Args:
        question: The views and images.
        teachers: All teachers.
        stores: The stores of each, in the same order.
        pixels: The store of the pixels, if they are kept.
        context: The stage's context.

    Raises:
        OSError: The disk is full, or fails.
        DataError: An image is gone or has changed.
    """
    processes = context.processes
    every = [store for each in stores for store in each.all] + ([pixels] if pixels else [])
    finished = []
    if processes.first:
        for store in every:
            store.prepare()
        finished = [store.finished() for store in every]
    # All processes divide the same list: one that read the logs later would find new pieces there and divide another.
    finished = processes.agree(finished)
    open_pieces = {store: set(question.pieces()) - there for store, there in zip(every, finished, strict=True)}
    missing = sorted(set().union(*open_pieces.values()))
    total = question.view_count * len(question.samples)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    asked = [_Asked(teacher, each, device) for teacher, each in zip(teachers, stores, strict=True)]
    with context.reporter.track("Asking the teacher", total) as advance, kept_memory():
        advance(total - sum(stop - start for _, start, stop in missing), "")
        mine = missing[processes.rank :: processes.count]
        for piece, batch, found in _ask(question, asked, open_pieces, mine, context):
            if pixels and piece in open_pieces[pixels]:
                pixels.write(piece, batch.images_NHWC.numpy(), processes.rank)
            for store, numbers in found.items():
                store.write(piece, numbers, processes.rank)
            advance(len(batch.labels_N) * processes.count, f"view {piece[0] + 1} of {question.view_count}")
    for teacher in teachers:
        teacher.classifier.to("cpu")
    processes.wait()


def _ask(
    question: Question,
    asked: "Sequence[_Asked]",
    open_pieces: dict[ArrayStore, set[Piece]],
    mine: list[Piece],
    context: StageContext,
) -> Iterator[tuple[Piece, Batch, dict[ArrayStore, NDArray[Any]]]]:
    """Yield every piece, its images, and its missing answers."""
    workers = context.recipe.data.workers
    batches = planned_batches(question.index, question.samples, question.views, mine, workers=workers)
    for piece, batch in zip(mine, batches, strict=True):
        found: dict[ArrayStore, NDArray[Any]] = {}
        for each in asked:
            wanted = [store for store in each.stores.all if piece in open_pieces[store]]
            if wanted:
                with context.reporter.library("teacher inference"):
                    answers = each.answer(batch)
                found |= {store: answers[store.name] for store in wanted}
        yield piece, batch, found


class _Asked:
    """A teacher on its device, and its stores."""

    def __init__(self, teacher: Teacher, stores: AnswerStores, device: torch.device) -> None:
        self.stores = stores
        self._device = device
        self._teacher = teacher
        teacher.classifier.to(device).eval()
        known = len(teacher.run.contract.labels)
        self._tap = FeatureTap(teacher.classifier.net, known) if stores.features else None

    def answer(self, batch: Batch) -> dict[str, NDArray[Any]]:
        """The answers to a batch, by the store's name."""
        images_NHWC = batch.images_NHWC.to(self._device)
        half = self.stores.precision == "bf16"
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=half):
            logits_NK = self._teacher.logits(images_NHWC).float().cpu()
        width = self.stores.logits.shape[-1]
        sparse = self.stores.is_sparse
        found = {"logits": encoded(logits_NK, width) if sparse else logits_NK.to(torch.float16).numpy()}
        if self._tap:
            found["features"] = self._tap.take().to("cpu", torch.float16).numpy()
        return found


def _kept(context: StageContext, classes: int) -> int | None:
    """How many classes of an answer are stored; None for all."""
    asked = context.recipe.distill.top_k
    wanted = (classes if classes <= _WHOLE_UP_TO else _TOP_K) if asked == "auto" else asked
    return None if wanted >= classes else wanted


def _check_same(store: ArrayStore) -> None:
    """Check that a store that exists answers the same question.

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


def _rows(store: ArrayStore, batch: Batch) -> NDArray[Any]:
    found: NDArray[Any] = store.read()[batch.view, batch.positions_N.cpu().numpy()]
    return found
