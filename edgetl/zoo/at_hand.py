"""Networks whose pretrained weights are on this machine: in the hub's cache, or in a folder of files."""

from dataclasses import dataclass
from pathlib import Path

from edgetl.errors import ModelError
from edgetl.zoo.names import ALIASES, resolve
from edgetl.zoo.torchvision_ops import ensure_torchvision
from edgetl.zoo.weights import cached_weights, file_metadata

__all__ = ["AtHand", "networks_at_hand", "places"]


@dataclass(frozen=True)
class AtHand:
    """A network and its weights, as a recipe names them."""

    model: str
    weights: str
    """'default' for those of the hub's cache, or a file."""

    @property
    def name(self) -> str:
        """A name of its own among those found together, fit for a folder."""
        return self.model.replace(":", "-") if self.weights == "default" else Path(self.weights).stem


def networks_at_hand(weights: str) -> tuple[list[AtHand], list[str]]:
    """Find every network of the short names in the hub's cache, and those of a folder of weights files.

    Nothing is downloaded.

    Args:
        weights: A folder of .safetensors files, one such file, or 'default' for the cache alone.

    Returns:
        The networks, and the names of files whose network is not known.

    Raises:
        ModelError: A file is damaged, or `weights` is none of these.
    """
    ensure_torchvision()
    found = [AtHand(alias, "default") for alias, name in ALIASES.items() if cached_weights(name)]
    if weights == "default":
        return found, []
    files = _files(weights)
    models = {file: _model_of(file) for file in files}
    own = [AtHand(model, str(file)) for file, model in models.items() if model]
    return [*own, *found], [file.name for file, model in models.items() if not model]


def places(weights: str) -> str:
    """Where weights are looked for, in words."""
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = f"the hub's cache ({HF_HUB_CACHE})"
    return cache if weights == "default" else f"{weights} and {cache}"


def _files(weights: str) -> list[Path]:
    path = Path(weights)
    if path.is_dir():
        return sorted(path.glob("*.safetensors"))
    if path.suffix == ".safetensors" and path.is_file():
        return [path]
    raise ModelError(f"{weights}: no such folder or .safetensors file to choose a teacher from")


def _model_of(file: Path) -> str:
    """The model that a weights file says it is of, or is named after; empty if none is known by that name."""
    stated = file_metadata(file)
    own = stated.get("model")
    names = [stated.get("timm_model"), stated.get("architecture"), file.stem]
    if isinstance(own, dict):
        prefix = "torchvision:" if own.get("library") == "torchvision" else ""
        names.insert(0, f"{prefix}{own.get('name')}")
    for name in names:
        try:
            if isinstance(name, str):
                resolve(name)
                return name
        except ModelError:
            continue
    return ""
