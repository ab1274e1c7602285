"""What is learned from reading an image file once."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from PIL import UnidentifiedImageError

from edgetl.runner.contract import UnreadableImage, load_image

__all__ = ["Probe", "probe_file"]


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


def probe_file(path: Path) -> Probe:
    """Hash a file and decode all of it: only the last rows show that a JPEG is truncated.

    Raises:
        OSError: The file cannot be read, so its content is unknown.
    """
    content = path.read_bytes()
    try:
        image = load_image(content)
    except UnreadableImage as cause:
        return Probe(reason=_reason(content, cause))
    return Probe(hashlib.sha256(content).hexdigest(), image.width, image.height)


def _reason(content: bytes, cause: UnreadableImage) -> str:
    if not content:
        return "is empty"
    if isinstance(cause.__cause__, UnidentifiedImageError):
        return "is no JPEG, PNG, WebP or BMP"  # Pillow's own message names a Python object
    return " ".join(str(cause).split())
