"""What is learned from reading an image file once."""

import hashlib
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import simplejpeg
from PIL import Image, UnidentifiedImageError

from edgetl.data.memory import DecodingMemory
from edgetl.runner.contract import UnreadableImage, load_image

__all__ = ["Probe", "probe_file"]

_JPEG = b"\xff\xd8"
_DAMAGE = re.compile("premature end|bad huffman|bad arithmetic|instead of RST", re.IGNORECASE)
"""What libjpeg warns of where pixels are lost; of stray bytes between segments, as some cameras write them, it warns,
too, but they cost nothing."""

_SMALLEST = 8
"""Divisor of the size at which decoding costs least; every byte of the stream is read all the same."""


@dataclass(frozen=True)
class Probe:
    """Hash and size of a readable file, or why it is not readable."""

    sha256: str = ""
    width: int = 0
    """Pixels, as seen upright."""

    height: int = 0
    reason: str = ""
    """Empty if the file decodes completely."""

    def __post_init__(self) -> None:
        whole = len(self.sha256) == 64 and self.width > 0 and self.height > 0
        if not (whole or self.reason):
            raise ValueError("a probe has a hash and a size, or a reason")


def probe_file(path: Path, memory: DecodingMemory | None = None) -> Probe:
    """Hash a file and decode all of it: only the last rows show that a JPEG is truncated.

    Args:
        path: The file.
        memory: What decoding may take, which several threads share; None for what is free now.

    Raises:
        OSError: The file cannot be read, so its content is unknown.
    """
    content = path.read_bytes()
    try:
        with (memory or DecodingMemory()).for_pixels(*_size(content)):
            image = load_image(content)
            width, height = image.size
            del image
    except UnreadableImage as cause:
        return Probe(reason=_reason(content, cause))
    if damage := _damage(content):
        return Probe(reason=damage)
    return Probe(hashlib.sha256(content).hexdigest(), width, height)


def _size(content: bytes) -> tuple[int, int]:
    """Width and height that the header states; 0 where it cannot be read, which decoding finds out."""
    try:
        with Image.open(BytesIO(content)) as image:
            return image.size
    except Exception:
        return 0, 0


def _damage(content: bytes) -> str:
    """Why a JPEG that Pillow decodes is damaged all the same: it fills what is missing with grey, and says nothing."""
    if not content.startswith(_JPEG):
        return ""
    try:
        simplejpeg.decode_jpeg(content, "GRAY", min_factor=_SMALLEST, min_width=1, min_height=1)
    except ValueError as cause:
        text = " ".join(str(cause).split())
        if _DAMAGE.search(text):
            return f"is damaged, and would be grey in parts ({text})"
    return ""


def _reason(content: bytes, cause: UnreadableImage) -> str:
    if not content:
        return "is empty"
    if isinstance(cause.__cause__, UnidentifiedImageError):
        return "is no JPEG, PNG, WebP or BMP"  # Pillow's own message names a Python object
    return " ".join(str(cause).split())
