"""The contract: how a file becomes the model's input, and what its output means.

Written once, when data is first opened; training, calibration, the exported graph and the device all read it. What is
outside the graph (decode, EXIF, colour, resize, crop) is done by `preprocess` here and nowhere else; what is inside
(cast, mean and std, layout, softmax) is recorded so that a reader can check it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import UnreadableImage

__all__ = ["CONTRACT_SCHEMA", "METADATA_KEY", "Contract", "UnreadableImage", "load_image"]

CONTRACT_SCHEMA = 1
METADATA_KEY = "edgetl.contract"
"""Name under which every artifact carries the contract as JSON."""

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_KINDS = ("JPEG", "PNG", "WEBP", "BMP")
"""Decoders that may touch a file, whatever it is called."""

_MAX_PIXELS = 178_956_970  # Pillow's own bound of a decompression bomb, as an error instead of a warning


def load_image(source: Path | bytes) -> Image.Image:
    """Decode a file to RGB, with its EXIF orientation applied.

    Args:
        source: A path, or the encoded bytes of one image (JPEG, PNG, WebP, BMP).

    Returns:
        An 8-bit RGB image. Alpha is dropped; 16-bit grey keeps its upper byte.

    Raises:
        UnreadableImage: It does not decode completely, or has more than 179 million pixels.
    """
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=_KINDS) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise UnreadableImage(f"{image.width} x {image.height} pixels are too many")
            image.load()
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):  # 16-bit grey, which a plain conversion would clip to white
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            if upright.mode == "P" and "transparency" in upright.info:
                upright = upright.convert("RGBA")  # Pillow warns when it drops the transparency of a palette itself
            return upright.convert("RGB")
    except UnreadableImage:
        raise
    except UnidentifiedImageError as cause:  # Pillow's own text names an object of ours
        raise UnreadableImage("is no JPEG, PNG, WebP or BMP") from cause
    except MemoryError as cause:
        raise UnreadableImage("takes more memory to decode than there is") from cause
    # Pillow's decoders raise these for damaged files, SyntaxError (PNG) and struct.error's parent included.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, ArithmeticError) as cause:
        raise UnreadableImage(str(cause) or type(cause).__name__) from cause
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as cause:
        raise UnreadableImage(str(cause)) from cause


@dataclass(frozen=True)
class Contract:
    """How a file becomes `uint8 (N, height, width, 3)`, and what `(N, K)` comes back.

    Attributes:
        labels: `K` class names, in the order of the outputs.
        height: Rows of the input, in pixels.
        width: Columns of the input, in pixels.
        resize: `crop` scales the shorter side and cuts the centre; `squash` ignores the aspect ratio.
        crop_fraction: Part of the resized image that the central crop keeps, 0 to 1.
        filter: Resampling filter, always with antialiasing.
        mean: Per channel, of values scaled to 0..1; applied inside the graph.
        std: Per channel, of values scaled to 0..1; applied inside the graph.
    """

    labels: tuple[str, ...]
    height: int
    width: int
    resize: str = "crop"
    crop_fraction: float = 1.0
    filter: str = "bilinear"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def preprocess(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop an RGB image to the model's input, `uint8 (height, width, 3)`."""
        resample = _FILTERS[self.filter]
        if self.resize == "squash":
            return np.array(image.resize((self.width, self.height), resample))
        scale = max(self.width / image.width, self.height / image.height) / self.crop_fraction
        # Rounding must not push the box out of the image, not by the last bit: Pillow refuses that.
        crop_width = min(self.width / scale, image.width)
        crop_height = min(self.height / scale, image.height)
        left, top = (image.width - crop_width) / 2, (image.height - crop_height) / 2
        # One resampling straight from the crop's box: exact, and independent of the image's own size.
        box = (left, top, min(left + crop_width, image.width), min(top + crop_height, image.height))
        return np.array(image.resize((self.width, self.height), resample, box=box))

    def read(self, files: list[Path]) -> NDArray[np.uint8]:
        """Decode and preprocess files to `uint8 (N, height, width, 3)`."""
        if not files:
            return np.empty((0, self.height, self.width, 3), dtype=np.uint8)
        return np.stack([self.preprocess(load_image(file)) for file in files])

    def to_dict(self) -> dict[str, Any]:
        """Everything a reader on any device needs, plain JSON types only."""
        return {
            "schema_version": CONTRACT_SCHEMA,
            **{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()},
            "decode": "Pillow",
            "exif_orientation": "applied",
            "colour": "RGB",
            "antialias": True,
            "input": {"dtype": "uint8", "layout": "NHWC"},
            "output": {"dtype": "float32", "layout": "NK", "meaning": "probabilities"},
        }

    def to_json(self) -> str:
        """The text embedded in artifacts; equal contracts give equal texts."""
        return json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Contract:
        """Read what `to_dict` wrote.

        Raises:
            ValueError: It was written by a newer edgetl, or a field is missing or of the wrong type.
        """
        if not isinstance(data, dict):
            raise ValueError("a contract is a JSON object")
        if data.get("schema_version", 0) > CONTRACT_SCHEMA:
            raise ValueError(f"contract schema {data['schema_version']} is newer than {CONTRACT_SCHEMA}")
        try:
            return cls(
                labels=tuple(data["labels"]),
                height=int(data["height"]),
                width=int(data["width"]),
                resize=data["resize"],
                crop_fraction=float(data["crop_fraction"]),
                filter=data["filter"],
                mean=tuple(data["mean"]),
                std=tuple(data["std"]),
            )
        except KeyError as cause:
            raise ValueError(f"contract lacks {cause}") from cause
        except TypeError as cause:
            raise ValueError(f"contract holds a value of the wrong type ({cause})") from cause

    @classmethod
    def from_json(cls, text: str) -> Contract:
        """Read what `to_json` wrote."""
        return cls.from_dict(json.loads(text))
