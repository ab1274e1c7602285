"""The recipe's fields: one frozen model per stage; the files beside this one read and write them.

The string under a field is its documentation: `edgetl init` and the error messages are made from it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

__all__ = [
    "FORMATS",
    "PLACE",
    "RUNGS",
    "AugmentConfig",
    "BenchConfig",
    "ControlConfig",
    "DataConfig",
    "DistillConfig",
    "ExportConfig",
    "Format",
    "Loss",
    "ModelConfig",
    "Precision",
    "PruneConfig",
    "QuantizeConfig",
    "Ranges",
    "Recipe",
    "Rung",
    "Scheme",
    "Section",
    "Strategy",
    "StudentConfig",
    "TeacherConfig",
    "UndeclaredRead",
    "VerifyConfig",
]

Loss = Literal["kd", "dkd", "dist", "crd", "feature", "hard"]
Format = Literal["onnx", "tflite", "openvino"]
Ranges = Literal["minmax", "percentile", "mse", "entropy"]
Scheme = Literal["w8a8", "fp16", "w8", "dynamic"]
Precision = Literal["fp32", "w8a8", "fp16", "w8", "dynamic"]
Strategy = Literal["auto", "features", "partial", "gradual", "full", "lpft"]
Rung = Literal["rounding", "ranges", "equalization", "reconstruction", "mixed", "qat"]
RUNGS: tuple[Rung, ...] = ("rounding", "ranges", "equalization", "reconstruction", "mixed", "qat")
FORMATS: tuple[Format, ...] = ("onnx", "tflite", "openvino")

PLACE: JsonDict = {"place": True}
"""Marks a field that says where something is kept or how it is done, and changes no result."""


def _listed(value: Any) -> Any:
    """Names with commas as a tuple, each once."""
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    return tuple(dict.fromkeys(names)) if isinstance(names, list | tuple) else names


def _as_text(value: Any) -> Any:
    """A whole number as text, as it comes from --set or YAML."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class UndeclaredRead(RuntimeError):
    """A stage reads a part of the recipe that its record does not declare: a bug of ours."""


class Section(BaseModel):
    """A part of the recipe: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in type(self).model_fields:
                raise UndeclaredRead(
                    f"{type(self).__name__}.{name} is read, but the stage's record does not declare it"
                )
            return super().__getattr__(name)


class DataConfig(Section):
    """Which images, and how they become the model's input."""

    path: str = "digits"
    """A folder of class folders, with or without train/val/test below it; or 'digits', the embedded data set."""

    image_size: Annotated[int, Field(ge=8, le=1024)] | Literal["auto"] = "auto"
    """Input height and width in pixels; 'auto' follows the images and the weights (see docs/small-images.md)."""

    resize: Literal["crop", "squash"] = "crop"
    """'crop' scales the shorter side and cuts the centre; 'squash' ignores the aspect ratio."""

    filter: Literal["bilinear", "bicubic"] = "bilinear"
    """Resampling filter of every resize, on the host and on the device."""

    val_fraction: float = Field(0.15, gt=0, lt=0.5)
    """Part of an unsplit folder, or of train/ unless val/ and test/ are given, for validation, as a fraction of 1."""

    test_fraction: float = Field(0.15, gt=0, lt=0.5)
    """Part of an unsplit folder, or of train/ without val/ and test/, for the test split, as a fraction of 1."""

    max_unreadable: int = Field(0, ge=0)
    """Unreadable files that are named and left out; one more stops the run."""

    workers: Annotated[int, Field(ge=0, le=64)] | Literal["auto"] = Field("auto", json_schema_extra=PLACE)
    """Processes that decode images while the model trains; 'auto' uses none for tiny images."""


class AugmentConfig(Section):
    """How a training view differs from its image. Each is drawn anew for every view."""

    crop_area: float = Field(0.5, gt=0, le=1)
    """Smallest part of the image's area that a random crop keeps, as a fraction of 1."""

    flip: bool = True
    """Mirror left and right half of the time; switch off where left and right matter."""

    rotate_degrees: float = Field(0.0, ge=0, le=180)
    """Largest rotation either way, in degrees."""

    shift_fraction: float = Field(0.0, ge=0, le=0.5)
    """Largest shift either way beyond the crop, as a fraction of the side."""

    colour: float = Field(0.2, ge=0, le=1)
    """Largest relative change of brightness, contrast and saturation."""


class ModelConfig(Section):
    """A network and how it is trained."""

    model: str
    """An alias such as resnet50, any timm name, or torchvision:NAME."""

    weights: str = "default"
    """'default' loads pretrained weights, 'none' starts from random ones, FILE.safetensors loads a file."""

    small_images: Literal["auto", "keep"] = "auto"
    """'auto' takes strides out of the stem until the last feature map is at least 3 x 3; 'keep' never does."""

    strategy: Strategy = "auto"
    """How much is trained: features, partial, gradual, full, lpft, or auto, which tries (see docs/transfer.md)."""

    train_from: Annotated[str, BeforeValidator(_as_text)] = "auto"
    """First stage that partial and auto train: a name (--list-stages) or how many of the last; 'auto': two thirds."""

    tuning_epochs: int = Field(8, ge=1, le=10_000)
    """Passes over the training images where the training starts from a fitted head, as in all strategies but full."""

    epochs: int = Field(20, ge=1, le=10_000)
    """Passes over the training images where the whole network is trained with a new head (strategy full)."""

    batch_size: int = Field(32, ge=2, le=4096)
    """Images per optimizer step."""

    learning_rate: Annotated[float, Field(gt=0, le=10)] | Literal["auto"] = "auto"
    """Peak of the one-cycle schedule (AdamW); 'auto': 0.0005, from scratch 0.006 (0.001 without batch norm)."""

    weight_decay: float = Field(0.02, ge=0, le=1)
    """Decoupled weight decay of matrices and filters; biases and norms have none."""

    warmup_fraction: float = Field(0.25, gt=0, lt=1)
    """Part of the steps in which the learning rate rises, as a fraction of 1."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Probability taken from the true class and spread over all, when trained on labels."""

    resize_from: float = Field(1.0, ge=0.25, le=1)
    """Input side at the first step, as a fraction of the full one, to which it grows (progressive resizing)."""

    average_decay: float = Field(0.0, ge=0, lt=1)
    """Decay of a moving average of the weights, which is then what is kept; 0 for none."""


class TeacherConfig(ModelConfig):
    """The large network, and how it is fine-tuned."""

    model: str = "resnet50"
    """An alias such as resnet50, any timm name, torchvision:NAME, or run folders of trained models, with commas."""

    epochs: int = Field(10, ge=1, le=10_000)
    """Passes over the training images where the whole network is trained with a new head (strategy full)."""


class StudentConfig(ModelConfig):
    """The small network, and how it is trained."""

    model: str = "mobilenetv2"
    """An alias such as mobilenetv2, any timm name, or torchvision:NAME."""

    image_size: Annotated[int, Field(ge=8, le=1024)] | Literal["auto"] = "auto"
    """Its input height and width in pixels; 'auto' is its teacher's, but no more than the weights were made for."""

    epochs: int = Field(30, ge=1, le=10_000)
    """Passes over the training images where the whole network is trained with a new head (strategy full)."""


class DistillConfig(Section):
    """How the student learns from the teacher, on the pixels that the teacher saw (arXiv 2106.05237)."""

    loss: dict[Loss, Annotated[float, Field(gt=0, le=1000)]] = Field({"kd": 0.9, "hard": 0.1}, min_length=1)
    """Weight of each loss: kd, dkd, dist (of answers), feature, crd (of features), hard (of true labels)."""

    temperature: float = Field(4.0, gt=0, le=100)
    """Divides the logits of both before the softmax, in kd, dkd and dist."""

    mixup: float = Field(0.0, ge=0, le=0.5)
    """Largest share of another image that is mixed into a view, as a fraction of 1; teacher and student see the mix."""

    teacher_views: Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"] = "auto"
    """Views of each image that the teacher answers, and epochs cycle through; 'auto' asks for more of few images."""

    vary_repeats: bool = True
    """Whether the student sees a view that comes again shifted by up to a sixteenth, and with `flip` mirrored."""

    teacher_precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the teacher's answers; 'auto' is bf16 where the processor has instructions for it."""

    top_k: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Answers that are kept of each view, the rest being spread evenly; 'auto' keeps all up to 64 classes, else 16."""

    cache: str = Field("auto", json_schema_extra=PLACE)
    """Folder of the teacher's answers; 'auto' is beside the teacher's weights, for all its students."""

    keep_pixels: Literal["auto", "always", "never"] = Field("auto", json_schema_extra=PLACE)
    """Whether views are stored while the student trains; 'auto' does where it saves time and fits on the disk."""

    unlabelled: str = ""
    """A folder of further images, labels not needed, on which the student learns from the teacher alone."""

    class_map: dict[str, str] = {}
    """The teacher's name of a class where it differs from the data's: {oak: Quercus}."""

    assistants: tuple[str, ...] = ()
    """Models between teacher and student, large to small: each learns from the one before (arXiv 1902.03393)."""


class PruneConfig(Section):
    """Whether the student gives up channels to be faster, and how fast it shall be; see docs/distillation.md."""

    latency: float = Field(1.0, gt=0, le=1)
    """Median latency to reach, measured, as a fraction of the unpruned student's; 1 does not prune."""

    multiple: Literal[8, 16] = 8
    """Channels are kept in multiples of this, which is how processors take them in."""

    at: float = Field(0.5, gt=0, lt=1)
    """Part of the student's epochs that come before it, as a fraction of 1; the others train what is left."""


class ControlConfig(Section):
    """Whether the teacher helped: the student trained without it, under the same budget."""

    seeds: int = Field(0, ge=0, le=100)
    """Trainings with and without the teacher that are compared; 0 for none, 3 with --control."""


class ExportConfig(Section):
    """Which files to write."""

    formats: tuple[Format, ...] | Literal["auto"] = "auto"
    """Any of onnx, tflite, openvino; 'auto' writes all that the target runs."""

    tflite_batch: int = Field(1, ge=1, le=1024)
    """Images per call of the TFLite file, whose shapes are fixed; the other formats take any number."""


class QuantizeConfig(Section):
    """How to turn a float model into an integer one."""

    scheme: Annotated[tuple[Scheme, ...], BeforeValidator(_listed), Field(min_length=1)] = ("w8a8",)
    """Any of w8a8, fp16, w8 (weights alone), dynamic; a runtime that gains nothing from one is not given it."""

    calibration_images: int = Field(256, ge=32, le=4096)
    """Images used to estimate activation ranges; balanced over classes, from the training split only."""

    calibration: str = ""
    """A folder of other images to calibrate on, labels not needed, such as the device's camera gives them."""

    ranges: Ranges = "mse"
    """How activation ranges are chosen: minmax, percentile, mse or entropy."""

    max_drop: float = Field(0.01, ge=0, le=1)
    """Largest allowed top-1 loss of an integer artifact against the float model, as a fraction of 1."""

    max_flips: float = Field(1.0, ge=0, le=1)
    """Largest allowed part of the images whose best class changes, as a fraction of 1; 1 allows any."""

    rungs: tuple[Rung, ...] = Field(RUNGS, min_length=1)
    """What is tried, in order, until a format is inside the bounds; leave out what takes too long."""

    validation_images: int = Field(1000, ge=32, le=100_000)
    """Images of the validation split that a rung is judged by."""

    reconstruction_steps: int = Field(160, ge=1, le=100_000)
    """Optimizer steps of the rung 'reconstruction', of up to 32 images each."""

    qat_epochs: int = Field(3, ge=1, le=10_000)
    """Passes of the rung 'qat' over the training images."""

    qat_learning_rate: float = Field(1e-4, gt=0, le=1)
    """Peak rate of the rung 'qat' (AdamW)."""


class VerifyConfig(Section):
    """What counts as equal to the trained model."""

    max_probability_error: float = Field(1e-4, gt=0, le=1)
    """Largest allowed difference of any probability of a float artifact from PyTorch."""

    max_half_probability_error: float = Field(0.02, gt=0, le=1)
    """The same of an artifact with weights in half precision; where twice this decides, classes may differ."""

    tie_gap: float = Field(1e-3, ge=0, le=0.1)
    """Images whose two best probabilities are closer than this do not count in the agreement of float artifacts."""


class BenchConfig(Section):
    """How to time an artifact; each gets a fresh process."""

    threads: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = "auto"
    """Threads of the runtime; 'auto' is what the target states."""

    warmup_runs: int = Field(10, ge=1, le=10_000)
    """Inferences before the first timed one."""

    min_samples: int = Field(64, ge=64, le=1_000_000)
    """Fewest timed inferences; 64 is the least that supports a 90th percentile."""

    min_seconds: float = Field(1.0, ge=1.0, le=3600)
    """Shortest timed period."""


class Recipe(Section):
    """Everything that decides what a run computes."""

    seed: int = Field(0, ge=0, lt=2**31)
    """Seeds the split, the views, the order of images and the initial weights."""

    target: str = "linux-x86"
    """The device, a name that 'edgetl targets' lists or a YAML file of yours."""

    checkpoint_seconds: float = Field(20.0, ge=0, json_schema_extra=PLACE)
    """Least time between two checkpoints of a training; they take 1/30 of the time at most. 0: after every step."""

    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    teacher: TeacherConfig = TeacherConfig()
    student: StudentConfig = StudentConfig()
    distill: DistillConfig = DistillConfig()
    prune: PruneConfig = PruneConfig()
    control: ControlConfig = ControlConfig()
    export: ExportConfig = ExportConfig()
    quantize: QuantizeConfig = QuantizeConfig()
    verify: VerifyConfig = VerifyConfig()
    bench: BenchConfig = BenchConfig()

    @classmethod
    def load(cls, file: Path | str | None = None, settings: Mapping[str, Any] | None = None) -> "Recipe":
        """Read a recipe.

        Args:
            file: A YAML file, as `edgetl init` writes one. Without a file, all fields have their defaults; without
                other data either, it is the recipe of the embedded handwritten digits.
            settings: Values by dotted name that are laid over it: `{"data.path": "photos", "student.epochs": 60}`.

        Raises:
            ConfigError: The file cannot be read, or says something impossible; the field and the cure are named.
        """
        from edgetl.recipe.presets import digits_recipe
        from edgetl.recipe.reading import load_recipe

        values = dict(settings or {})
        embedded = file is None and values.get("data.path", "digits") == "digits"
        return cls.build(digits_recipe() if embedded else load_recipe(Path(file) if file else None), values)

    @classmethod
    def build(cls, data: dict[str, Any], settings: Mapping[str, Any]) -> "Recipe":
        """Check plain data, such as a manifest keeps it, with settings laid over it.

        Raises:
            ConfigError: They say something impossible.
        """
        from edgetl.recipe.checking import build
        from edgetl.recipe.reading import with_values

        return build(cls, with_values(data, dict(settings)), "")
