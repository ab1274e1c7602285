"""What every student of a run is taught with: teachers, images and the views that both see."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from edgetl.data.grid import ViewGrid
from edgetl.data.index import ImageIndex, Sample, read_index
from edgetl.data.loader import Order
from edgetl.data.store import ArrayStore
from edgetl.data.views import Views
from edgetl.devices.facts import machine
from edgetl.distill.answers import Answers, AnswerStores, answer_stores, teachers_view, write_answers
from edgetl.distill.objective import FromTeacher
from edgetl.distill.settled import losses_of
from edgetl.distill.space import check_space, wants_pixels
from edgetl.distill.teacher import Teacher, load_teacher
from edgetl.distill.visits import view_count
from edgetl.errors import ConfigError, RunFolderError
from edgetl.runs.stage import StageContext
from edgetl.train.balance import balance_of
from edgetl.train.loop import Record, Training, fit
from edgetl.train.recording import pixel_store
from edgetl.zoo.classifier import Classifier
from edgetl.zoo.head import FeatureTap

__all__ = ["Lesson", "feature_width", "open_lesson", "precision_of", "teachers_of"]

_HALF = {"avx512_bf16", "amx_bf16", "bf16"}


@dataclass(frozen=True)
class Lesson:
    """Teachers, images, views and the stores of the answers."""

    context: StageContext
    index: ImageIndex
    samples: tuple[Sample, ...]
    """Training images, then those without labels."""

    teachers: tuple[Teacher, ...]
    grid: ViewGrid
    """The views in the student's size."""

    stores: tuple[AnswerStores, ...]
    pixels: ArrayStore | None

    @property
    def epochs(self) -> int:
        """Epochs of a student."""
        return self.context.recipe.student.epochs

    def order(self, seed: int) -> Order:
        """The order of the images; the epochs cycle through the views that the teachers answered."""
        recipe = self.context.recipe
        vary = recipe.distill.vary_repeats
        return Order(len(self.samples), recipe.student.batch, seed, self.grid.view_count, vary)

    def prepare(self) -> None:
        """Write the missing answers and pixels.

        Raises:
            EnvironmentFault: They do not fit on the disk.
        """
        if self.context.processes.first:
            check_space(self.stores, self.pixels, self.grid, self.epochs, self.context.reporter)
        write_answers(self.grid, self.teachers, self.stores, self.pixels, self.context)

    def teach(self, student: nn.Module, seed: int, checkpoints: str, title: str) -> list[Record]:
        """Train a student in place.

        Args:
            student: Built with the same seed.
            seed: Seeds order and dropout; the views keep the lesson's seed.
            checkpoints: Name of the checkpoint folder.
            title: Shown with the progress.
        """
        config, recipe = self.context.recipe.student, self.context.recipe
        classes = len(self.context.contract.labels)
        losses = losses_of(recipe.distill)
        width = self.stores[0].features.shape[-1] if self.stores[0].features else 0
        torch.manual_seed(seed)  # for what the objective learns itself
        objective = FromTeacher(
            losses,
            Answers(self.stores, classes),
            tap=FeatureTap(student.net, classes) if losses.of_features and isinstance(student, Classifier) else None,
            teacher_width=width,
            smoothing=config.label_smoothing,
            weights_K=balance_of(config, self.index).true_weights,
        )
        training = Training(
            title=title,
            checkpoints=checkpoints,
            section="student",
            config=config,
            index=self.index,
            samples=self.samples,
            views=self.grid.views,
            order=self.order(seed),
            objective=objective,
            epochs=config.epochs,
            stored=self.pixels.read() if self.pixels else None,
        )
        return fit(student, training, self.context)


def open_lesson(context: StageContext, scratch: str) -> Lesson:
    """Open everything that students of a run are taught with; nothing is written.

    Args:
        context: The stage's context.
        scratch: Name of the checkpoint folder for the pixels.

    Raises:
        RunFolderError: There is no teacher, or a folder of answers belongs to something else.
        DataError: A teacher does not know one of the classes.
        ConfigError: Losses of features with several teachers.
    """
    recipe, contract = context.recipe, context.contract
    index, teachers = read_index(context.folder), teachers_of(context)
    samples = (*index.split("train"), *index.split("unlabelled"))
    views = Views(
        contract, recipe.augment, recipe.seed, 0.0 if recipe.distill.mixup == "auto" else recipe.distill.mixup
    )
    grid = ViewGrid(index, samples, views, view_count(recipe, len(samples)))
    width = feature_width(teachers, context)
    precision = precision_of(context)
    asked = teachers_view(grid, teachers)
    stores = tuple(answer_stores(t, asked, context, precision=precision, feature_width=width) for t in teachers)
    folder = context.folder.checkpoint_dir(scratch)
    pixels = pixel_store(grid, folder) if wants_pixels(grid, folder, context) else None
    return Lesson(context, index, samples, teachers, grid, stores, pixels)


def teachers_of(context: StageContext) -> tuple[Teacher, ...]:
    """Load the teachers of a run.

    Raises:
        RunFolderError: There is none.
        DataError: One does not know one of the classes.
    """
    if not context.teachers:
        raise RunFolderError(f"{context.folder.path}: distillation needs a teacher's run folder (--teacher)")
    labels, class_map = context.contract.labels, context.recipe.distill.class_map
    return tuple(load_teacher(run, labels, class_map) for run in context.teachers)


def feature_width(teachers: Sequence[Teacher], context: StageContext) -> int:
    """Features per image that the losses compare; 0 for none."""
    asked = losses_of(context.recipe.distill).of_features
    if not asked:
        return 0
    if len(teachers) > 1:
        hint = "Give one teacher, or losses of the answers: kd, dkd, dist."
        raise ConfigError(
            "distill.loss", f"{asked[0]} compares features, and {len(teachers)} teachers have none in common", hint=hint
        )
    (teacher,) = teachers
    return FeatureTap(teacher.classifier.net, len(teacher.run.contract.labels)).width


def precision_of(context: StageContext) -> str:
    """Arithmetic of the teachers' answers."""
    asked = context.recipe.distill.teacher_precision
    if asked != "auto":
        return asked
    on_gpu = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return "bf16" if on_gpu or _HALF & set(machine()["instruction_sets"]) else "fp32"
