"""The recipe: one frozen model per stage; the files beside this one hold the fields of images and networks.

The string under a field is its documentation: `edgetl init` and the error messages are made from it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from edgetl.recipe.images import AugmentConfig, DataConfig
from edgetl.recipe.networks import ControlConfig, DistillConfig, PruneConfig, StudentConfig, TeacherConfig
from edgetl.recipe.section import PLACE, Section, as_fraction, listed, with_usual_names

__all__ = [
    "FORMATS",
    "RUNGS",
    "BenchConfig",
    "ExportConfig",
    "Format",
    "Precision",
    "QuantizeConfig",
    "Ranges",
    "Recipe",
    "Rung",
    "Scheme",
    "VerifyConfig",
]

Format = Literal["onnx", "tflite", "openvino"]
Ranges = Literal["minmax", "percentile", "mse", "entropy"]
Scheme = Literal["w8a8", "fp16", "w8", "dynamic"]
Precision = Literal["fp32", "w8a8", "fp16", "w8", "dynamic"]
Rung = Literal["rounding", "ranges", "equalization", "reconstruction", "mixed", "qat"]
RUNGS: tuple[Rung, ...] = ("rounding", "ranges", "equalization", "reconstruction", "mixed", "qat")
FORMATS: tuple[Format, ...] = ("onnx", "tflite", "openvino")


_int8_named = with_usual_names({"int8": "w8a8"})


def _schemes(value: Any) -> Any:
    return _int8_named(listed(value))


class ExportConfig(Section):
    """Which files to write."""

    formats: tuple[Format, ...] | Literal["auto"] = "auto"
    """Any of onnx, tflite, openvino; 'auto' writes all that the target runs."""

    tflite_batch: int = Field(1, ge=1, le=1024)
    """Images per call of the TFLite file, whose shapes are fixed; the other formats take any number."""


class QuantizeConfig(Section):
    """How to turn a float model into an integer one."""

    scheme: Annotated[tuple[Scheme, ...], BeforeValidator(_schemes), Field(min_length=1)] = ("w8a8",)
    """Any of w8a8 (int8), fp16, w8 (weights alone), dynamic; a runtime that gains nothing from one is not given it."""

    calibration_images: int = Field(256, ge=32, le=4096)
    """Images used to estimate activation ranges; balanced over classes, from the training split only."""

    calibration: str = ""
    """A folder of other images to calibrate on, labels not needed, such as the device's camera gives them."""

    ranges: Ranges = "mse"
    """How activation ranges are chosen: minmax, percentile, mse or entropy."""

    max_drop: Annotated[float, BeforeValidator(as_fraction)] = Field(0.01, ge=0, le=1)
    """Largest allowed top-1 loss of an integer artifact against the float model, as a fraction of 1, or 1%."""

    max_flips: Annotated[float, BeforeValidator(as_fraction)] = Field(1.0, ge=0, le=1)
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

    train_minutes: float = Field(0.0, ge=0, le=100_000)
    """Minutes for all training; strategy, views and epochs are planned to fit (see docs/transfer.md). 0: no limit."""

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
        from edgetl.recipe.presets import check_not_of_digits, digits_recipe
        from edgetl.recipe.reading import load_recipe, with_values

        values = dict(settings or {})
        embedded = file is None and values.get("data.path", "digits") == "digits"
        data = digits_recipe() if embedded else load_recipe(Path(file) if file else None)
        check_not_of_digits(with_values(data, values), str(file))
        return cls.build(data, values)

    @classmethod
    def build(cls, data: dict[str, Any], settings: Mapping[str, Any]) -> "Recipe":
        """Check plain data, such as a manifest keeps it, with settings laid over it.

        Raises:
            ConfigError: They say something impossible.
        """
        from edgetl.recipe.checking import build
        from edgetl.recipe.reading import with_values

        return build(cls, with_values(data, dict(settings)), "")
