"""The recipe's fields of images: which they are, and how training views differ from them."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from edgetl.recipe.section import PLACE, Section, as_fraction

__all__ = ["AugmentConfig", "DataConfig"]


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

    classes: Literal["auto", "first", "last"] = "auto"
    """Where folders lie in folders, which name the class: the 'first' or the 'last'; 'auto' asks if none is plain."""

    val_fraction: Annotated[float, BeforeValidator(as_fraction)] = Field(0.15, gt=0, lt=0.5)
    """Part of an unsplit folder, or of train/ unless val/ and test/ are given, for validation, as a fraction of 1."""

    test_fraction: Annotated[float, BeforeValidator(as_fraction)] = Field(0.15, gt=0, lt=0.5)
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

    randaugment: int = Field(0, ge=0, le=14)
    """Further changes of each view, drawn from the 14 of RandAugment (arXiv 1909.13719); 0 for none."""

    magnitude: int = Field(9, ge=0, le=30)
    """Strength of RandAugment's changes, from 0 to 30."""

    mixup: float = Field(0.0, ge=0, le=10)
    """Alpha of mixup (share of another view: Beta(alpha, alpha)) in training on labels alone; 0 for none."""

    cutmix: float = Field(0.0, ge=0, le=10)
    """Alpha of CutMix (part of the area, likewise); with mixup, each view draws one of both; 0 for none."""

    @property
    def mixes(self) -> bool:
        """Whether training on labels mixes images."""
        return self.mixup > 0 or self.cutmix > 0
