"""The teacher's answers by view address: given once, read by every epoch that shows the same view."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.artifact import hash_of, sha256_of, write_atomic
from edgetl.data.index import ImageIndex
from edgetl.data.loader import Batch, ordered_batches
from edgetl.stage import StageContext
from edgetl.zoo.classifier import Classifier

__all__ = ["teacher_logits"]

_BATCH = 64


def teacher_logits(
    classifier: Classifier, index: ImageIndex, weights_sha256: str, context: StageContext
) -> NDArray[np.float16]:
    """Answer `recipe.distill.teacher_views` views of every training image, or read the answers of a killed run.

    Args:
        classifier: The teacher, in eval mode.
        index: The data.
        weights_sha256: Hash of the teacher's weights; answers of another teacher are not read.
        context: The stage's context; the answers live beside its checkpoint.

    Returns:
        Logits `float16 (V, N, K)`, memory-mapped: view, position in the training split, class.
    """
    recipe = context.recipe
    views = min(recipe.distill.teacher_views, recipe.student.epochs)
    key = hash_of([weights_sha256, recipe.seed, recipe.augment, context.contract.to_dict(), views, index.to_dict()])
    folder = context.folder.checkpoint_dir("distill")
    file, note = folder / "teacher_logits_VNK.npy", folder / "teacher_logits.json"
    if not _is_complete(file, note, key):
        note.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        _answer(classifier, index, views, file, context)
        write_atomic(note, json.dumps([key, sha256_of(file)]))
    answers_VNK: NDArray[np.float16] = np.load(file, mmap_mode="r")
    return answers_VNK


def _is_complete(file: Path, note: Path, key: str) -> bool:
    if not (file.is_file() and note.is_file()):
        return False
    try:
        stated = json.loads(note.read_bytes())
    except ValueError:  # damaged: the teacher is asked again
        return False
    return bool(stated == [key, sha256_of(file)])


def _answer(classifier: Classifier, index: ImageIndex, views: int, file: Path, context: StageContext) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classifier.to(device).eval()
    images = len(index.split("train"))
    shape = (views, images, len(context.contract.labels))
    answers_VNK = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
    with context.reporter.track("Asking the teacher", views * images) as advance:
        for view in range(views):
            first = 0
            for batch in _batches(index, view, context):
                with torch.inference_mode(), context.reporter.library("teacher inference"):
                    logits_NK = classifier(batch.images_NHWC.to(device)).to("cpu", torch.float16).numpy()
                answers_VNK[view, first : first + len(logits_NK)] = logits_NK
                first += len(logits_NK)
                advance(len(logits_NK), f"view {view + 1} of {views}")
    answers_VNK.flush()
    classifier.to("cpu")


def _batches(index: ImageIndex, view: int, context: StageContext) -> Iterator[Batch]:
    recipe = context.recipe
    return ordered_batches(
        index,
        "train",
        context.contract,
        batch_size=_BATCH,
        workers=recipe.data.workers,
        view=view,
        augment=recipe.augment,
        seed=recipe.seed,
    )
