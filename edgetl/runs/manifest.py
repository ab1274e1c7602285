"""What a manifest may hold. A run folder may come from anywhere, so its manifest is checked once, when it is opened.

File names are plain, so that no entry leads out of the folder. The values that build a network are allow-listed, so
that no entry makes a library read another file, unpickle or open a connection.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from edgetl.recipe.fields import Format, Precision
from edgetl.runs.reports import Fraction, problem_in

__all__ = ["MANIFEST_SCHEMA", "ROLES", "Role", "problem_of"]

MANIFEST_SCHEMA = 2

Role = Literal["teacher", "assistant", "unpruned", "student"]
"""What a run is for, in this order: a network trained on labels, to teach or to be exported as it is; a network between
teacher and student; the student before it is pruned; the student."""

ROLES: tuple[Role, ...] = ("teacher", "assistant", "unpruned", "student")

_PlainName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][^/\\\x00-\x1f]*$", max_length=255)]
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Three = Annotated[list[_Finite], Field(min_length=3, max_length=3)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _File(_Strict):
    sha256: _Sha256
    bytes: int = Field(ge=0)
    stage: str


class _Artifact(_Strict):
    file: _PlainName
    format: Format
    precision: Precision
    size_bytes: int = Field(ge=0)
    sha256: _Sha256


class _Record(_Open):
    """The record of a stage; fields that only one stage writes are checked where they are read."""

    inputs: str
    files: list[_PlainName]
    seconds: float = Field(ge=0)
    library_seconds: dict[str, float] = {}
    metrics: dict[str, float] = {}
    failure: str = ""
    finished: str
    recipe: dict[str, Any] = {}
    versions: dict[str, str] = {}
    machine: dict[str, Any] = {}
    artifacts: list[_Artifact] = []
    float_layers: dict[str, list[str]] = {}


class _Arguments(_Strict):
    """Arguments that a run folder may pass to `timm.create_model`."""

    pad_type: Literal["", "same", "valid"] = ""
    img_size: int | None = Field(None, ge=8, le=4096)
    patch_size: int | None = Field(None, ge=1, le=1024)


class _Model(_Open):
    library: Literal["timm", "torchvision"]
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]+$")]
    num_classes: int = Field(ge=1)
    image_size: int = Field(ge=8, le=4096)
    arguments: _Arguments = _Arguments()
    strides_removed: int = Field(0, ge=0, le=8)
    mean: _Three
    std: _Three
    parameters: int = Field(0, ge=0)
    origin: dict[str, Any] = {}
    pruned: dict[str, Any] | None = None


class _Contract(_Open):
    schema_version: int
    labels: Annotated[list[str], Field(min_length=1)]
    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    resize: str
    crop_fraction: float = Field(gt=0, le=1)
    filter: str
    mean: _Three
    std: _Three


class _Parent(_Strict):
    role: Role
    run: str = Field(min_length=1)


class _Teacher(_Open):
    run: str
    model: str
    weights_sha256: _Sha256
    test_top1: Fraction


class _Lineage(_Open):
    teachers: list[_Teacher] = []
    ensemble_test_top1: Fraction | None = None
    unlabelled_images: int = 0


class _Candidate(_Open):
    model: str
    weights: str
    val_top1: Fraction
    val_images: int = Field(ge=1)


class _Choice(_Open):
    """How a teacher was chosen that the recipe left open."""

    teacher: str
    candidates: Annotated[list[_Candidate], Field(min_length=1)]


class _Manifest(_Strict):
    schema_version: int
    role: Role
    parents: list[_Parent]
    recipe: dict[str, Any]
    stages: dict[str, _Record]
    files: dict[_PlainName, _File]
    metrics: dict[str, dict[str, float]]
    contract: _Contract | None = None
    model: _Model | None = None
    lineage: _Lineage = _Lineage()
    choice: _Choice | None = None

    @model_validator(mode="after")
    def _files_belong_together(self) -> "_Manifest":
        for stage, record in self.stages.items():
            made = [name for name, entry in self.files.items() if entry.stage == stage]
            if sorted(made) != sorted(record.files):
                raise ValueError(f"the files of stage {stage!r} differ from those in its record")
            if strange := {each.file for each in record.artifacts} - set(made):
                raise ValueError(f"artifact {min(strange)!r} is not a file of stage {stage!r}")
        if strange := {entry.stage for entry in self.files.values()} - set(self.stages):
            raise ValueError(f"there are files of stage {min(strange)!r}, which has no record")
        return self


def problem_of(data: Any) -> str:
    """What is wrong with a manifest, and where, as text; empty if nothing is."""
    return problem_in(_Manifest, data)
