"""The teachers' answers by view address: given once, on disk, read by every student and every epoch of that view."""

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
_SHOWN = 12


@dataclass(frozen=True)
class Question:
    """What the teachers are asked: which views of which images."""

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
        """All of it in pieces of one teacher's batch."""
        count = len(self.samples)
        starts = range(0, count, _PIECE)
        return [(view, start, min(start + _PIECE, count)) for view in range(self.view_count) for start in starts]


@dataclass(frozen=True)
class AnswerStores:
    """Where the answers of one teacher are."""

    precision: str
    """'fp32' or 'bf16'."""

    logits: ArrayStore
    features: ArrayStore | None

    @property
    def all(self) -> list[ArrayStore]:
        """Both."""
        return [self.logits] + ([self.features] if self.features else [])

    @property
    def is_sparse(self) -> bool:
        """Whether only the best classes are kept."""
        return self.logits.about["top_k"] is not None


@dataclass(frozen=True)
class Answers:
    """What the teachers say, by batch."""

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
    """Say where a teacher's answers are or will be.

    Args:
        teacher: Who is asked.
        question: What.
        context: The stage's context; its recipe may name the folder.
        precision: Arithmetic of the answers.
        feature_width: Features of an image, if they are asked for; else 0.

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
    """Where the pixels of the views are stored while a student trains."""
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
    """Ask the teachers whatever they have not answered yet, and store the pixels that are not stored yet.

    Args:
        question: What they are asked.
        teachers: Who is asked.
        stores: Where the answers of each go, in the same order.
        pixels: Where the views go, if they are stored.
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
    # Who looks later would find what others have written since, divide the rest otherwise, and leave pieces to nobody.
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
    """Give every piece, its images, and what is missing of its answers."""
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
    """A teacher on a device, with what it is asked for."""

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
    """How many answers are kept of each view; None for all."""
    asked = context.recipe.distill.top_k
    wanted = (classes if classes <= 64 else 16) if asked == "auto" else asked
    return None if wanted >= classes else wanted


def _check_same(store: ArrayStore) -> None:
    """Make sure that a folder does not hold the answers to something else.

    Raises:
        RunFolderError: It does; says what differs.
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
