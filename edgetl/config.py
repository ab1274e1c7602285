"""The recipe: one frozen model per stage, read from YAML and written back.

The string under a field is its documentation: `edgetl init` and the error messages are made from it.
"""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgetl.errors import ConfigError

__all__ = [
    "FORMATS",
    "AugmentConfig",
    "BenchConfig",
    "DataConfig",
    "DistillConfig",
    "ExportConfig",
    "Format",
    "ModelConfig",
    "QuantizeConfig",
    "Recipe",
    "Section",
    "StudentConfig",
    "TeacherConfig",
    "VerifyConfig",
    "build",
    "digits_recipe",
    "load_recipe",
    "nearest",
    "recipe_template",
    "with_settings",
]

Format = Literal["onnx", "tflite", "openvino"]
FORMATS: tuple[Format, ...] = ("onnx", "tflite", "openvino")


class Section(BaseModel):
    """A part of the recipe: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


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
    """Part of an unsplit folder that goes to validation, as a fraction of 1."""

    test_fraction: float = Field(0.15, gt=0, lt=0.5)
    """Part of an unsplit folder that goes to the test split, as a fraction of 1."""

    max_unreadable: int = Field(0, ge=0)
    """Unreadable files that are named and left out; one more stops the run."""

    workers: Annotated[int, Field(ge=0, le=64)] | Literal["auto"] = "auto"
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
    """'auto' takes strides out of the stem until the last feature map is at least 4 x 4; 'keep' never does."""

    epochs: int = Field(20, ge=1, le=10_000)
    """Passes over the training images."""

    batch_size: int = Field(32, ge=2, le=4096)
    """Images per optimizer step."""

    learning_rate: Annotated[float, Field(gt=0, le=10)] | Literal["auto"] = "auto"
    """Peak of the one-cycle schedule (AdamW); 'auto' is 0.0005 on pretrained weights and 0.002 from scratch."""

    weight_decay: float = Field(0.02, ge=0, le=1)
    """Decoupled weight decay of matrices and filters; biases and norms have none."""

    warmup_fraction: float = Field(0.25, gt=0, lt=1)
    """Part of the steps in which the learning rate rises, as a fraction of 1."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Probability taken from the true class and spread over all, when trained on labels."""


class TeacherConfig(ModelConfig):
    """The large network, and how it is fine-tuned."""

    model: str = "resnet50"
    """An alias such as resnet50, any timm name, torchvision:NAME, or the run folder of a trained model."""

    epochs: int = Field(10, ge=1, le=10_000)
    """Passes over the training images."""


class StudentConfig(ModelConfig):
    """The small network, and how it is trained."""

    model: str = "mobilenetv2"
    """An alias such as mobilenetv2, any timm name, or torchvision:NAME."""

    epochs: int = Field(30, ge=1, le=10_000)
    """Passes over the training images."""


class DistillConfig(Section):
    """How the student learns from the teacher: Hinton et al., arXiv 1503.02531, on shared views (arXiv 2106.05237)."""

    temperature: float = Field(4.0, gt=0, le=100)
    """Divides the logits of both before the softmax."""

    hard_weight: float = Field(0.1, ge=0, le=1)
    """Weight of the true labels in the loss; the teacher has the rest."""

    teacher_views: int = Field(4, ge=1, le=1000)
    """Augmented views of each image that the teacher answers once; the epochs cycle through them."""


class ExportConfig(Section):
    """Which files to write."""

    formats: tuple[Format, ...] | Literal["auto"] = "auto"
    """Any of onnx, tflite, openvino; 'auto' writes all that the target runs."""

    tflite_batch: int = Field(1, ge=1, le=1024)
    """Images per call of the TFLite file, whose shapes are fixed; the other formats take any number."""


class QuantizeConfig(Section):
    """How to turn a float model into an integer one."""

    scheme: Literal["w8a8"] = "w8a8"
    """Bits of weights and activations."""

    calibration_images: int = Field(256, ge=32, le=4096)
    """Images used to estimate activation ranges; balanced over classes, from the training split only."""

    max_drop: float = Field(0.01, ge=0, le=1)
    """Largest allowed top-1 loss of an integer artifact against the float model, as a fraction of 1."""


class VerifyConfig(Section):
    """What counts as equal to the trained model."""

    max_probability_error: float = Field(1e-4, gt=0, le=1)
    """Largest allowed difference of any probability of a float artifact from PyTorch."""

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

    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    teacher: TeacherConfig = TeacherConfig()
    student: StudentConfig = StudentConfig()
    distill: DistillConfig = DistillConfig()
    export: ExportConfig = ExportConfig()
    quantize: QuantizeConfig = QuantizeConfig()
    verify: VerifyConfig = VerifyConfig()
    bench: BenchConfig = BenchConfig()


# Handwritten digits are 8 x 8 pixels, must not be mirrored, and have no pretrained teacher.
_DIGITS: dict[str, Any] = {
    "data": {"path": "digits", "image_size": 16, "resize": "squash"},
    "augment": {"crop_area": 0.9, "flip": False, "rotate_degrees": 12.0, "shift_fraction": 0.1, "colour": 0.0},
    "teacher": {"model": "resnet50", "weights": "none", "epochs": 7, "learning_rate": 0.001},
    "student": {"model": "mobilenetv2", "weights": "none", "epochs": 12, "learning_rate": 0.004},
}


def digits_recipe() -> dict[str, Any]:
    """The embedded recipe that runs when neither a recipe nor `--data` is given, as plain data."""
    return {section: dict(values) for section, values in _DIGITS.items()}


SectionT = TypeVar("SectionT", bound=Section)


def build(section: type[SectionT], data: Any, place: str) -> SectionT:
    """Check plain data and make a frozen section of it.

    Args:
        section: The model to build.
        data: What YAML or the command line said.
        place: Dotted name of the section, for messages; empty for the whole recipe.

    Raises:
        ConfigError: The first problem found, with the field's full name and the cure.
    """
    if not isinstance(data, dict):
        raise ConfigError(place or "recipe", f"expected keys and values, got {data!r}")
    try:
        return section.model_validate(data)
    except ValidationError as problems:
        # A value for a union fails once per member; the bound that was broken says more than the type that was not.
        found = sorted(problems.errors(), key=lambda e: e["type"] in {"literal_error", "int_parsing", "float_parsing"})
        raise _config_error(section, dict(found[0]), place) from None


def nearest(word: str, known: list[str], count: int = 1) -> list[str]:
    """The `count` known words most like `word`, best first; empty if none is close."""
    return difflib.get_close_matches(word, known, n=count, cutoff=0.5)


def _config_error(section: type[Section], problem: dict[str, Any], place: str) -> ConfigError:
    keys = [str(part) for part in problem["loc"]]
    owner = section
    path: list[str] = [place] if place else []
    for key in keys:
        path.append(key)
        field = owner.model_fields.get(key)
        inner = field.annotation if field else None
        if problem["type"] == "extra_forbidden" and key == keys[-1]:
            near = nearest(key, list(owner.model_fields))
            hint = f"Did you mean '{near[0]}'?" if near else "Known keys: " + ", ".join(owner.model_fields) + "."
            return ConfigError(".".join(path), "unknown key", hint=hint)
        if not (isinstance(inner, type) and issubclass(inner, Section)):
            return ConfigError(".".join(path), _expectation(owner, key, problem), hint=_description(owner, key))
        owner = inner
    return ConfigError(".".join(path) or "recipe", f"expected keys and values, got {problem['input']!r}")


def _description(owner: type[Section], key: str) -> str:
    field = owner.model_fields.get(key)
    return (field.description or "") if field else ""


def _expectation(owner: type[Section], key: str, problem: dict[str, Any]) -> str:
    if problem["type"] == "missing":
        return "is required"
    schema = owner.model_json_schema()["properties"].get(key, {})
    return f"expected {_allowed(schema)}, got {problem['input']!r}"


def _allowed(schema: dict[str, Any]) -> str:
    """Say in words what a JSON schema of one field admits."""
    if "anyOf" in schema:
        outer = {k: v for k, v in schema.items() if k != "anyOf"}
        return " or ".join(_allowed({**outer, **member}) for member in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return repr(schema["const"])
    if schema.get("type") == "array":
        return "a list of " + _allowed(schema["items"]).removeprefix("one of ")
    noun = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text"}
    return noun.get(schema.get("type", ""), "another value") + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is not None and high is not None:
        strict = "exclusiveMinimum" in schema or "exclusiveMaximum" in schema
        return f" between {low:g} and {high:g}" if strict else f" from {low:g} to {high:g}"
    return f" of at least {low:g}" if low is not None else ""


def load_recipe(path: Path | None) -> dict[str, Any]:
    """Read a recipe file as plain data; without a path, an empty recipe.

    Raises:
        ConfigError: The file is missing, is no YAML, or holds no keys.
    """
    if path is None:
        return {}
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(path), "no such recipe", hint="'edgetl init' writes one.") from None
    except (OSError, UnicodeDecodeError) as cause:
        raise ConfigError(str(path), f"cannot be read ({cause})") from cause
    except yaml.YAMLError as cause:
        raise ConfigError(str(path), f"is not valid YAML ({' '.join(str(cause).split())})") from cause
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(str(path), "expected keys and values at the top")
    return data


def with_settings(data: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """Lay `a.b=c` settings over a recipe's plain data; values are read as YAML.

    Raises:
        ConfigError: A setting has no '=', or goes through something that is no section.
    """
    merged = {key: dict(value) if isinstance(value, dict) else value for key, value in data.items()}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError("--set", f"expected a.b=c, got {setting!r}")
        *sections, last = name.strip().split(".")
        place = merged
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigError("--set", f"'{section}' in {setting!r} is no section of the recipe")
        try:
            place[last] = yaml.safe_load(text)
        except yaml.YAMLError as cause:
            raise ConfigError("--set", f"{text!r} is not a YAML value") from cause
    return merged


def recipe_template(recipe: Recipe) -> str:
    """Write a recipe as YAML with every field's documentation beside it; reading it back gives the same recipe."""
    lines = ["# An edgetl recipe. Every line may be left out; what is left out has the value of 'edgetl init'.", ""]
    for name, field in type(recipe).model_fields.items():
        value = getattr(recipe, name)
        if isinstance(value, Section):
            lines += ["", f"# {(type(value).__doc__ or '').strip()}", f"{name}:"]
            lines += [line for key in type(value).model_fields for line in _template_field(value, key, "  ")]
        else:
            lines += [f"# {field.description}", f"{name}: {_yaml(value)}"]
    return "\n".join(lines) + "\n"


def _template_field(section: Section, key: str, indent: str) -> list[str]:
    return [f"{indent}# {_description(type(section), key)}", f"{indent}{key}: {_yaml(getattr(section, key))}"]


def _yaml(value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")
